"""Where calibration samples come from: a file, a folder, a function, or memory, each read some rows at a time."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.convert.calibrate.folder import find_files
from edgepack.convert.calibrate.npz import ArrayFile
from edgepack.convert.calibrate.stream import Stream
from edgepack.convert.lift import Lifted
from edgepack.convert.samples import Given, Samples, check_labels, check_rows, checked, named, pick, rows_at_once
from edgepack.convert.source import Source
from edgepack.runtime.errors import DataError, InputError
from edgepack.runtime.manifest import Card
from edgepack.runtime.tensor import Array

MOST_SAMPLES = 2_000
"""At most so many samples, where nobody says how many: more make calibrating longer, and ranges hardly better."""


@dataclass(frozen=True, slots=True)
class Named:
    """Arrays by input and output names that come from somewhere."""

    arrays: Mapping[str, Any]
    origin: str


Calibration = Named | Given | Callable[[], Iterable[Any]] | Iterable[Any]

_PURPOSE = "calibration"


@dataclass(frozen=True, slots=True)
class _Found:
    """What a source holds.

    Attributes:
        total: How many samples; None where only going through all of them would tell.
        rows: Opens those at some indices, in order; of a source without a total, as many first ones.
        origin: What it is called.
    """

    total: int | None
    rows: Callable[[Array], Iterator[Mapping[str, Any]]]
    origin: str


def open_stream(
    given: Calibration,
    source: Source,
    *,
    lifted: Lifted | None = None,
    card: Card | None = None,
    most: int | None = None,
    seed: int = 0,
) -> Stream:
    """Open calibration samples; nothing but headers and names is read before they are gone through.

    Args:
        given: A `.npz` or `.npy` file; a folder of images that the card's steps read; arrays by input name, one
            array, or a pair with labels; or a function that returns an iterator of rows or batches, each an array, a
            dict by input name, or a pair with labels. A data set that can be iterated again and again is one too.
        source: The model as it was given.
        lifted: Its two parts, where preprocessing became steps: samples then come as the rest takes them.
        card: Its card, for a folder.
        most: At most so many samples; None is `MOST_SAMPLES`. Of files and memory they are drawn with the seed, of a
            function they are the first.
        seed: Which are drawn.

    Raises:
        InputError: A number of samples or a seed that cannot be.
        MissingFileError: The file or folder is not there.
        DataError: The source is none, or does not fit the model; more of that comes to light when it is gone through.
    """
    most = MOST_SAMPLES if most is None else most
    if most < 1:
        raise InputError(f"{most} calibration samples were asked; it takes 1 or more")
    if seed < 0:
        raise InputError(f"seed {seed} cannot be; a whole number from 0 is taken")
    found = _find(given, source, card)
    indices = np.arange(most if found.total is None else found.total)
    if len(indices) > most:
        indices = np.sort(np.random.default_rng(seed).choice(indices, most, replace=False))

    def pieces() -> Iterator[Samples]:
        for arrays in found.rows(indices):
            yield checked(arrays, found.origin, source, _PURPOSE)

    drawn_from = found.total if found.total is not None and found.total > most else None
    return Stream(pieces, found.origin, lift=lifted.tensors if lifted else None, drawn_from=drawn_from)


def _find(given: Any, source: Source, card: Card | None) -> _Found:
    if isinstance(given, (str, os.PathLike)):
        path = Path(given)
        return _folder(path, source, card) if os.path.isdir(path) else _file(path, source)
    if isinstance(given, Named):
        return _memory(given.arrays, given.origin, source)
    if isinstance(given, (Mapping, tuple, list)) or hasattr(given, "__array__"):
        return _memory(named(given), "memory", source)
    return _function(given, source)


def _file(path: Path, source: Source) -> _Found:
    file = ArrayFile(path, f"{_PURPOSE} data")
    inputs, labels = pick({name: name for name in file.members}, source, _PURPOSE)
    for name, member in labels.items():
        labelled = file.members[member]
        check_labels(name, labelled.shape, labelled.dtype, file.members[next(iter(inputs.values()))].rows, _PURPOSE)
    check_rows({name: file.members[member].rows for name, member in inputs.items()}, _PURPOSE)
    members = inputs | labels
    size = rows_at_once(sum(file.members[member].row_bytes for member in members.values()) // 4)

    def rows(indices: Array) -> Iterator[Mapping[str, Any]]:
        start = 0
        for piece in file.rows(tuple(members.values()), size):
            count = len(next(iter(piece.values())))
            here = indices[(indices >= start) & (indices < start + count)] - start
            start += count
            if len(here):
                yield {name: piece[member][here] for name, member in members.items()}

    return _Found(file.members[next(iter(members.values()))].rows, rows, path.name)


def _folder(path: Path, source: Source, card: Card | None) -> _Found:
    folder = find_files(path, source, card)
    shapes = [spec.shape[1:] for spec in source.inputs]
    is_fixed = all(size is not None for shape in shapes for size in shape)
    size = rows_at_once(sum(math.prod(size or 1 for size in shape) for shape in shapes)) if is_fixed else 1
    return _Found(len(folder.files), lambda indices: folder.rows(indices, size), f"{path.resolve().name}/")


def _memory(arrays: Mapping[str, Any], origin: str, source: Source) -> _Found:
    inputs, labels = pick(arrays, source, _PURPOSE)
    text = {spec.name for spec in source.inputs if spec.dtype == "string"}
    found = {
        name: np.array(array, dtype=object) if name in text else np.asarray(array)
        for name, array in (inputs | labels).items()
    }
    is_number = not found[next(iter(inputs))].ndim
    total = 1 if is_number else len(found[next(iter(inputs))])
    for name in labels:
        check_labels(name, found[name].shape, found[name].dtype, total, _PURPOSE)
    check_rows({name: len(found[name]) for name in inputs if found[name].ndim}, _PURPOSE)
    size = rows_at_once(sum(array[:1].size if array.ndim else 1 for array in found.values()))

    def rows(indices: Array) -> Iterator[Mapping[str, Any]]:
        if is_number:
            yield found  # it is no sample of anything, and is told so
        for start in range(0, len(indices), size):
            some = indices[start : start + size]
            yield {name: array[some] for name, array in found.items()}

    return _Found(total, rows, origin)


def _function(given: Any, source: Source) -> _Found:
    if isinstance(given, Iterator):
        raise DataError(
            f"the calibration data is a {type(given).__name__}, which can be gone through once: "
            "give the function that makes it"
        )
    if not callable(given) and not isinstance(given, Iterable):
        raise DataError(
            f"the calibration data is a {type(given).__name__}; it takes a .npz file, a folder, arrays by input name, "
            "or a function that returns an iterator of rows or batches"
        )
    name = getattr(given, "__name__", type(given).__name__)

    def rows(indices: Array) -> Iterator[Mapping[str, Any]]:
        items = given() if callable(given) else given
        if not isinstance(items, Iterable):
            raise DataError(
                f"{name} gave a {type(items).__name__} as calibration data; it returns an iterator of rows or batches"
            )
        left = len(indices)
        for item in items:
            batch = _batch(item, source)
            count = len(next(iter(batch.values())))
            if not count:
                continue
            yield {key: array[:left] for key, array in batch.items()}
            left -= count
            if left <= 0:
                return

    return _Found(None, rows, f"function {name}")


def _batch(item: Any, source: Source) -> dict[str, Array]:
    """What a function gave, as rows by name: a row has one axis less than the input.

    A list of as many arrays as there are inputs holds one for each, in their order, as TFLite's own converter takes it.
    """
    if isinstance(item, list) and len(item) == len(source.inputs) and all(hasattr(one, "__array__") for one in item):
        item = {spec.name: one for spec, one in zip(source.inputs, item, strict=True)}
    inputs, labels = pick(named(item), source, _PURPOSE)
    text = {spec.name for spec in source.inputs if spec.dtype == "string"}
    arrays = {
        name: np.array(array, dtype=object) if name in text else np.asarray(array)
        for name, array in (inputs | labels).items()
    }
    first = source.inputs[0]
    if arrays[first.name].ndim == len(first.shape) - 1:
        return {name: array[np.newaxis] for name, array in arrays.items()}
    if any(array.ndim == 0 for array in arrays.values()):
        raise DataError(
            f"the calibration data gave a number for a batch of {first.name!r}, which has {len(first.shape)} axes"
        )
    return arrays
