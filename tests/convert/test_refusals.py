"""A refusal names the layer, the reason, and what would help."""

from pathlib import Path
from typing import Any

import pytest

from edgepack.convert.build import convert_model
from edgepack.convert.refusals import missing, tflite_reason
from edgepack.quiet import import_keras
from edgepack.runtime.errors import ConvertError


@pytest.mark.parametrize(("target", "name", "other"), [("tflite", "TFLite", "onnx"), ("onnx", "ONNX", "tflite")])
def test_an_operator_that_a_format_lacks(tmp_path: Path, target: str, name: str, other: str) -> None:
    keras = import_keras("builds the model", "convert")

    class Backwards(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return keras.ops.erfinv(x * 0.5)

    model = keras.Sequential([keras.Input((4,), name="x"), Backwards(name="backwards")])
    words = rf"{name} has no operator for Erfinv \(in backwards.*\): convert to {other} alone .*, or replace the layer"
    with pytest.raises(ConvertError, match=words):
        convert_model(model, tmp_path / f"m.{target}")


def test_a_list_of_select_operators_is_read() -> None:
    text = "Some ops are not supported, TF Select ops: Qr, FlexSvd Details: tf.Qr(tensor<1x4x4xf32>)"
    assert "no operator for Qr (in linear), Svd:" in tflite_reason(text, {"Qr": ["model/linear/Qr"]})


def test_places_in_the_compiler_are_left_out() -> None:
    assert tflite_reason("it cannot be. <frozen runpy>:198:1: error: 'x' <unknown>:0: note", {}) == "it cannot be."


def test_a_message_that_begins_with_a_place_is_still_read() -> None:
    text = "<frozen runpy>:198:1: error: 'tfl.gather' op takes no bool <frozen runpy>:88:1: note: called from"
    assert tflite_reason(text, {}) == "'tfl.gather' op takes no bool"


def test_a_few_layers_stand_for_many() -> None:
    assert missing("ONNX", "tflite", {"Qr": [f"m/layer_{index}/Qr" for index in range(9)]}).count("layer_") == 5
