"""Calibration samples as they come: a few rows at a time, by input name, as often as they are asked for."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from edgepack.convert.samples import Samples
from edgepack.runtime.tensor import Array

Rows = Mapping[str, Array]


class Stream:
    """Samples that can be gone through again, in the same order.

    Args:
        open_rows: Opens them from the start: pieces `(rows, …)` by input name, of any number of rows.
        origin: Where they come from, for the report.
    """

    def __init__(self, open_rows: Callable[[], Iterator[Rows]], origin: str) -> None:
        self._open_rows = open_rows
        self.origin = origin

    @classmethod
    def of(cls, samples: Samples) -> "Stream":
        """Samples that are in memory."""
        size = samples.rows_at_once

        def pieces() -> Iterator[Rows]:
            for start in range(0, len(samples), size):
                yield {name: array[start : start + size] for name, array in samples.inputs.items()}

        return cls(pieces, samples.origin)

    def batches(self, rows: int) -> Iterator[Rows]:
        """All samples, exactly `rows` at a time; the last batch is filled up with its last row."""
        waiting: dict[str, Array] = {}
        for piece in self._open_rows():
            waiting = {
                name: np.concatenate([waiting[name], array]) if waiting else array for name, array in piece.items()
            }
            while len(next(iter(waiting.values()))) >= rows:
                yield {name: array[:rows] for name, array in waiting.items()}
                waiting = {name: array[rows:] for name, array in waiting.items()}
        left = len(next(iter(waiting.values()))) if waiting else 0
        if left:
            yield {
                name: np.concatenate([array, np.repeat(array[-1:], rows - left, axis=0)])
                for name, array in waiting.items()
            }
