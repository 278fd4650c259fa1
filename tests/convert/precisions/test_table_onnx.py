"""The whole table in ONNX: every precision with every value of an option gives a file that is right, or a reason."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgepack.convert import process
from edgepack.convert.calibrate import Stream
from edgepack.convert.cards import about_file
from edgepack.convert.options import METHODS, Options
from edgepack.convert.plan import make_plan
from edgepack.convert.precisions import PRECISIONS, find
from edgepack.convert.prove import Proof, Question, prove
from edgepack.convert.questions import ask
from edgepack.convert.samples import Samples
from edgepack.convert.schemes import Scheme
from edgepack.convert.source import open_source
from edgepack.convert.subject import make_subject
from edgepack.convert.writers import WRITERS, Tools, Writer
from edgepack.runtime.errors import ConvertError

_ROWS = 16


def _pictures(keras: Any) -> Any:
    one = keras.layers
    return keras.Sequential([
        keras.Input((12, 12, 1), name="image"),
        one.Conv2D(16, 3, use_bias=False), one.BatchNormalization(), one.Activation("hard_swish"),
        one.DepthwiseConv2D(3, padding="same", activation="relu6"), one.Conv2D(32, 1, activation="relu", name="points"),
        one.MaxPooling2D(), one.Flatten(), one.Dense(10, name="scores"),
    ])  # fmt: skip


def _squeezed(keras: Any) -> Any:
    one = keras.layers
    image = keras.Input((12, 12, 3), name="picture")
    x = one.Conv2D(24, 3, activation="swish", name="points")(image)
    gate = one.Conv2D(24, 1, activation="sigmoid")(one.GlobalAveragePooling2D(keepdims=True)(x))
    x = one.Conv2D(24, 3, padding="same")(one.Multiply()([x, gate]))
    return keras.Model(image, one.Dense(5)(one.GlobalAveragePooling2D()(x)))


def _numbers(keras: Any) -> Any:
    one = keras.layers
    layers = [one.Dense(512, activation="relu", name="points"), one.Dense(512, activation="relu"), one.Dense(4)]
    return keras.Sequential([keras.Input((80,), name="numbers"), *layers])


def _lstm(keras: Any) -> Any:
    one = keras.layers
    products = [one.Dense(64, activation="relu", name="points"), one.Dense(5)]
    return keras.Sequential([keras.Input((9, 13), name="frames"), one.LSTM(48), *products])


def _gru(keras: Any) -> Any:
    one = keras.layers
    both = one.Bidirectional(one.GRU(48), name="points")
    return keras.Sequential([keras.Input((9, 13), name="steps"), one.Conv1D(16, 3), both, one.Dense(5)])


def _attention(keras: Any) -> Any:
    one = keras.layers
    words = keras.Input((12,), dtype="int32", name="words")
    x = one.Embedding(50, 48)(words)
    x = one.LayerNormalization()(x + one.MultiHeadAttention(2, 24)(x, x))
    x = one.LayerNormalization()(x + one.Dense(48)(one.Dense(96, activation="gelu", name="points")(x)))
    return keras.Model(words, one.Dense(3)(one.GlobalAveragePooling1D()(x)))


def _sound(keras: Any) -> Any:
    one = keras.layers
    return keras.Sequential([
        keras.Input((40, 20), name="mel"), one.Conv1D(32, 5, strides=2, activation="relu", name="points"),
        one.LayerNormalization(), one.Conv1D(32, 3, activation="relu"), one.GlobalAveragePooling1D(), one.Dense(12),
    ])  # fmt: skip


def _curve(keras: Any) -> Any:
    return keras.Sequential([keras.Input((6,), name="x"), keras.layers.Activation("tanh", name="points")])


_MODELS: dict[str, Callable[[Any], Any]] = {
    "pictures": _pictures, "squeezed": _squeezed, "numbers": _numbers, "lstm": _lstm, "gru": _gru,
    "attention": _attention, "sound": _sound, "curve": _curve,
}  # fmt: skip

_NO_KERNEL = "ONNX Runtime has no kernel with calibrated ranges"
_NO_WEIGHTS = "left to quantize"
# (model, precision) -> why there is no such file of it, whatever the options
_REFUSED = {
    ("lstm", "int8"): f"in LSTM, and {_NO_KERNEL} for that: take dynamic_int8",
    ("lstm", "int16x8"): f"in LSTM, and {_NO_KERNEL}",
    ("gru", "int8"): f"in GRU, and {_NO_KERNEL} for that: take weight_int8",
    ("gru", "int16x8"): f"in GRU, and {_NO_KERNEL}",
    ("squeezed", "weight_int4"): "of the weights that can be stored in few bits",
    ("sound", "weight_int4"): "of the weights that can be stored in few bits",
    ("curve", "weight_int8"): "no weights with two axes",
    ("curve", "weight_int4"): "matrix products hold 0% of the weights",
    ("curve", "dynamic_int8"): _NO_WEIGHTS,
    ("curve", "int8"): _NO_WEIGHTS,
    ("curve", "int16x8"): _NO_WEIGHTS,
    ("curve", "float16"): "float16 was asked, but its tensors read float32",
}
# (precision, option) -> why that value is refused, whatever the model
_NEVER = {
    ("int8", "io-int8"): "ONNX files take and give float32",
    ("weight_int4", "per-tensor"): "a scale for each block of 32",
}
_OPTIONS = {
    "plain": Options(),
    "per-tensor": Options(granularity="per-tensor"),
    "uint8": Options(activations="uint8"),
    "int8": Options(activations="int8"),
    "symmetric": Options(symmetric=True),
    "reduced": Options(reduce_range=True),
    "io-int8": Options(io="int8"),
    **{method: Options(ranges=method) for method in METHODS[1:]},
    "all-operators": Options(float_operators=()),
    "without-relu": Options(float_operators=("Relu",)),
    "layer": Options(float_layers=("points",)),
}


def _cells() -> Iterator[Any]:
    """Each model in each precision, with each option that means something to it."""
    for model in _MODELS:
        for name, precision in PRECISIONS.items():
            for option, options in _OPTIONS.items():
                if option == "plain" or precision.taken(options) != Options():
                    marks = [] if option == "plain" or model == "pictures" else [pytest.mark.slow]
                    yield pytest.param(model, name, option, id=f"{model}-{name}-{option}", marks=marks)


def _of(writer: Writer, options: Options) -> Options:
    """The options with the name that the layer has among the parts of the file."""
    known = [part.name for part in writer.parts if options.float_layers and "points" in part.name]
    return msgspec.structs.replace(options, float_layers=tuple(known[:1]))


@pytest.fixture(scope="module")
def written(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[Writer, Question]]]:
    """The writer of a model, and what its files are held against; each made once."""
    folder: Path = tmp_path_factory.mktemp("table")
    with process.converter() as converter:

        @cache
        def make(name: str) -> tuple[Writer, Question]:
            keras.utils.set_random_seed(1)
            model = _MODELS[name](keras)
            rng = np.random.default_rng(2)
            for weight in model.weights:
                if len(weight.shape) == 1:  # zeros and ones would hide what quantizing does to them
                    weight.assign(np.asarray(weight) + rng.uniform(0, 0.2, weight.shape))
            given = model.inputs[0]
            shape = (_ROWS, *given.shape[1:])
            rows = rng.integers(0, 50, shape) if "int" in given.dtype else rng.normal(size=shape)
            plan = make_plan(folder / f"{name}.edgepack", "onnx", "float32", "auto", force=False)
            subject = make_subject(model, open_source(model), plan, None, states=None, name=None, lift_all=False)
            samples = Samples({given.name: rows.astype(given.dtype)}, {}, "memory")
            tools = Tools(converter, about_file(name, None), [])
            writer = WRITERS["onnx"](plan, subject.rest, Stream.of(samples), tools)
            return writer, ask(subject, samples, None)

        yield make


@pytest.mark.parametrize(("model", "precision", "option"), list(_cells()))
def test_a_cell_is_a_file_that_is_close_or_a_reason(
    written: Callable[[str], tuple[Writer, Question]], model: str, precision: str, option: str
) -> None:
    writer, question = written(model)
    kinds = {kind for part in writer.parts for kind in part.operators}
    missing = set(_OPTIONS[option].float_operators or ()) - kinds
    refusal = "in the onnx file to keep in float" if missing else _NEVER.get((precision, option))
    refusal = refusal or _REFUSED.get((model, precision))
    try:
        data = writer(Scheme(find(precision), _of(writer, _OPTIONS[option])))
        proof = prove("onnx", data, find(precision), question)
    except ConvertError as error:
        proof = Proof((str(error),))
    if refusal is None:
        assert proof.reasons == ()
        assert proof.census is not None
        assert proof.census.precision == precision
    else:
        assert any(refusal in reason for reason in proof.reasons)
