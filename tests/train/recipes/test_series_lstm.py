"""A forecast: it begins as the naive one, is validated on the end of its training, and refuses half a month."""

from dataclasses import replace

import numpy as np
import pytest

import edgepack
from edgepack.runtime.errors import InputError
from edgepack.train import find
from edgepack.train.data import Data
from edgepack.train.datasets import weather
from edgepack.train.recipe import _prepare
from tests.train.recipes.conftest import Make, Seeds

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

VARIANTS = ("tflite-float32", "tflite-dynamic_int8", "onnx-float32", "onnx-dynamic_int8")


def few() -> Data:
    """The last half year to train on, and a month to test with."""
    data = weather.load()
    return replace(data, train=data.train.take(np.arange(-180, 0)), test=data.test.take(np.arange(30)))


def test_before_training_it_is_the_naive_forecast() -> None:
    data = weather.load()
    model = find("series-lstm").build(data.train)
    kernel = model.get_layer("ahead").get_weights()[0]
    assert kernel.sum() == 7
    told = np.asarray(model(data.test.values[:50]))
    naive = np.repeat(data.test.values[:50, -1:, 0], 7, axis=1)
    np.testing.assert_allclose(told, naive, atol=1e-4)  # float32, degrees


def test_the_validation_part_is_the_end_of_the_training_part() -> None:
    data, recipe = few(), find("series-lstm")
    for seed in (0, 1):
        parts = _prepare(recipe, data, np.random.default_rng(seed))
        np.testing.assert_array_equal(parts.fitting.values, data.train.values[:162])
        np.testing.assert_array_equal(parts.validation.values, data.train.values[162:])
    other = _prepare(replace(recipe, ordered=False), data, np.random.default_rng(0))
    assert not np.array_equal(other.validation.values, data.train.values[162:])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_week_is_told_as_by_keras(quick: Make, variant: str) -> None:
    made = quick("series-lstm", 1, load=lambda path: few())
    assert [one.variant for one in made.report.passed] == list(VARIANTS)
    days = few().test.values[3]
    wanted = made.result.model.predict(days[np.newaxis], verbose=0)[0]
    told = edgepack.load(made.pack, variant=variant).predict(days)
    assert [one.name for one in told] == [f"day {day}" for day in range(1, 8)]
    assert {one.unit for one in told} == {"degC"}
    # Rounded to tenths; weights of 8 bits move a forecast by less than a degree.
    np.testing.assert_allclose([one.number for one in told], wanted, atol=0.051 if "float32" in variant else 1)


@pytest.mark.parametrize("days", [27, 29])
def test_more_or_fewer_days_than_it_knows_are_refused(quick: Make, days: int) -> None:
    session = edgepack.load(quick("series-lstm", 1, load=lambda path: few()).pack)
    with pytest.raises(InputError, match=str(days)):
        session.predict(np.ones((days, 4), np.float32))


def test_its_errors_stand_beside_those_of_the_naive_forecast(quick: Make) -> None:
    made = quick("series-lstm", 1, load=lambda path: few())
    test, metrics = few().test, made.result.card.metrics
    naive = np.abs(test.values[:, -1:, 0] - test.labels)
    forecast = np.abs(made.result.model.predict(test.values, verbose=0) - test.labels)
    assert metrics["test_naive_error_degc"] == pytest.approx(naive.mean(), abs=1e-5)
    assert metrics["test_naive_error_degc_tomorrow"] == pytest.approx(naive[:, 0].mean(), abs=1e-5)
    assert metrics["test_error_degc"] == pytest.approx(forecast.mean(), abs=1e-5)
    assert metrics["test_error_degc_tomorrow"] == pytest.approx(forecast[:, 0].mean(), abs=1e-5)


@pytest.mark.slow
def test_each_of_three_seeds_is_better_than_the_naive_forecast(three_seeds: Seeds) -> None:
    for made in three_seeds("series-lstm"):
        metrics = made.result.card.metrics
        assert metrics["test_error_degc"] < 0.95 * metrics["test_naive_error_degc"]
        assert metrics["test_error_degc_tomorrow"] < metrics["test_naive_error_degc_tomorrow"]
