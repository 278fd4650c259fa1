"""Ranges are made of histograms as each method says."""

import numpy as np
import pytest

from edgepack.convert.calibrate.histogram import Histogram
from edgepack.convert.calibrate.methods import PERCENTILE, range_of
from edgepack.convert.options import METHODS, Method

_BELL = np.random.default_rng(0).normal(size=400_000).astype(np.float32)
_OUTLIER = np.append(_BELL, np.float32([60.0]))


def _of(values: np.ndarray, method: Method, *, symmetric: bool = False, bits: int = 8) -> tuple[float, float]:
    histogram = Histogram()
    histogram.add(values)
    return range_of(histogram, method, symmetric=symmetric, bits=bits)


def test_minmax_is_all_of_it() -> None:
    assert _of(_OUTLIER, "minmax") == (float(_BELL.min()), 60.0)
    assert _of(_OUTLIER, "minmax", symmetric=True) == (-60.0, 60.0)


@pytest.mark.parametrize("values", [_BELL, np.maximum(_BELL, 0), _BELL[:40]], ids=["bell", "relu", "few"])
def test_percentile_is_that_of_all_values(values: np.ndarray) -> None:
    cut = 1 - PERCENTILE / 100
    wanted = np.quantile(values, [cut / 2, 1 - cut / 2])
    span = float(values.max() - values.min())
    assert _of(values, "percentile") == pytest.approx(wanted, abs=span / 2_000)  # a bin is 1/4,096 of it at most
    both = np.quantile(np.abs(values), 1 - cut)
    assert _of(values, "percentile", symmetric=True) == pytest.approx((-both, both), abs=span / 2_000)


def _error(values: np.ndarray, low: float, high: float) -> float:
    step = (high - low) / 255
    quantized = np.clip(np.rint(values / step), np.rint(low / step), np.rint(high / step)) * step
    return float(np.square(values - quantized).mean())


def test_mse_rounds_better_than_every_other_range() -> None:
    low, high = _of(_OUTLIER[:20_000], "mse")
    best = _error(_OUTLIER[:20_000], low, high)
    for factor in (0.7, 0.85, 1.2, 1.5):
        assert best <= _error(_OUTLIER[:20_000], low * factor, high * factor) * 1.01  # rounding is modelled as uniform


@pytest.mark.parametrize("method", ["entropy", "mse", "percentile"])
def test_a_lone_outlier_is_clipped(method: Method) -> None:
    low, high = _of(_OUTLIER, method)
    assert -6 < low < -2
    assert 2 < high < 45


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    "values",
    [_BELL, np.maximum(_BELL, 0), np.minimum(_BELL, 0), _BELL + 20, _BELL[:3], np.full(5, 2.5, np.float32)],
    ids=["bell", "relu", "negative", "off zero", "three", "constant"],
)
def test_a_range_lies_within_what_was_seen(values: np.ndarray, method: Method, symmetric: bool) -> None:
    low, high = _of(values, method, symmetric=symmetric)
    largest = float(np.abs(values).max())
    assert low <= high
    assert (-largest <= low) & (high <= largest) if symmetric else float(values.min()) <= low
    assert low == -high if symmetric else high <= float(values.max())


@pytest.mark.parametrize("method", METHODS)
def test_sixteen_bits_keep_the_ends(method: Method) -> None:
    low, high = _of(_BELL, method, bits=16)
    assert low == pytest.approx(float(_BELL.min()), rel=0.02)
    assert high == pytest.approx(float(_BELL.max()), rel=0.02)


def test_the_entropy_of_few_values_says_nothing() -> None:
    assert _of(_OUTLIER[-500:], "entropy") == (float(_OUTLIER[-500:].min()), 60.0)


@pytest.mark.parametrize(("symmetric", "wanted"), [(False, (0.0, 1.0)), (True, (-1.0, 1.0))])
def test_a_tensor_that_is_always_zero_has_a_range_that_a_scale_can_be_made_of(
    symmetric: bool, wanted: tuple[float, float]
) -> None:
    assert _of(np.zeros(100, np.float32), "minmax", symmetric=symmetric) == wanted
