"""The files a training leaves: their names, the check before it, and writing them together after it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from edgepack.runtime.errors import InputError
from edgepack.runtime.writing import check_output, replacing


@dataclass(frozen=True, slots=True)
class Files:
    """What lies beside each other after a training, all named after the model."""

    model: Path
    card: Path
    report: Path
    curve: Path
    calibration: Path
    evaluation: Path

    @property
    def checkpoint(self) -> Path:
        """What is there only while the training is not over."""
        return self.model.with_suffix(".checkpoint.npz")

    def __iter__(self) -> Iterator[Path]:
        return iter(astuple(self))


def name_files(output: Path) -> Files:
    """The files that belong to `NAME.keras`.

    Raises:
        InputError: The name does not end in `.keras`.
    """
    if output.suffix != ".keras" or not output.stem:
        raise InputError(f"a trained model is written as NAME.keras; {str(output)!r} is not such a name")
    endings = (".keras", ".card.json", ".training.html", ".training.svg", ".calibration.npz", ".evaluation.npz")
    return Files(*(output.with_name(output.stem + ending) for ending in endings))


def check_files(files: Files, *, force: bool) -> None:
    """Make sure that all can be written, before any long work.

    Raises:
        OutputError: One exists already and `force` is False, one is a folder, or their folder cannot be written.
    """
    for path in files:
        check_output(path, force=force)


def write_files(writers: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write all files beside their places, then rename them into place: an error while one is written changes none.

    Args:
        writers: The function that writes each file, by where it belongs. The first is renamed last.

    Raises:
        OutputError: The system refused to write.
    """
    with contextlib.ExitStack() as stack:
        for path, write in writers.items():
            write(stack.enter_context(replacing(path)))
