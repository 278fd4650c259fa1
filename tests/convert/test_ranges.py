"""Random samples keep to what a model's first layers say of its inputs."""

from typing import Any

import numpy as np
import pytest

from edgepack.convert.ranges import Range, declared
from edgepack.convert.samples import random_samples
from edgepack.convert.source import open_source
from edgepack.quiet import import_keras

keras = import_keras("builds the models", "convert")
layers = keras.layers


def ends(*chain: Any, shape: tuple[int, ...] = (4,), dtype: str = "float32") -> tuple[Any, Any]:
    """Lowest and highest value declared for the one input of a chain of layers."""
    x = keras.Input(shape, dtype=dtype, name="x")
    y = x
    for layer in chain:
        y = layer(y)
    found = declared(open_source(keras.Model(x, y)))["x"]
    return found.low, found.high


@pytest.mark.parametrize(
    ("chain", "shape", "dtype", "wanted"),
    [
        pytest.param([layers.Embedding(7, 2)], (4,), "int32", (0, 6), id="rows of an embedding"),
        pytest.param([layers.CategoryEncoding(5)], (4,), "int32", (0, 4), id="categories"),
        pytest.param([layers.Discretization([1.0, 3.0])], (4,), "float32", (0, 4), id="bins and beyond"),
        pytest.param([layers.Rescaling(1 / 255)], (4,), "float32", (0, 255), id="pixels to 0 … 1"),
        pytest.param([layers.Rescaling(1 / 127.5, -1)], (4,), "float32", (0, 255), id="pixels to -1 … 1"),
        pytest.param([layers.Dropout(0.5), layers.Rescaling(1 / 255)], (4,), "float32", (0, 255), id="behind others"),
        pytest.param([layers.Dense(2)], (4,), "float32", (0, 1), id="nothing said"),
        pytest.param([layers.Rescaling(2.0)], (4,), "uint8", (0, 0.5), id="a rescaling of whole numbers"),
        pytest.param([layers.Flatten()], (2, 2, 3), "uint8", (0, 255), id="bytes"),
    ],
)
def test_range_of(chain: list[Any], shape: tuple[int, ...], dtype: str, wanted: tuple[float, float]) -> None:
    assert ends(*chain, shape=shape, dtype=dtype) == pytest.approx(wanted)


def test_a_normalization_declares_a_range_for_each_feature() -> None:
    low, high = ends(layers.Normalization(mean=[0.0, 100.0], variance=[1.0, 25.0]), shape=(2,))
    np.testing.assert_allclose(low, [[-2, 90]])
    np.testing.assert_allclose(high, [[2, 110]])


def test_an_input_that_two_layers_read_takes_what_both_can() -> None:
    x = keras.Input((4,), dtype="int32", name="x")
    model = keras.Model(x, [layers.Embedding(9, 2)(x), layers.Embedding(3, 2)(x)])
    found = declared(open_source(model))["x"]
    assert (found.low, found.high) == (0, 2)


def test_a_layer_inside_a_nested_model_counts() -> None:
    inner = keras.Sequential([keras.Input((4,), dtype="int32"), layers.Embedding(6, 2)])
    x = keras.Input((4,), dtype="int32", name="x")
    found = declared(open_source(keras.Model(x, inner(x))))["x"]
    assert (found.low, found.high) == (0, 5)


def test_samples_of_an_embedding_reach_its_last_row_and_no_further() -> None:
    model = keras.Sequential([keras.Input((4,), dtype="int32", name="x"), layers.Embedding(6, 2)])
    values = random_samples(open_source(model), 64).inputs["x"]
    assert (values.min(), values.max()) == (0, 5)


def test_whole_numbers_stay_within_their_type() -> None:
    drawn = Range(-7, 400).draw(np.random.default_rng(0), (50,), np.dtype(np.uint8))
    assert drawn.dtype == np.uint8


def test_a_range_without_a_whole_number_gives_the_next_one() -> None:
    assert Range(0.2, 0.4).draw(np.random.default_rng(0), (3,), np.dtype(np.int32)).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "masking", [layers.Embedding(900, 2, mask_zero=True), layers.Masking(0.0)], ids=lambda one: one.name
)
def test_sequences_that_are_masked_come_in_several_lengths(masking: Any) -> None:
    shape, dtype = ((9,), "int32") if isinstance(masking, layers.Embedding) else ((9, 2), "float32")
    x = keras.Input(shape, dtype=dtype, name="x")
    values = random_samples(open_source(keras.Model(x, masking(x))), 32).inputs["x"].reshape(32, -1)
    ends = {int(np.count_nonzero(row)) for row in values[1::2]}
    assert len(ends) > 3
    assert values[:, 0].all(), "no sequence is empty"
