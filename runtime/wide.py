"""Several pieces of a batch at once: a file of fixed batch is resized where that is right, and faster than its pieces.

Some interpreters can lay a file out for more rows than it was written for. That is refused for some files, wrong
without a word for others (where a reshape folds the batch into another axis), and slower for many. So each width is
held once against the rows themselves, on the caller's own rows, and timed; whatever does not hold is never asked again.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from edgepack.runtime.batches import Run, run_in_pieces
from edgepack.runtime.engines.base import Engine, closed
from edgepack.runtime.errors import EngineError
from edgepack.runtime.tensor import Array
from edgepack.runtime.timing import measure

WIDTHS = (32, 16, 8, 4)  # rows at once, widest first: each costs an interpreter with memory of its own
_TRIES = 8  # calls whose rows are too alike to tell
_GAIN = 0.8  # of the time that the pieces take; what gains less is not worth the memory
_SLOW_US = 20_000.0  # from here on one lap tells enough
_REL_TOLERANCE = 1e-4  # of the largest element: float32 sums in another order

Resize = Callable[[int], Engine]


class Wide:
    """Runs any number of rows through an engine of fixed batch. It may be used from several threads."""

    def __init__(
        self, engine: Engine, batch: int, resize: Resize | None, clock: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        """Take an engine, the rows it takes at once, and what opens its file for more rows (None: nothing does)."""
        self._batch, self._resize, self._clock = batch, resize, clock
        self._run_once: Run = engine.run
        self._tries = {width: _TRIES for width in WIDTHS if resize and width > batch}
        self._opened: dict[int, Engine] = {}
        self._trial = threading.Lock()

    def run(self, feeds: Mapping[str, Array], rows: int) -> list[Array]:
        """Run `rows` rows; the outputs are in the file's order, each with `rows` leading."""
        parts = [self._run_part(_cut(feeds, start, end), end - start) for start, end in self._parts(rows)]
        return parts[0] if len(parts) == 1 else [np.concatenate(part) for part in zip(*parts, strict=True)]

    def close(self) -> None:
        """Give the memory of what was opened back; nothing runs after it."""
        self._run_once = closed
        with self._trial:
            self._tries.clear()
            while self._opened:
                self._opened.popitem()[1].close()

    def _parts(self, rows: int) -> Iterator[tuple[int, int]]:
        """From where to where each run goes: the widest first, what is left over in the file's own pieces."""
        start = 0
        while start < rows:
            left = rows - start
            end = start + next((width for width in WIDTHS if width <= left and self._may_take(width)), left)
            yield start, end
            start = end

    def _may_take(self, width: int) -> bool:
        return width in self._opened or width in self._tries

    def _run_part(self, feeds: Mapping[str, Array], rows: int) -> list[Array]:
        if engine := self._opened.get(rows):
            return list(engine.run(feeds))
        # While one thread tries, the others are answered as before.
        if rows in self._tries and self._trial.acquire(blocking=False):
            try:
                return self._try(feeds, rows)
            finally:
                self._trial.release()
        return run_in_pieces(self._run_once, feeds, rows, self._batch)

    def _try(self, feeds: Mapping[str, Array], width: int) -> list[Array]:
        """Answer in pieces, and find out whether this width does the same in less time."""
        pieces = partial(run_in_pieces, self._run_once, feeds, width, self._batch)
        alone = pieces()
        if width not in self._tries or self._resize is None:  # another thread has found out, or the session was closed
            return alone
        try:
            wide = self._resize(width)
        except EngineError:
            self._tries.clear()
            return alone
        keep = False
        try:
            keep = self._judge(width, pieces, alone, partial(wide.run, feeds))
        except EngineError:
            self._tries.clear()
        if keep:
            self._opened[width] = wide
        else:
            wide.close()
        return alone

    def _judge(
        self, width: int, pieces: Callable[[], object], alone: Sequence[Array], wide: Callable[[], Sequence[Array]]
    ) -> bool:
        """Whether the wide run is right and pays; what was found out is never tried again."""
        if not _same(alone, wide()):
            self._tries.clear()
            return False
        if not _tells(alone):
            self._tries[width] -= 1
            if not self._tries[width]:
                del self._tries[width]
            return False
        del self._tries[width]
        return self._pays(pieces, wide)

    def _pays(self, pieces: Callable[[], object], wide: Callable[[], object]) -> bool:
        """Whether the wide run takes clearly less time than the pieces; the fastest lap of each is its time."""
        first = measure(pieces, warmup=0, repeat=1, clock=self._clock)
        laps = 1 if first.p50_us > _SLOW_US else 5
        slow, fast = (measure(call, warmup=0, repeat=laps, clock=self._clock) for call in (pieces, wide))
        return min(fast.ns) < _GAIN * min(*first.ns, *slow.ns)


def _cut(feeds: Mapping[str, Array], start: int, end: int) -> Mapping[str, Array]:
    return {name: array[start:end] for name, array in feeds.items()}


def _tells(outputs: Sequence[Array]) -> bool:
    """Whether rows that were mixed up would show: moved on by any number of places, some row differs."""
    return all(
        any(not _close(array, np.roll(array, places, axis=0), 10 * _REL_TOLERANCE) for array in outputs)
        for places in range(1, len(outputs[0]))
    )


def _same(wanted: Sequence[Array], found: Sequence[Array]) -> bool:
    """Whether a wide run gives what the pieces gave."""
    return len(wanted) == len(found) and all(
        one.shape == other.shape and one.dtype == other.dtype and _close(one, other, _REL_TOLERANCE)
        for one, other in zip(wanted, found, strict=True)
    )


def _close(one: Array, other: Array, tolerance: float) -> bool:
    if one.dtype.kind != "f":
        return np.array_equal(one, other)
    largest = float(np.abs(one).max(initial=0.0))
    return bool(np.isfinite(largest)) and np.allclose(one, other, rtol=0, atol=tolerance * largest)
