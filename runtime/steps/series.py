"""The step on series: from an array, a .csv or a .npy file to numbers over time, cut or padded to one length."""

import os
from array import array as compact
from collections.abc import Callable
from typing import Any

import numpy as np

from edgepack.runtime.errors import InputError, PackError, StepError
from edgepack.runtime.pack import decode_array
from edgepack.runtime.steps.files import read_file
from edgepack.runtime.steps.numbers import MOST_CSV_BYTES, csv_cells, is_number, number
from edgepack.runtime.tensor import Array, describe

_MOST_NUMBERS = 10_000_000  # of a whole series: 40 MB of float32
_MOST_NPY_BYTES = 8 * _MOST_NUMBERS + 1_000  # float64, and a header


def series(length: int | None = None, channels: int = 1) -> Callable[[Any], Array]:
    """Return a function that gives a series as float32 `(length, channels)`: cut, or filled up with zeros at its end.

    Args:
        length: Steps in time; None leaves a series as long as it is.
        channels: Numbers at each step. Where it is one, a series may have the axis of time alone.
    """
    steps = 1 if length is None else length
    if not (isinstance(steps, int) and isinstance(channels, int) and min(steps, channels) > 0):
        raise ValueError("length and channels are whole numbers, 1 or more; length may be None")
    if steps * channels > _MOST_NUMBERS:
        raise ValueError(f"{steps:,} x {channels:,} numbers are wanted; at most {_MOST_NUMBERS:,} are made")

    def read(sample: Any) -> Array:
        numbers = _checked(_values(sample, channels), channels)
        if length is None or len(numbers) == length:
            return numbers
        whole = np.zeros((length, channels), np.float32)
        kept = numbers[:length]
        whole[: len(kept)] = kept
        return whole

    return read


def _values(sample: Any, channels: int) -> Array:
    """What a sample holds, of whatever shape and type."""
    if isinstance(sample, (str, os.PathLike)):
        path = os.fspath(sample)
        reader = _READERS.get(os.path.splitext(path)[1].lower())
        if reader is None:
            raise InputError(f"a series is read from a .csv or .npy file; {path:.200} has another ending")
        return reader(path, channels)
    if isinstance(sample, (list, tuple, np.ndarray)) or hasattr(sample, "__array__"):
        return np.asarray(sample)
    raise InputError(
        f"a series comes as an array of (time, {channels}) numbers, or as a .csv or .npy file of it; "
        f"this is {type(sample).__name__}: a list is a batch of series"
    )


def _checked(values: Array, channels: int) -> Array:
    """The values as float32 `(time, channels)`."""
    table = values[:, np.newaxis] if values.ndim == 1 and channels == 1 else values
    if table.ndim != 2 or table.shape[1] != channels or table.dtype.kind not in "biuf":
        raise InputError(
            f"a series has numbers of shape (time, {channels}); this one {values.dtype} {describe(values.shape)}: "
            "several series go into a list"
        )
    if not 0 < table.size <= _MOST_NUMBERS:
        raise InputError(f"this series holds {table.size:,} numbers; 1 to {_MOST_NUMBERS:,} are taken")
    with np.errstate(over="ignore"):  # it is infinity then, and told
        numbers = np.ascontiguousarray(table, np.float32)
    if not np.isfinite(numbers).all():
        time, channel = np.argwhere(~np.isfinite(numbers))[0]
        number(table[time, channel].item(), f"step {time} of the series, channel {channel} (both from 0)")
    return numbers


def series_of_csv(data: bytes, path: str, channels: int) -> Array:
    """The series in CSV text, float64 `(time, channels)`: a step in time a line, behind a header or none.

    Args:
        data: The text.
        path: What it is called, for messages.
        channels: Numbers on each line.

    Raises:
        StepError: It is no such text.
    """
    numbers = compact("d")
    for index, (line, cells) in enumerate(csv_cells(data, path)):
        if len(cells) != channels:
            raise StepError(
                f"{path}:{line} has {len(cells):,} values; a step of the series has {channels:,}, separated by commas"
            )
        if index or any(map(is_number, cells)):
            numbers.extend(number(cell, f"{path}:{line}") for cell in cells)
    return np.frombuffer(numbers, np.float64).reshape(-1, channels) if numbers else np.zeros((0, channels))


def _read_csv(path: str, channels: int) -> Array:
    return series_of_csv(read_file(path, "series", MOST_CSV_BYTES), path, channels)


def _read_npy(path: str, _: int) -> Array:
    data = read_file(path, "series", _MOST_NPY_BYTES)
    try:
        return decode_array(data)
    except PackError as error:
        raise StepError(f"{path} is no .npy file of plain numbers, or is damaged; write it with numpy.save") from error


# ending -> what reads it
_READERS = {".csv": _read_csv, ".npy": _read_npy}
