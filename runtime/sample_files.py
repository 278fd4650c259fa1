"""Files of raw samples: what one holds is decided by the first step of the pack, never guessed from the file."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edgepack.runtime.errors import InputError, StepError
from edgepack.runtime.steps import prepare
from edgepack.runtime.steps.base import Step
from edgepack.runtime.steps.files import read_file
from edgepack.runtime.steps.numbers import MOST_CSV_BYTES, csv_cells, is_number
from edgepack.runtime.steps.raw import RawValue
from edgepack.runtime.steps.row import column_names, listed

Named = tuple[str, Any]

_AT_ONCE = 256
_MOST_TEXT_BYTES = 64_000_000
_OTHER_ENDINGS = {".csv", ".npy", ".npz", ".txt", ".wav"}


def read(raw: Sequence[RawValue], path: str | os.PathLike[str]) -> list[Named]:
    """Return the raw samples in a file, each with a name: a line of text or a row by its place, or the file as a whole.

    Args:
        raw: What a sample is made of: `session.raw_values`.
        path: The file; of one that is a whole sample, the first step reads it.

    Raises:
        MissingFileError: It is not there.
        InputError, StepError: It is no file of such samples; the message says what is taken.
    """
    path = Path(path)
    if len(raw) != 1:
        parts = ", ".join(value.name for value in raw)
        raise InputError(
            f"a sample of this model has {len(raw)} parts ({parts}), and {path} is one file: give all tensors as "
            ".npz, or a dict by name to session.predict"
        )
    reader = _KINDS.get(raw[0].kind)
    if reader is None:
        raise InputError(f"this model has no steps to read {path} with; it takes {raw[0].told}")
    if not reader.takes(path.suffix.lower()):
        raise InputError(f"{path} is no file that this model reads; it takes {raw[0].told}")
    return reader.read(raw[0], path)


def holds_tensors(raw: Sequence[RawValue], path: Path) -> bool:
    """Whether a file is for `session.run`: an .npz, or an .npy where that is no raw sample."""
    ending = path.suffix.lower()
    return ending == ".npz" or (ending == ".npy" and [value.kind for value in raw] != ["series"])


def holds_many(raw: Sequence[RawValue]) -> bool:
    """Whether a file holds several samples, each on a line."""
    return len(raw) == 1 and raw[0].kind in {"row", "text"}


def pieces(samples: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Samples some at a time: a file of many is answered in bounded memory."""
    for start in range(0, len(samples), _AT_ONCE):
        yield samples[start : start + _AT_ONCE]


def _whole(_: RawValue, path: Path) -> list[Named]:
    return [(str(path), path)]


def _lines(_: RawValue, path: Path) -> list[Named]:
    """A text on each line."""
    text = read_file(path, "text", _MOST_TEXT_BYTES).decode("utf-8", "surrogateescape")
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return [(f"{path}:{number}", line) for number, line in enumerate(lines, 1)]


def _rows(raw: RawValue, path: Path) -> list[Named]:
    assert raw.first is not None
    return rows(raw.first.options["columns"], read_file(path, "table", MOST_CSV_BYTES), str(path))


def rows(columns: Any, data: bytes, path: str) -> list[Named]:
    """A row on each line of CSV, each with a name; a header line may say where the columns stand.

    Args:
        columns: The option of the step `row`.
        data: The text.
        path: What it is called.

    Raises:
        StepError: It holds no such rows.
    """
    names = column_names(columns)
    to_row = prepare([Step("row", {"columns": names})])
    records = csv_cells(data, path)
    found: list[Named] = []
    places: list[int] | None = None
    width = len(names)
    for index, (line, cells) in enumerate(records):
        if index == 0 and (places := _places(cells, names, f"{path}:{line}")) is not None:
            width = len(cells)
            continue
        if len(cells) != width:
            why = (
                f"it has {len(names):,} columns ({listed(names)})"
                if places is None
                else "its header has another number"
            )
            raise StepError(f"{path}:{line} has {len(cells):,} values, separated by commas; a row has {width:,}: {why}")
        try:
            row = to_row(cells if places is None else [cells[place] for place in places])
        except StepError as error:
            raise StepError(f"{path}:{line}: {error}") from error
        found.append((f"{path}:{line}", row))
    if not found:
        raise StepError(f"{path} holds no rows; it takes one a line, with the columns {listed(names)}")
    return found


def _places(cells: Sequence[str], names: Sequence[str], where: str) -> list[int] | None:
    """Where a header line has each column; None where the line is no header."""
    by_name = {cell: place for place, cell in reversed(list(enumerate(cells)))}
    missing = [name for name in names if name.strip() not in by_name]
    if not missing:
        wanted = {name.strip() for name in names}
        twice = [cell for place, cell in enumerate(cells) if cell in wanted and by_name[cell] != place]
        if twice:
            raise StepError(f"{where} names column {listed(twice)} twice; name each once")
        return [by_name[name.strip()] for name in names]
    if not any(map(is_number, cells)):
        raise StepError(f"{where} is a header without {listed(missing)}; it takes the columns {listed(names)}")
    return None


class _Kind:
    """How files of one kind of sample are read."""

    def __init__(self, read: Callable[[RawValue, Path], list[Named]], endings: set[str] | None = None) -> None:
        self.read, self._endings = read, endings

    def takes(self, ending: str) -> bool:
        """Whether files with that ending are of this kind; pictures have any that no other kind has."""
        return ending not in _OTHER_ENDINGS if self._endings is None else ending in self._endings


# kind of raw value -> how files of it are read
_KINDS = {
    "image": _Kind(_whole),
    "row": _Kind(_rows, {".csv"}),
    "series": _Kind(_whole, {".csv", ".npy"}),
    "sound": _Kind(_whole, {".wav"}),
    "text": _Kind(_lines, {".txt"}),
}
