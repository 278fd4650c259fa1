"""Repeated timing with an injected monotonic clock: the one measuring stick of edgepack."""

import math
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec


class Timing(msgspec.Struct, frozen=True):
    """Every lap of one measurement, in nanoseconds; summaries are worked out on request."""

    ns: tuple[int, ...]

    def percentile_us(self, percent: float) -> float:
        """The nearest-rank percentile of the laps, in microseconds; `percent` is 0 to 100."""
        ordered = sorted(self.ns)
        rank = max(1, math.ceil(percent / 100 * len(ordered)))
        return ordered[rank - 1] / 1e3

    @property
    def p50_us(self) -> float:
        """The median lap, in microseconds."""
        return self.percentile_us(50)

    @property
    def p90_us(self) -> float:
        """The lap that 90 % of the laps do not exceed, in microseconds."""
        return self.percentile_us(90)

    @property
    def p99_us(self) -> float:
        """The lap that 99 % of the laps do not exceed, in microseconds."""
        return self.percentile_us(99)

    @property
    def per_second(self) -> float:
        """Calls a second over all laps."""
        return len(self.ns) / (sum(self.ns) / 1e9)


def measure(
    call: Callable[[], object],
    *,
    warmup: int = 10,
    repeat: int = 100,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Timing:
    """Time `call` alone: `warmup` runs thrown away, then `repeat` runs kept.

    Args:
        call: What is timed; its result is dropped.
        warmup: Runs before the first lap.
        repeat: Laps kept; at least 1.
        clock: Monotonic nanoseconds.
    """
    for _ in range(warmup):
        call()
    laps = []
    for _ in range(repeat):
        start = clock()
        call()
        laps.append(clock() - start)
    return Timing(tuple(laps))


def measure_interleaved(
    calls: Sequence[Callable[[], object]],
    *,
    rounds: int = 5,
    warmup: int = 5,
    repeat: int = 20,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> tuple[Timing, ...]:
    """Time several calls in turn, round after round, so that a change of the machine's mood meets them all.

    Returns:
        One `Timing` of `rounds * repeat` laps for each call, in their order.
    """
    laps: list[tuple[int, ...]] = [() for _ in calls]
    for _ in range(rounds):
        for index, call in enumerate(calls):
            laps[index] += measure(call, warmup=warmup, repeat=repeat, clock=clock).ns
    return tuple(Timing(ns) for ns in laps)


def laps_for(
    calls: Iterable[Callable[[], object]],
    *,
    seconds: float,
    most: int,
    fewest: int = 1,
    shared: bool = False,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> int:
    """How often calls are timed in a round, so that the slowest of them takes about so long.

    Args:
        calls: What will be timed; each is called twice now.
        seconds: What the slowest call takes in a round, about; with `shared`, what all of them together take at most.
        most: So many laps at most.
        fewest: So many at least, however long they take.
        shared: Whether the calls of a round share the seconds.
        clock: Monotonic nanoseconds.
    """
    found = [measure(call, warmup=1, repeat=1, clock=clock).p50_us for call in calls]
    slowest = max(found, default=1.0) * (len(found) if shared else 1)
    return max(fewest, min(most, int(seconds * 1e6 / max(slowest, 1.0))))
