"""A folder of raw samples, each a file that the pack's own steps read; folders in it may be classes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.convert.cards import about_file
from edgepack.convert.source import Source
from edgepack.runtime.errors import DataError, EdgepackError
from edgepack.runtime.manifest import Card
from edgepack.runtime.steps.base import Steps
from edgepack.runtime.steps.raw import raw_values
from edgepack.runtime.steps.samples import Preparation
from edgepack.runtime.tensor import Array

# kind of raw value -> endings of files that hold one
_ENDINGS = {
    "image": (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    "sound": (".wav",),
}


@dataclass(frozen=True, slots=True)
class Folder:
    """Files in sorted order, and the class of each where that is known."""

    files: tuple[Path, ...]
    classes: Array | None
    """The class number of each file."""
    output: str
    """The output that the classes are of."""
    preparation: Preparation

    def rows(self, chosen: Sequence[int] | Array, size: int) -> Iterator[dict[str, Any]]:
        """Some of the files as arrays by name, so many at a time.

        Raises:
            DataError: A file cannot be read; the message names it.
        """
        for start in range(0, len(chosen), size):
            picked = [int(index) for index in chosen[start : start + size]]
            arrays: dict[str, Any] = self._prepared([self.files[index] for index in picked])
            yield arrays if self.classes is None else arrays | {self.output: self.classes[picked]}

    def _prepared(self, files: list[Path]) -> dict[str, Array]:
        try:
            return self.preparation(files)
        except EdgepackError as error:
            for file in files:
                _check(self.preparation, file)
            raise DataError(f"the files of {files[0].parent} do not fit together: {error}") from error


def find_files(folder: Path, source: Source, card: Card | None) -> Folder:
    """Look for the files of a folder that the first step reads.

    Folders in it are classes where every file lies in one and their names are the labels of the model's one output;
    where the model has no labels, they are when there are as many as it has classes, in sorted order.

    Args:
        folder: The folder.
        source: The model as it was given.
        card: Its card, with the steps.

    Raises:
        DataError: There are no such files, or the model has no steps that read files.
    """
    steps = card.steps if card else Steps()
    raw = raw_values(source.inputs, steps)
    endings = _ENDINGS.get(raw[0].kind) if len(raw) == 1 else None
    if endings is None:
        raise DataError(
            f"{folder} is a folder, and the model has no steps that make its inputs of an image or a sound in a file: "
            "give its card (--card), or a .npz file of tensors by input name"
        )
    files = tuple(sorted(_files(folder, endings)))
    if not files:
        raise DataError(f"{folder} holds no files of {raw[0].kind}s ({', '.join(endings)}); check the path")
    classes = _classes(folder, files, source, card)
    return Folder(files, classes, source.outputs[0].name, Preparation(source.inputs, steps))


def _files(folder: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.lower().endswith(endings) and not name.startswith("."):
                yield Path(place, name)


def _classes(folder: Path, files: Sequence[Path], source: Source, card: Card | None) -> Array | None:
    """The class number of each file; None where folders say nothing about classes."""
    parts = [file.relative_to(folder).parts for file in files]
    if len(source.outputs) != 1 or any(len(part) == 1 for part in parts):
        return None
    names = sorted({part[0] for part in parts})
    output = source.outputs[0]
    labels = list(about_file("", card).labels.get(output.name, ()))
    if not labels and len(names) == (output.shape[-1] if output.shape else None):
        labels = names
    if not set(names) <= set(labels):
        return None
    return np.array([labels.index(part[0]) for part in parts], np.int64)


def _check(preparation: Preparation, file: Path) -> None:
    try:
        preparation([file])
    except EdgepackError as error:
        raise DataError(f"{file} does not go through the model's steps: {error}; mend or remove it") from error
