"""What values the tensors of a float32 file take while samples stream through it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgepack.convert.calibrate.histogram import Histogram
from edgepack.convert.calibrate.methods import Range, range_of
from edgepack.convert.calibrate.stream import Rows, Stream
from edgepack.convert.inside import Inside, open_inside
from edgepack.convert.options import Method
from edgepack.runtime.errors import ConvertError, EngineError
from edgepack.runtime.tensor import Array

_LARGEST = 1e8  # magnitude: beyond it a number says that another does not count
_COUNTED = 1 << 30  # elements of a tensor that go into its histogram: all of 2,000 rows of 112 x 112 x 32
_BYTES_AT_ONCE = 64_000_000  # of all tensors of the rows that run together
_MOST_ROWS = 64
_SCATTER = 7919  # a prime: between batches, other elements of a large tensor are counted
_ROUNDING = 1e-3  # relative to the largest: how far a row may be from what it gave alone


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was seen of each tensor that holds floats, by its name in the file."""

    lowest: Mapping[str, float]
    highest: Mapping[str, float]
    histograms: Mapping[str, Histogram] = field(default_factory=dict, repr=False)
    samples: int = 0
    """How many samples ran."""

    def ranges(self, method: Method, *, symmetric: bool = False, bits: int = 8) -> dict[str, Range]:
        """The range of every tensor that holds floats.

        Args:
            method: How a range is made of what was seen; `calibrate.methods` says how.
            symmetric: Whether ranges lie around zero.
            bits: How many bits the tensors are going to have.
        """
        return {
            name: range_of(histogram, method, symmetric=symmetric, bits=bits)
            for name, histogram in self.histograms.items()
        }

    @property
    def unbounded(self) -> frozenset[str]:
        """Tensors that no range holds: they had infinity in them, or the largest numbers there are, as masks have."""
        return frozenset(
            name for name, one in self.histograms.items() if one.unbounded or max(-one.lowest, one.highest) >= _LARGEST
        )

    def histogram(self, name: str) -> Histogram:
        """How often a tensor held which values; raises `KeyError` for one that holds no floats, or does not show."""
        return self.histograms[name]


def observe(file_format: str, data: bytes, stream: Stream, rows: int) -> Statistics:
    """Stream samples through a file and keep what its tensors held.

    Tensors that do not show, such as those inside loops, are left out.

    Args:
        file_format: `"onnx"` or `"tflite"`.
        data: The float32 file.
        stream: The samples.
        rows: How many the file takes at once; where it takes any number, as many run together as memory is well spent
            on.

    Raises:
        ConvertError: The file does not run operator by operator.
        DataError: A sample does not fit.
    """
    found: dict[str, Histogram] = {}
    try:
        inside = open_inside(file_format, data, floats=True)
        most = max(1, _COUNTED // stream.count)
        size = _fitting(inside, stream) if inside.rows is None else rows
        for number, batch in enumerate(stream.batches(size, fill=inside.rows is not None)):
            _add(found, batch.items(), most * size, number)
            _add(found, inside.run(batch), most * size, number)
    except EngineError as error:
        raise ConvertError(f"the float32 file cannot be calibrated: {error}") from error
    seen = {name: histogram for name, histogram in found.items() if histogram.seen}
    lowest = {name: histogram.lowest for name, histogram in seen.items()}
    highest = {name: histogram.highest for name, histogram in seen.items()}
    return Statistics(lowest, highest, seen, stream.count)


def _add(found: dict[str, Histogram], tensors: Iterable[tuple[str, Array]], most: int, number: int) -> None:
    """Count what tensors hold; the number of the batch moves which elements of a large one are counted."""
    for name, array in tensors:
        if array.dtype.kind == "f":
            found.setdefault(name, Histogram()).add(array, most, number * _SCATTER)


def _fitting(inside: Inside, stream: Stream) -> int:
    """How many rows to run together: as memory allows, and one where a row then gives something else than alone."""
    alone, shown_bytes = _run_first(inside, next(stream.batches(1)))
    size = int(max(1, min(_MOST_ROWS, _BYTES_AT_ONCE // max(1, shown_bytes))))
    if size > 1:
        together, _ = _run_first(inside, next(stream.batches(size)))
        size = size if all(_close(together[name][:1], array) for name, array in alone.items()) else 1
    return size


def _run_first(inside: Inside, batch: Rows) -> tuple[dict[str, Array], int]:
    """What a file gives for a batch, and the size of all its tensors in bytes."""
    outputs, size = {}, 0
    for name, array in inside.run(batch):
        size += array.nbytes
        if name in inside.outputs:
            outputs[name] = array
    return outputs, size


def _close(found: Array, wanted: Array) -> bool:
    if wanted.dtype.kind != "f" or not wanted.size:
        return np.array_equal(found, wanted)
    allowed = _ROUNDING * float(np.abs(wanted).max())
    return found.shape == wanted.shape and np.allclose(found, wanted, rtol=0, atol=allowed, equal_nan=True)
