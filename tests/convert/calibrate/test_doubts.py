"""Samples that do not stand for what comes later are told."""

import numpy as np
import pytest

from edgepack.convert.calibrate import Stream, doubts
from edgepack.convert.samples import Samples
from edgepack.runtime.tensor import TensorSpec

_OUTPUTS = (TensorSpec("digit", (None, 4), "float32"),)
_NAMES = {"digit": ("nought", "one", "two", "three")}


def _samples(count: int = 200, *, seed: int = 0, classes: int = 4, scale: float = 1.0) -> Samples:
    rows = np.random.default_rng(seed).random((count, 30)).astype(np.float32) * np.float32(scale)
    return Samples({"x": rows}, {"digit": np.arange(count) % classes}, "memory")


def _said(calibration: Samples, judged: Samples | None = None) -> str:
    return "\n".join(doubts(Stream.of(calibration), judged, _OUTPUTS, _NAMES))


def test_good_samples_raise_no_doubts() -> None:
    assert not _said(_samples(), _samples(300, seed=1))


def test_few_samples_are_counted() -> None:
    assert _said(_samples(12)) == (
        "ranges are calibrated on 12 samples: 100 to 500 that look like what is run later are usual"
    )


def test_a_constant_input_is_named() -> None:
    assert "input 'x' is 0 throughout the calibration data" in _said(_samples(scale=0))


def test_one_sample_again_and_again_is_told() -> None:
    same = _samples(1).take(np.zeros(150, int))
    assert "all 150 calibration samples are the same" in _said(same)


def test_classes_that_are_missing_are_named() -> None:
    assert "no sample of 2 of the 4 classes of 'digit': 'two', 'three'" in _said(_samples(classes=2))
    assert "no sample of 1 of the 3 classes of 'digit': 'two'" in _said(
        _samples(classes=2), _samples(seed=1, classes=3)
    )


def test_a_range_that_the_evaluation_data_leaves_is_told_with_figures() -> None:
    assert "50% of that range beyond it" in _said(_samples(), _samples(seed=1, scale=1.5))


@pytest.mark.parametrize(
    ("judged", "message"),
    [
        (_samples(), "the evaluation data is the calibration data"),
        (_samples().take(slice(50, 80)), "30 of the 30 evaluation samples are among the calibration samples"),
    ],
    ids=["all", "some"],
)
def test_samples_that_are_in_both_are_told(judged: Samples, message: str) -> None:
    assert message in _said(_samples(), judged)
