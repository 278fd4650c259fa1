"""What a search has tried, kept beside its output: a search that was stopped goes on where it was.

The folder holds `state.json`, which people can read, and the files that were written until the search is done. Trials
count for the same model, data, options, libraries and machine alone; whatever differs or cannot be read starts anew.
"""

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgepack.convert.search.repairs import Account
from edgepack.convert.search.tried import Tried
from edgepack.runtime.errors import OutputError
from edgepack.runtime.manifest import FORMATS
from edgepack.runtime.pack import SUFFIX
from edgepack.runtime.writing import check_place, write_bytes

_VERSION = 2


class _State(msgspec.Struct, frozen=True):
    version: int
    key: dict[str, Any]
    """What the trials hold for."""
    trials: tuple[Tried, ...]
    mendings: tuple[Account, ...] = ()


class Store:
    """The folder of one search.

    Args:
        folder: Where it is, or will be.
        key: What trials depend on, as JSON has it.
        notes: Grows by a line where trials that lay there are not used.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any], notes: list[str]) -> None:
        self.folder = folder
        self._key = msgspec.json.decode(msgspec.json.encode(key))
        state = self._read(notes)
        self.trials = state.trials
        self.mendings = state.mendings

    def add(self, tried: Tried) -> None:
        """Keep one more trial."""
        self.trials = (*self.trials, tried)
        self._write()

    def add_mending(self, account: Account) -> None:
        """Keep what mending came to."""
        self.mendings = (*self.mendings, account)
        self._write()

    def keep(self, variant: str, file_format: str, data: bytes) -> Path:
        """Keep the file of a trial; where it lies."""
        path = self._file(variant, file_format)
        self.folder.mkdir(exist_ok=True)
        path.write_bytes(data)  # a part of it is known by its digest
        return path

    def data(self, tried: Tried) -> bytes | None:
        """The file of a trial; None where it is not there any more, or is another."""
        with contextlib.suppress(OSError):
            data = self._file(tried.variant, tried.format).read_bytes()
            if hashlib.sha256(data).hexdigest() == tried.sha256:
                return data
        return None

    def finish(self) -> None:
        """Remove the files: the trials stay, so that other budgets are judged without new ones."""
        for tried in self.trials:
            if self.data(tried) is not None:
                self._file(tried.variant, tried.format).unlink()

    @property
    def _path(self) -> Path:
        return self.folder / "state.json"

    def _file(self, variant: str, file_format: str) -> Path:
        return self.folder / f"{variant}{FORMATS[file_format]}"

    def _write(self) -> None:
        self.folder.mkdir(exist_ok=True)
        state = _State(_VERSION, self._key, self.trials, self.mendings)
        write_bytes(self._path, msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")

    def _read(self, notes: list[str]) -> _State:
        anew = _State(_VERSION, self._key, ())
        try:
            state = msgspec.json.decode(self._path.read_bytes(), type=_State)
        except FileNotFoundError:
            return anew
        except (OSError, msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            notes.append(f"search: {self._path} cannot be read ({error}); it begins anew")
            return anew
        other = [name for name in {**state.key, **self._key} if state.key.get(name) != self._key.get(name)]
        if state.version != _VERSION or other:
            why = f"other {', '.join(sorted(other))}" if other else f"version {state.version}"
            notes.append(f"search: {self._path} is of a search with {why}; it begins anew")
            return anew
        if state.trials:
            notes.append(f"search: {len(state.trials)} trials of {self._path} were not done again")
        return state


def folder_of(output: str | os.PathLike[str]) -> Path:
    """Where the state of a search goes: `NAME.search` beside a pack, `NAME.onnx.search` beside a bare file."""
    path = Path(output)
    return path.with_name(f"{path.stem if path.suffix == SUFFIX else path.name}.search")


def check_folder(output: str | os.PathLike[str]) -> Path:
    """The folder, if it can be made and written.

    Raises:
        OutputError: Something else has its name, or it cannot be written.
    """
    folder = folder_of(output)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, and a search keeps what it tried in a folder of that name; rename it")
    return check_place(folder, force=True)
