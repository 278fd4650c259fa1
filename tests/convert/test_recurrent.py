"""Recurrent layers: one ONNX node each, exact for every mask and state; loops in TFLite, and no Flex operator."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.convert import Report, convert_model

_STEPS, _FEATURES = 7, 5


def _sequential(keras: Any, *layers: Any) -> Any:
    return keras.Sequential([keras.Input((_STEPS, _FEATURES), name="x"), *layers])


def _words(keras: Any, *layers: Any) -> Any:
    embedding = keras.layers.Embedding(12, 4, mask_zero=True)
    return keras.Sequential([keras.Input((_STEPS,), dtype="int32", name="x"), embedding, *layers])


def _with_states(keras: Any) -> Any:
    x, h, c = (keras.Input(shape, name=name) for name, shape in (("x", (_STEPS, _FEATURES)), ("h", (4,)), ("c", (4,))))
    outputs = keras.layers.LSTM(4, return_state=True, return_sequences=True)(x, initial_state=[h, c])
    return keras.Model([x, h, c], outputs)


def _words_with_states(keras: Any, **options: Any) -> Any:
    x, h, c = keras.Input((_STEPS,), dtype="int32", name="x"), keras.Input((4,), name="h"), keras.Input((4,), name="c")
    words = keras.layers.Embedding(12, 4, mask_zero=True)(x)
    layer = keras.layers.RNN(keras.layers.LSTMCell(4), return_state=True, **options)
    return keras.Model([x, h, c], layer(words, initial_state=[h, c]))


# name -> (model, its ONNX operators)
_MODELS: dict[str, tuple[Callable[[Any, Any], Any], dict[str, int]]] = {
    "LSTM": (lambda k, one: _sequential(k, one.LSTM(4)), {"LSTM": 1}),
    "LSTM, all steps": (lambda k, one: _sequential(k, one.LSTM(4, return_sequences=True)), {"LSTM": 1}),
    "GRU": (lambda k, one: _sequential(k, one.GRU(4)), {"GRU": 1}),
    "GRU, reset before": (lambda k, one: _sequential(k, one.GRU(4, reset_after=False)), {"GRU": 1}),
    "GRU without bias": (lambda k, one: _sequential(k, one.GRU(4, use_bias=False)), {"GRU": 1}),
    "SimpleRNN": (lambda k, one: _sequential(k, one.SimpleRNN(4, return_sequences=True)), {"RNN": 1}),
    "RNN of a cell": (lambda k, one: _sequential(k, one.RNN(one.GRUCell(4))), {"GRU": 1}),
    "backwards": (
        lambda k, one: _sequential(k, one.LSTM(4, go_backwards=True, return_sequences=True)), {"LSTM": 1}
    ),
    "other activations": (
        lambda k, one: _sequential(k, one.LSTM(4, activation="relu", recurrent_activation="hard_sigmoid")), {"LSTM": 1}
    ),
    "bidirectional": (
        lambda k, one: _sequential(k, one.Bidirectional(one.GRU(4, return_sequences=True))), {"GRU": 2}
    ),
    "stacked": (
        lambda k, one: _sequential(k, one.LSTM(4, return_sequences=True), one.GRU(3)), {"LSTM": 1, "GRU": 1}
    ),
    "initial states": (lambda k, _: _with_states(k), {"LSTM": 1}),
    "masked words": (lambda k, one: _words(k, one.LSTM(4)), {"LSTM": 1}),
    "masked words, both ways, all steps": (
        lambda k, one: _words(k, one.Bidirectional(one.LSTM(4, return_sequences=True)), one.GRU(3)),
        {"LSTM": 2, "GRU": 1},
    ),
    "masked words, zero where masked": (
        lambda k, one: _words(k, one.RNN(one.LSTMCell(4), return_sequences=True, zero_output_for_mask=True)),
        {"LSTM": 1},
    ),
    "stacked cells": (
        lambda k, one: _words(k, one.RNN([one.LSTMCell(4), one.GRUCell(3)], return_sequences=True)),
        {"LSTM": 1, "GRU": 1},
    ),
    "masked words, initial states": (lambda k, _: _words_with_states(k, return_sequences=False), {"LSTM": 1}),
    "masked words, initial states, all steps": (
        lambda k, _: _words_with_states(k, return_sequences=True, go_backwards=True), {"LSTM": 1}
    ),
    "masked words, initial states, zero where masked": (
        lambda k, _: _words_with_states(k, return_sequences=False, zero_output_for_mask=True), {"LSTM": 1}
    ),
    "an activation ONNX lacks": (lambda k, one: _sequential(k, one.LSTM(4, activation="selu")), {"Loop": 1}),
}  # fmt: skip


def _convert(keras: Any, name: str, output: Path) -> tuple[Report, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The model with random weights as a file, its inputs (every kind of mask among them), and Keras's outputs."""
    rng = np.random.default_rng(0)
    model = _MODELS[name][0](keras, keras.layers)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.5)
    feeds = {tensor.name: _values(rng, tensor) for tensor in model.inputs}
    report = convert_model(model, output, evaluation=feeds)
    arrays = [feeds[tensor.name] for tensor in model.inputs]
    wanted = keras.tree.flatten(model(arrays if len(arrays) > 1 else arrays[0], training=False))
    names = [spec.name for spec in report.outputs]
    return report, feeds, dict(zip(names, (np.asarray(one) for one in wanted), strict=True))


def _values(rng: np.random.Generator, tensor: Any) -> np.ndarray:
    shape = (6, *tensor.shape[1:])
    if "int" not in tensor.dtype:
        return rng.normal(size=shape).astype(tensor.dtype)
    words = rng.integers(1, 12, shape)
    words[0] = 0  # nothing but padding
    words[1, :3] = 0  # before
    words[2, 4:] = 0  # behind
    words[3, 2] = words[3, 5] = 0  # in the middle
    return words.astype(tensor.dtype)


@pytest.mark.parametrize("name", _MODELS)
def test_onnx_has_one_node_and_is_right(keras: Any, tmp_path: Path, name: str) -> None:
    report, feeds, wanted = _convert(keras, name, tmp_path / "m.onnx")
    operators = report.results[0].operators
    assert {one: operators.get(one, 0) for one in ("LSTM", "GRU", "RNN", "Loop") if one in operators} == _MODELS[name][
        1
    ]
    with edgepack.load(tmp_path / "m.onnx") as session:
        found = session.run(feeds)
    for output, array in wanted.items():
        np.testing.assert_allclose(found[output], array, atol=2e-6)  # float32, 7 steps


@pytest.mark.parametrize("name", ["LSTM", "GRU", "bidirectional", "initial states", "masked words"])
def test_tflite_has_no_flex_operator_and_is_right(keras: Any, tmp_path: Path, name: str) -> None:
    report, feeds, wanted = _convert(keras, name, tmp_path / "m.tflite")
    assert not any("FLEX" in operator.upper() or operator == "CUSTOM" for operator in report.results[0].operators)
    with edgepack.load(tmp_path / "m.tflite") as session:
        found = session.run(feeds)
    for output, array in wanted.items():
        np.testing.assert_allclose(found[output], array, atol=2e-6)  # float32, 7 steps


def test_the_report_says_what_was_lowered_and_what_was_not(keras: Any, tmp_path: Path) -> None:
    fused, _, _ = _convert(keras, "LSTM", tmp_path / "fused.onnx")
    loop, _, _ = _convert(keras, "an activation ONNX lacks", tmp_path / "loop.onnx")
    assert "one ONNX LSTM node" in fused.notes[0]
    assert "kept as a loop" in loop.notes[0]


def test_the_model_is_as_it_was_after_converting(keras: Any, tmp_path: Path) -> None:
    model = _sequential(keras, keras.layers.LSTM(4))
    before = model.layers[0].call
    convert_model(model, tmp_path / "m.onnx")
    assert model.layers[0].call == before
