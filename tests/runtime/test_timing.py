"""Timing: every lap is kept, the clock is given."""

from collections.abc import Callable
from itertools import count

import pytest

from edgepack.runtime.timing import Timing, laps_for, measure, measure_interleaved
from tests.fakes import FakeClock


def test_warmup_is_not_counted() -> None:
    calls: list[int] = []
    timing = measure(lambda: calls.append(0), warmup=3, repeat=5, clock=count(0, 2_000).__next__)
    assert len(calls) == 8
    assert timing.ns == (2_000,) * 5


def test_calls_in_turn_meet_the_same_weather() -> None:
    order: list[str] = []
    calls = [lambda: order.append("a"), lambda: order.append("b")]
    timings = measure_interleaved(calls, rounds=2, warmup=1, repeat=1, clock=FakeClock())
    assert order == ["a", "a", "b", "b"] * 2
    assert [len(timing.ns) for timing in timings] == [2, 2]


@pytest.mark.parametrize(
    ("percent", "micros"), [(0, 1.0), (1, 1.0), (50, 50.0), (90, 90.0), (99, 99.0), (99.1, 100.0), (100, 100.0)]
)
def test_percentiles_are_laps_that_happened(percent: float, micros: float) -> None:
    timing = Timing(tuple(range(100_000, 0, -1_000)))
    assert timing.percentile_us(percent) == micros


def test_one_lap_is_every_percentile() -> None:
    timing = Timing((7_000,))
    assert (timing.p50_us, timing.p90_us, timing.p99_us) == (7.0, 7.0, 7.0)


def test_calls_a_second_count_every_lap() -> None:
    assert Timing((500_000_000, 1_500_000_000)).per_second == 1.0


@pytest.mark.parametrize(
    ("seconds", "shared", "laps"), [(0.01, False, 5), (0.01, True, 2), (1.0, False, 50), (0.001, False, 1)]
)
def test_laps_follow_the_slowest_call(seconds: float, shared: bool, laps: int) -> None:
    clock = FakeClock(step_ns=0)

    def taking(milliseconds: int) -> Callable[[], None]:
        def call() -> None:
            clock.now_ns += milliseconds * 1_000_000

        return call

    assert laps_for([taking(1), taking(2)], seconds=seconds, most=50, shared=shared, clock=clock) == laps
