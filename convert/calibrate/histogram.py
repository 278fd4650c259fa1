"""How often a tensor held which values, in bounded memory, without knowing its range beforehand."""

import math

import numpy as np

from edgepack.runtime.tensor import Array

BINS = 8192
"""At least half of them lie within the range, so that one is at most 1/4,096 of it."""

_FINEST = 20  # a bin is at least 2**-20 of the largest magnitude: constants have a width too
_LOWEST_EXPONENT, _HIGHEST_EXPONENT = -100, 120  # so that scaling by a width stays exact in float32


class Histogram:
    """Counts of values in bins of one width, and the exact lowest and highest value.

    The width is a power of two and every bin begins at a multiple of it. A value beyond the bins doubles the width and
    merges bins two by two, as often as it takes; nothing that was counted is lost or split.

    Attributes:
        lowest: The lowest finite value; infinity before there was any.
        highest: The highest finite value; minus infinity before there was any.
        seen: How many finite values there were.
        unbounded: Whether there were values without bounds: infinity, as masks of attention hold.
        zeros: How many of the counted values are exactly 0.
    """

    def __init__(self) -> None:
        self.lowest, self.highest = math.inf, -math.inf
        self.seen = self.zeros = 0
        self.unbounded = False
        self._exponent, self._first = 0, 0
        self._counts = np.zeros(0, np.int64)

    @property
    def counts(self) -> Array:
        """How many of the counted values lie in each bin, int64."""
        return self._counts

    @property
    def edges(self) -> Array:
        """Where bins begin and, last, end, float64 of one more than there are bins."""
        return np.ldexp(np.arange(self._first, self._first + len(self._counts) + 1, dtype=np.float64), self._exponent)

    def add(self, values: Array, most: int | None = None, start: int = 0) -> None:
        """Count the values of a tensor.

        Args:
            values: Floats of any shape; infinity and NaN are passed over.
            most: How many are counted at most; of more, every n-th. The lowest and the highest are those of all.
            start: Which is the first that is counted, any whole number: where it moves from call to call, every index
                of every axis has its turn.
        """
        flat = values.ravel()
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            self.unbounded = self.unbounded or bool(np.isinf(flat).any())
            self.add(flat[np.isfinite(flat)], most, start)
            return
        self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)
        self.seen += flat.size
        self._cover()
        step = 1 if most is None else max(1, -(-flat.size // most))
        some = flat[start % step :: step]
        self.zeros += some.size - int(np.count_nonzero(some))
        wide = some if some.dtype == np.float64 else some.astype(np.float32, copy=False)
        places = np.floor(wide * wide.dtype.type(2.0**-self._exponent)).astype(np.int32) - np.int32(self._first)
        self._counts += np.bincount(places, minlength=BINS)

    def _cover(self) -> None:
        """Make the bins reach from the lowest to the highest value."""
        magnitude = max(abs(self.lowest), abs(self.highest))
        needed = max((self.highest - self.lowest) / (BINS - 2), math.ldexp(magnitude, -_FINEST))
        exponent = math.ceil(math.log2(needed)) if needed else _LOWEST_EXPONENT
        exponent = min(max(exponent, _LOWEST_EXPONENT), _HIGHEST_EXPONENT)
        if self._counts.size:
            exponent = max(exponent, self._exponent)
        first = math.floor(math.ldexp(self.lowest, -exponent))
        if self._counts.size and (exponent, first) == (self._exponent, self._first):
            return
        counts = np.zeros(BINS, np.int64)
        filled = np.flatnonzero(self._counts)
        np.add.at(counts, ((filled + self._first) >> (exponent - self._exponent)) - first, self._counts[filled])
        self._counts, self._exponent, self._first = counts, exponent, first
