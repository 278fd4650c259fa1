"""A histogram keeps what it counted, whatever comes next."""

import numpy as np
import pytest

from edgepack.convert.calibrate.histogram import BINS, Histogram


def _filled(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    return histogram


def test_it_counts_as_numpy_does_however_the_values_come() -> None:
    values = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    histogram = _filled(*np.split(np.sort(np.abs(values)), 10), values)
    wanted = np.histogram(np.concatenate([np.abs(values), values]), histogram.edges)[0]
    assert np.array_equal(histogram.counts, wanted)
    assert (histogram.lowest, histogram.highest) == (float(values.min()), float(np.abs(values).max()))


def test_its_size_does_not_grow_with_the_range() -> None:
    histogram = _filled(*(np.float32([-(10.0**power), 10.0**power]) for power in range(-30, 30)))
    assert len(histogram.counts) == BINS
    assert histogram.counts.sum() == histogram.seen == 120
    assert histogram.edges[0] <= histogram.lowest
    assert histogram.edges[-1] > histogram.highest


def test_at_least_half_of_the_bins_lie_within_the_range() -> None:
    histogram = _filled(np.float32([0.0, 0.1]), np.float32([-3.0, 40.0]))
    assert histogram.edges[1] - histogram.edges[0] <= 43.0 / (BINS / 2 - 1)


@pytest.mark.parametrize("value", [0.0, 1e-40, 7.25, -3e38], ids=["zero", "subnormal", "plain", "huge"])
def test_a_constant_has_a_bin(value: float) -> None:
    histogram = _filled(np.full(10, value, np.float32))
    assert histogram.counts.sum() == 10
    assert histogram.lowest == histogram.highest == float(np.float32(value))


def test_what_is_not_finite_is_passed_over() -> None:
    histogram = _filled(np.array([-np.inf, 1.0, np.nan, 2.0], np.float32), np.full(3, np.nan, np.float32))
    assert (histogram.lowest, histogram.highest, histogram.seen) == (1.0, 2.0, 2)


def test_of_many_values_some_are_counted_and_the_extremes_are_those_of_all() -> None:
    values = np.zeros(10_000, np.float32)
    values[3], values[7] = -1.0, 5.0
    histogram = Histogram()
    for start in range(20):
        histogram.add(values, most=1_000, start=start)
    assert (histogram.lowest, histogram.highest) == (-1.0, 5.0)
    assert histogram.counts.sum() == 20_000
    assert histogram.counts[-1] + histogram.counts[histogram.edges[:-1] > 4.9].sum() == 2  # its turn came twice


def test_zeros_are_told_apart() -> None:
    assert _filled(np.float32([0, 0, 1e-6, 2])).zeros == 2


def test_infinity_is_not_counted_and_remembered() -> None:
    histogram = Histogram()
    histogram.add(np.array([1.0, 2.0], np.float32))
    assert not histogram.unbounded
    histogram.add(np.array([3.0, -np.inf], np.float32))
    assert (histogram.unbounded, histogram.seen, histogram.lowest) == (True, 3, 1.0)
