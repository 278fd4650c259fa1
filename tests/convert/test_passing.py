"""Outputs that are inputs, or other outputs: every one has a tensor and a name of its own in both formats."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.convert import convert_model


def _model(keras: Any, dtype: str) -> Any:
    x = keras.Input((3, 2), dtype=dtype, name="x")
    flat = keras.Input((4,), dtype=dtype, name="flat")
    return keras.Model([x, flat], [x, keras.layers.Identity()(x), keras.layers.Flatten()(flat), flat])


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_what_comes_in_goes_out_under_every_name(keras: Any, tmp_path: Path, dtype: str) -> None:
    model = _model(keras, dtype)
    report = convert_model(model, tmp_path / "model.edgepack")
    assert [result.reasons for result in report.results] == [(), ()]
    rng = np.random.default_rng(0)
    inputs = {"x": rng.integers(0, 2, (2, 3, 2)).astype(dtype), "flat": rng.integers(0, 2, (2, 4)).astype(dtype)}
    for variant in ("tflite-float32", "onnx-float32"):
        outputs = edgepack.load(tmp_path / "model.edgepack", variant=variant).run(inputs)
        for given, wanted in zip(
            outputs.values(), (inputs["x"], inputs["x"], inputs["flat"], inputs["flat"]), strict=True
        ):
            np.testing.assert_array_equal(given, wanted)


def test_an_input_that_nothing_reads_is_still_taken(keras: Any, tmp_path: Path) -> None:
    x, unread = keras.Input((3, 4), name="x"), keras.Input((3,), dtype="bool", name="unread")
    # Keras overrides the mask of the queries with the one that they carry, of which there is none here.
    y = keras.layers.MultiHeadAttention(2, 3)(x, x, query_mask=unread)
    report = convert_model(keras.Model([x, unread], y), tmp_path / "model.edgepack")
    assert [result.reasons for result in report.results] == [(), ()]
    assert [spec.name for spec in report.inputs] == ["x", "unread"]


def test_one_result_may_be_two_outputs(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    y = keras.layers.Dense(2, name="y")(x)
    report = convert_model(keras.Model(x, {"one": y, "two": y}), tmp_path / "model.edgepack")
    assert [result.reasons for result in report.results] == [(), ()]
