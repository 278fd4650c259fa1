"""Recurrent layers in TFLite: unrolled or in blocks of steps, exact, without memory between calls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.convert import convert_model

_FEATURES = 5
_LONG = 75  # more steps than are unrolled, and no multiple of those in a block


def _model(keras: Any, steps: int, *layers: Any) -> Any:
    return keras.Sequential([keras.Input((steps, _FEATURES), name="x"), *layers])


def _masked(keras: Any, steps: int, *layers: Any) -> Any:
    return _model(keras, steps, keras.layers.Masking(), *layers)


def _begun(keras: Any, steps: int, **options: Any) -> Any:
    """A masked layer whose states are inputs and outputs of the model."""
    x, h, c = (keras.Input(shape, name=name) for name, shape in (("x", (steps, _FEATURES)), ("h", (4,)), ("c", (4,))))
    layer = keras.layers.RNN(keras.layers.LSTMCell(4), return_state=True, **options)
    return keras.Model([x, h, c], layer(keras.layers.Masking()(x), initial_state=[h, c]))


def _fading(keras: Any) -> Any:
    """A cell of the user's own, whose output is none of its states and whose states do not begin at zero."""

    class Fading(keras.layers.Layer):  # type: ignore[misc]
        units = state_size = 3

        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=(shape[-1], 3), name="kernel")

        def call(self, inputs: Any, states: Any) -> Any:
            state = 0.9 * states[0] + keras.ops.tanh(inputs @ self.kernel)
            return 1 - state, [state]

        def get_initial_state(self, batch_size: Any = None) -> Any:
            return [keras.ops.full((batch_size, 3), 0.3)]

    return Fading()


# name -> (model, the form it takes)
_MODELS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "LSTM": (lambda k, one: _model(k, 7, one.LSTM(4, return_sequences=True, return_state=True)), "unrolled, 7 steps"),
    "LSTM, last state": (lambda k, one: _model(k, 7, one.LSTM(4, return_state=True)), "unrolled"),
    "GRU": (lambda k, one: _model(k, 7, one.GRU(4, use_bias=False)), "gru, unrolled"),
    "GRU, reset before": (lambda k, one: _model(k, 7, one.GRU(4, reset_after=False, activation="relu")), "unrolled"),
    "one step": (lambda k, one: _model(k, 1, one.GRU(4, reset_after=False)), "unrolled, 1 steps"),
    "SimpleRNN": (lambda k, one: _model(k, 7, one.SimpleRNN(4, go_backwards=True, return_sequences=True)), "unrolled"),
    "LSTM, long": (lambda k, one: _model(k, _LONG, one.LSTM(4)), "75 steps in blocks of 8"),
    "LSTM, long, all steps": (lambda k, one: _model(k, _LONG, one.LSTM(4, return_sequences=True)), "blocks of 8"),
    "LSTM, large": (lambda k, one: _model(k, 12, one.LSTM(160, return_sequences=True)), "blocks of 1"),
    "masked": (lambda k, one: _masked(k, 7, one.GRU(4, return_sequences=True)), "unrolled"),
    "masked, long": (lambda k, one: _masked(k, _LONG, one.GRU(4, return_sequences=True)), "blocks of 8"),
    "masked, both ways": (
        lambda k, one: _masked(k, 7, one.Bidirectional(one.GRU(4, return_sequences=True), merge_mode="ave")),
        "unrolled",
    ),
    "states given": (lambda k, _: _begun(k, 7, return_sequences=True), "unrolled"),
    "states given, last": (lambda k, _: _begun(k, 7), "unrolled"),
    "zero where masked": (lambda k, _: _begun(k, 7, zero_output_for_mask=True), "unrolled"),
    "stacked cells": (
        lambda k, one: _masked(k, 7, one.RNN([one.LSTMCell(4), one.GRUCell(3)], return_state=True)), "gru, unrolled"
    ),
    "own cell": (lambda k, one: _masked(k, 7, one.RNN(_fading(k), return_sequences=True)), "Fading, unrolled"),
    "own cell among others, long": (
        lambda k, one: _masked(k, _LONG, one.RNN([_fading(k), one.LSTMCell(4)], return_state=True)), "Fading, a loop"
    ),
}  # fmt: skip


def _filled(model: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The model with random weights, and inputs with every kind of masked step."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.4)
    feeds = {one.name: rng.normal(size=(6, *one.shape[1:])).astype(np.float32) for one in model.inputs}
    steps = feeds["x"]
    steps[0] = 0  # nothing counts
    steps[1, :3] = 0  # before
    steps[2, -3:] = 0  # behind
    steps[3, 2::3] = 0  # in the middle
    return model, feeds


def _answers(keras: Any, model: Any, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    given = [feeds[one.name] for one in model.inputs]
    outputs = model(given if len(given) > 1 else given[0], training=False)
    return [np.asarray(one) for one in keras.tree.flatten(outputs)]


@pytest.mark.parametrize("name", _MODELS)
def test_the_file_is_right_at_every_call_and_has_no_flex_operator(keras: Any, tmp_path: Path, name: str) -> None:
    make, form = _MODELS[name]
    model, feeds = _filled(make(keras, keras.layers))
    report = convert_model(model, tmp_path / "m.tflite", evaluation=feeds)
    assert form in " ".join(report.notes)
    assert not any("FLEX" in one.upper() or one == "CUSTOM" for one in report.results[0].operators)
    with edgepack.load(tmp_path / "m.tflite") as session:
        first, second = session.run(feeds), session.run(feeds)
    for spec, wanted in zip(report.outputs, _answers(keras, model, feeds), strict=True):
        np.testing.assert_allclose(first[spec.name], wanted, atol=4e-6)  # float32, 75 steps
        np.testing.assert_array_equal(first[spec.name], second[spec.name])


@pytest.mark.parametrize("name", ["GRU", "LSTM, long, all steps", "masked, both ways", "own cell"])
def test_any_number_of_rows_in_one_file(keras: Any, tmp_path: Path, name: str) -> None:
    model, feeds = _filled(_MODELS[name][0](keras, keras.layers))
    report = convert_model(model, tmp_path / "m.tflite", evaluation=feeds, batch="dynamic")
    (wanted,) = _answers(keras, model, feeds)
    with edgepack.load(tmp_path / "m.tflite") as session:
        for rows in (1, 3, 1):
            found = session.run({"x": feeds["x"][:rows]})[report.outputs[0].name]
            np.testing.assert_allclose(found, wanted[:rows], atol=4e-6)  # float32, 75 steps


@pytest.mark.parametrize("batch", ["auto", "dynamic"])
@pytest.mark.parametrize("name", ["LSTM", "masked, both ways", "own cell"])
def test_any_number_of_steps_in_one_file(keras: Any, tmp_path: Path, name: str, batch: str) -> None:
    whole, one = name != "LSTM", keras.layers
    layer = {
        "LSTM": lambda: one.LSTM(4),
        "masked, both ways": lambda: one.Bidirectional(one.GRU(4, return_sequences=True)),
        "own cell": lambda: one.RNN(_fading(keras), return_sequences=True),
    }[name]()
    model = keras.Sequential([keras.Input((None, _FEATURES), name="x"), *[one.Masking()] * whole, layer])
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.4)
    report = convert_model(model, tmp_path / "m.tflite", batch=batch)
    assert "a free number of steps" in report.notes[0]
    with edgepack.load(tmp_path / "m.tflite") as session:
        for rows, steps in ((1, 9), (3, 4), (1, 1)):
            x = rng.normal(size=(rows, steps, _FEATURES)).astype(np.float32)
            x[:, 2:4] = 0
            wanted = np.asarray(model(x, training=False))
            np.testing.assert_allclose(session.run({"x": x})[report.outputs[0].name], wanted, atol=2e-6)


def test_what_is_infinite_at_a_masked_step_stays_out(keras: Any, tmp_path: Path) -> None:
    x, mask = keras.Input((7, _FEATURES), name="x"), keras.Input((7,), dtype="bool", name="mask")
    model, feeds = _filled(keras.Model([x, mask], keras.layers.LSTM(4)(x, mask=mask)))
    feeds["mask"] = feeds["x"].any(axis=-1)
    wanted = _answers(keras, model, feeds)[0]
    convert_model(model, tmp_path / "m.tflite", evaluation=feeds)
    feeds["x"][~feeds["mask"]] = np.inf
    with edgepack.load(tmp_path / "m.tflite") as session:
        np.testing.assert_allclose(*session.run(feeds).values(), wanted, atol=2e-6)  # float32, 7 steps


@pytest.mark.parametrize("wrap", [lambda keras, layer: layer, lambda keras, layer: keras.layers.Bidirectional(layer)])
@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_a_stateful_layer_begins_each_call_anew(keras: Any, tmp_path: Path, suffix: str, wrap: Any) -> None:
    layer = wrap(keras, keras.layers.GRU(4, stateful=True, name="memory"))
    model = keras.Sequential([keras.Input(batch_shape=(1, 7, 5), name="x"), layer])
    steps = np.random.default_rng(2).normal(size=(1, 7, 5)).astype(np.float32)
    wanted = np.asarray(model(steps))
    kept = [np.asarray(variable) for variable in model.non_trainable_variables]
    report = convert_model(model, tmp_path / f"m.{suffix}")
    assert any("stateful=True, and a file has no memory" in note for note in report.notes)
    with edgepack.load(tmp_path / f"m.{suffix}") as session:
        for _ in range(2):
            np.testing.assert_allclose(session(steps), wanted, atol=2e-6)  # float32, 7 steps
    assert all(np.array_equal(one, other) for one, other in zip(kept, model.non_trainable_variables, strict=True))


def test_dropout_vanishes(keras: Any, tmp_path: Path) -> None:
    layer = keras.layers.LSTM(4, dropout=0.5, recurrent_dropout=0.5)
    report = convert_model(_model(keras, 7, layer), tmp_path / "m.tflite")
    assert "unrolled" in report.notes[0]
    assert not any("RANDOM" in operator for operator in report.results[0].operators)
