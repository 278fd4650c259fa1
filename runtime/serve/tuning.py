"""How a model is best run for many clients, measured when it is loaded: in batches or not, where, how many at once."""

import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np

from edgepack.runtime.errors import EdgepackError, InputError
from edgepack.runtime.serve.together import Feeds, Run
from edgepack.runtime.tensor import Array
from edgepack.runtime.timing import measure

SHORT_US = 1_000.0  # a run of less holds up the event loop less than a change of threads and other clients do
_WIDEST = 32
_PART = 8  # rows of one request that run at once in any case
_GAIN = 1.1  # times the rows per second that a wider batch, or one more run at once, must bring
_LINE_US = 100.0  # what a short run must save a row: the way through the line costs half of that, in one event loop
_BATCHES = 0.6  # of the time: for batches, what is left for several runs at once
_LAPS = 5
_LAPS_AT_ONCE = 3
_FOREIGN = 1e-3  # of the largest element: sums in another order change less, another row's numbers change more


class Plan(msgspec.Struct, frozen=True):
    """How a model is run."""

    max_rows: int = 1
    """Rows of several requests that share a run at most; 1 shares none."""
    part_rows: int = sys.maxsize
    """Rows of a run at most where one request brings more, as far as its rows are known not to change each other."""
    lanes: int = 1
    """Runs that go on at once."""
    short_size: int = 0
    """A run of at most this many elements goes on the event loop itself."""
    row_us: float = 1_000.0
    """What a row takes."""
    reason: str = "nothing was measured"
    """Why, for people."""

    def is_short(self, size: int) -> bool:
        """Whether a run of so many elements goes on the event loop itself."""
        return size <= self.short_size


class Rates(msgspec.Struct, frozen=True):
    """What was measured of one model."""

    rows: int
    """Rows of a run."""
    lanes: int
    us: float
    """What a run took, or as many as there are lanes."""

    @property
    def row_us(self) -> float:
        """Microseconds for each row, at the best."""
        return self.us / self.rows / self.lanes


AtOnce = Callable[[Callable[[], object], int], float]
"""Calls something in that many threads at once, some times over; gives the nanoseconds for once in each."""


def tune(
    run: Run,
    sample: Mapping[str, Array],
    asked: int | str,
    *,
    shares: bool,
    cores: int,
    budget_s: float = 1.0,
    clock: Callable[[], int] = time.perf_counter_ns,
    at_once: AtOnce | None = None,
) -> Plan:
    """Measure how a model runs best.

    Args:
        run: Runs checked tensors.
        sample: Some real rows, or one run's tensors where `shares` is false.
        asked: Rows of a batch, or `"auto"`: as many as pay, 1 where none do.
        shares: Whether rows may share a run at all.
        cores: How many runs may make sense at once.
        budget_s: Nothing more is begun after it.
        clock: Monotonic nanoseconds.
        at_once: Measures runs in several threads.

    Raises:
        EngineError, InputError: It does not run.
    """
    tuner = _Tuner(run, sample, shares, budget_s, clock, at_once or _in_threads)
    alone = tuner.measure(1, 1)
    best, reason, is_sound = alone, "its runs cannot be shared", False
    if shares:
        best, reason = _widest(tuner, alone, asked)
        if best.rows > 1 or tuner.has_time_for(2, alone):
            mixed = mixes_rows(run, sample, max(best.rows, 2))
            best, reason, is_sound = (alone, mixed, False) if mixed else (best, reason, True)
    if alone.us > SHORT_US and cores > 1:
        best = tuner.lanes(alone, best, cores, keeps=asked != "auto")
    plan = _plan(tuner.size, alone, best, reason)
    return msgspec.structs.replace(
        plan,
        max_rows=best.rows if best.rows == 1 or asked == "auto" else int(asked),
        part_rows=max(best.rows, _PART) if is_sound else sys.maxsize,
    )


def _widest(tuner: "_Tuner", alone: Rates, asked: int | str) -> tuple[Rates, str]:
    """The batch to take, and why where there is nothing to choose."""
    if asked == 1:
        return alone, "nothing is to be shared"
    return tuner.widest(alone) if asked == "auto" else tuner.measure(min(int(asked), _WIDEST), 1), ""


def check_rows(asked: object) -> None:
    """Raise `InputError` for what is no number of rows of a batch."""
    if asked != "auto" and not (isinstance(asked, int) and asked >= 1):
        raise InputError(f"max_rows is {asked!r}; it takes 1 or more rows, or 'auto'")


class _Tuner:
    """What is measured of one model, within a time."""

    def __init__(
        self, run: Run, sample: Mapping[str, Array], shares: bool, budget_s: float, clock: Callable[[], int],
        at_once: AtOnce,
    ) -> None:  # fmt: skip
        self._run, self._sample, self._shares, self._clock, self._at_once = run, sample, shares, clock, at_once
        self._end = clock() + round(_BATCHES * budget_s * 1e9)
        self._rest_ns = round((1 - _BATCHES) * budget_s * 1e9)
        self.size = size_of(self._feeds(1))

    def measure(self, rows: int, lanes: int) -> Rates:
        """What runs of so many rows take, so many at once."""
        feeds = self._feeds(rows)
        self._run(feeds)  # memory is laid out, and a wider form tried
        if lanes > 1:
            return Rates(rows, lanes, self._at_once(lambda: self._run(feeds), lanes) / 1e3)
        first = measure(lambda: self._run(feeds), warmup=0, repeat=1, clock=self._clock).ns
        laps = _LAPS if first[0] * _LAPS < (self._end - self._clock()) / 2 else 1
        more = measure(lambda: self._run(feeds), warmup=0, repeat=laps, clock=self._clock).ns
        return Rates(rows, 1, min(*first, *more) / 1e3)

    def widest(self, alone: Rates) -> Rates:
        """The narrowest batch that is about as fast as any; a batch of 1 where none pays."""
        best, rows = alone, 1
        while rows < _WIDEST and rows < 4 * best.rows and self.has_time_for(2 * rows, best):
            rows *= 2
            found = self.measure(rows, 1)
            if found.row_us * _GAIN < best.row_us:
                best = found
        if best.rows > 1:  # the machine may have been busy when one row was measured
            alone = min(alone, self.measure(1, 1), key=lambda found: found.us)
            if best.row_us * _GAIN >= alone.row_us:
                return alone
        # A run that is short anyway must save what the line costs.
        saved = alone.row_us - best.row_us
        return best if best.us > SHORT_US or saved > _LINE_US else alone

    def lanes(self, alone: Rates, best: Rates, cores: int, *, keeps: bool) -> Rates:
        """The same with several runs at once, where that is faster still; `keeps` keeps the rows of a batch."""
        self._end += self._rest_ns
        tried = [best] if keeps or best.rows == 1 else [alone, best]
        for one in tried:
            if self.has_time_for(one.rows * cores, one):
                found = self.measure(one.rows, cores)
                if found.row_us * _GAIN < best.row_us:
                    best = found
        return best

    def has_time_for(self, rows: int, like: Rates) -> bool:
        """Whether three runs of so many rows end in time: one to warm up, and two to measure."""
        return self._clock() + 3 * rows * like.row_us * 1e3 < self._end

    def _feeds(self, rows: int) -> Feeds:
        if not self._shares:
            return dict(self._sample)
        return {name: np.ascontiguousarray(_repeated(array, rows)) for name, array in self._sample.items()}


def mixes_rows(run: Run, sample: Mapping[str, Array], rows: int) -> str:
    """Why rows must not share a run: a row's answer is another beside rows of NaN and of huge numbers; empty else.

    A file that finds its scales while it runs (dynamic int8 in ONNX Runtime) takes them from all rows together, and one
    client's numbers would change what another one is told.
    """
    rows_of = {name: np.ascontiguousarray(_repeated(array, rows)) for name, array in sample.items()}
    alone = run({name: np.ascontiguousarray(array[:1]) for name, array in rows_of.items()})
    for strange in (None, np.nan, 1e4):  # other rows of the sample itself, and what a client may send
        try:
            found = run({name: _beside(array, strange) for name, array in rows_of.items()})
        except EdgepackError:
            continue  # a run that fails is answered one by one
        for name, array in found.items():
            if array.shape != (rows, *alone[name].shape[1:]):
                return f"output {name!r} of {rows} rows has the shape {array.shape}"
            if not _same(alone[name], array[:1]):
                return f"a row's {name!r} depends on the rows that share its run"
    return ""


def size_of(*feeds: Mapping[str, Array]) -> int:
    """How many elements tensors have."""
    return sum(array.size for one in feeds for array in one.values())


def _plan(row_size: int, alone: Rates, best: Rates, reason: str) -> Plan:
    told = f"a row takes {alone.row_us:,.0f} µs alone"
    if best.rows * best.lanes > 1:
        told += f", {best.row_us:,.0f} µs with {best.rows} in a run and {best.lanes} at once"
    return Plan(
        lanes=best.lanes,
        short_size=int(row_size * SHORT_US / alone.us) if alone.us <= SHORT_US else 0,
        row_us=best.row_us,
        reason=f"{told}; {reason}" if reason else told,
    )


def _repeated(array: Array, rows: int) -> Array:
    """So many rows, each another one: copies are moved on by a place more, so that rows that are mixed up show."""
    turns = -(-rows // len(array))
    moved = [
        np.roll(array.reshape(len(array), -1), turn, axis=1).reshape(array.shape) if array.size else array
        for turn in range(turns)
    ]
    return np.concatenate(moved)[:rows]


def _beside(rows: Array, strange: float | None) -> Array:
    """The first row, and strange numbers in the others; whole numbers and text are left as they are."""
    if strange is None or rows.dtype.kind != "f":
        return rows
    strange_rows = rows.copy()
    strange_rows[1:] = strange
    return strange_rows


def _same(one: Array, other: Array) -> bool:
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    largest = float(np.abs(one).max(initial=0.0))
    return bool(np.allclose(one, other, rtol=0, atol=_FOREIGN * largest, equal_nan=True))


def _in_threads(call: Callable[[], object], count: int) -> float:
    """Nanoseconds for one call in each of `count` threads at once."""
    with ThreadPoolExecutor(count) as threads:

        def laps(_: int) -> None:
            for _ in range(_LAPS_AT_ONCE):
                call()

        list(threads.map(laps, range(count)))  # each thread's own memory is laid out
        start = time.perf_counter_ns()
        list(threads.map(laps, range(count)))
        return (time.perf_counter_ns() - start) / _LAPS_AT_ONCE
