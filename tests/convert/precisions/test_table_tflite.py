"""Every precision with every option as TFLite: a file that runs and is close to Keras, or a refusal with the reason."""

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgepack.convert import process
from edgepack.convert.calibrate import Stream
from edgepack.convert.options import Options
from edgepack.convert.plan import make_plan
from edgepack.convert.precisions import PRECISIONS, find
from edgepack.convert.prove import Proof, Question, prove
from edgepack.convert.samples import Samples
from edgepack.convert.schemes import Scheme
from edgepack.convert.source import open_source
from edgepack.convert.writers import WRITERS, Tools, Writer
from edgepack.quiet import import_keras
from edgepack.runtime.about import About
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.tensor import Array

_ROWS = 24


def _image(keras: Any) -> Any:
    return keras.Input((16, 16, 4), name="image")


def _conv(keras: Any) -> Any:
    one = keras.layers
    layers = [one.Conv2D(16, 3, activation="relu", name="first"), one.MaxPooling2D(), one.Flatten(), one.Dense(6)]
    return keras.Sequential([_image(keras), *layers, one.Softmax(name="scores")])


def _mobile(keras: Any) -> Any:
    one = keras.layers
    image = _image(keras)
    x = one.Conv2D(32, 1, activation="hard_swish", name="first")(image)
    x = one.DepthwiseConv2D(3, padding="same", activation="hard_swish")(x)
    squeezed = one.Conv2D(8, 1, activation="relu")(one.GlobalAveragePooling2D(keepdims=True)(x))
    x = one.Multiply()([x, one.Conv2D(32, 1, activation="hard_sigmoid")(squeezed)])
    return keras.Model(image, one.Dense(4, name="scores")(one.GlobalAveragePooling2D()(x)))


def _recurrent(kind: str) -> Callable[[Any], Any]:
    def make(keras: Any) -> Any:
        one = keras.layers
        sound = keras.Input((8, 6), name="sound")
        return keras.Sequential([sound, getattr(one, kind)(32, name="first"), one.Dense(3, name="scores")])

    return make


def _attention(keras: Any) -> Any:
    one = keras.layers
    words = keras.Input((12, 32), name="words")
    x = one.LayerNormalization()(one.Add()([words, one.MultiHeadAttention(2, 16)(words, words)]))
    x = one.Add()([x, one.Dense(32)(one.Dense(64, activation="gelu", name="first")(x))])
    return keras.Model(words, one.Dense(5, activation="softmax", name="scores")(one.GlobalAveragePooling1D()(x)))


def _embedding(keras: Any) -> Any:
    one = keras.layers
    words = keras.Input((5,), dtype="int32", name="words")
    return keras.Sequential([words, one.Embedding(400, 16), one.Flatten(), one.Dense(32, name="first"), one.Dense(3)])


def _autoencoder(keras: Any) -> Any:
    one = keras.layers
    layers = [
        one.Dense(64, "relu", name="first"),
        one.Dense(8, "relu"),
        one.Dense(64, "relu"),
        one.Dense(32, "sigmoid"),
    ]
    return keras.Sequential([keras.Input((32,), name="pixels"), *layers])


def _conv1d(keras: Any) -> Any:
    one = keras.layers
    layers = [one.Conv1D(16, 3, activation="relu", name="first"), one.Conv1D(16, 3, activation="tanh")]
    return keras.Sequential([keras.Input((32, 6), name="sound"), *layers, one.GlobalMaxPooling1D(), one.Dense(4)])


MODELS: dict[str, Callable[[Any], Any]] = {
    "conv": _conv,
    "mobile": _mobile,
    "lstm": _recurrent("LSTM"),
    "gru": _recurrent("GRU"),
    "attention": _attention,
    "embedding": _embedding,
    "autoencoder": _autoencoder,
    "conv1d": _conv1d,
}
OPTIONS = {
    "plain": Options(),
    "per-tensor": Options(granularity="per-tensor"),
    "int8": Options(activations="int8"),
    "uint8": Options(activations="uint8"),
    "symmetric": Options(symmetric=True),
    "reduced": Options(reduce_range=True),
    "io-int8": Options(io="int8"),
    "percentile": Options(ranges="percentile"),
    "no-dense": Options(float_operators=("FULLY_CONNECTED",)),
    "all-operators": Options(float_operators=()),
    "kept": Options(float_layers=("the first part",)),
}
_FULL = {"float32", "float16"}  # neither has whole numbers, and no option of them is of any use to it
_WHOLE = set(PRECISIONS) - _FULL
# option -> the precisions that refuse it, and why
REFUSED = {
    "int8": (_WHOLE - {"int8"}, "kernels take int8 activations"),
    "uint8": (_WHOLE, "kernels take int8 activations"),
    "reduced": (_WHOLE, "no kernel of TFLite saturates"),
    "per-tensor": ({"weight_int4"}, "a scale for each block of 32"),
}


class Lab:
    """A model with its writer, and what its files are held against."""

    def __init__(self, model: Any, folder: Path) -> None:
        source = open_source(model)
        spec = source.inputs[0]
        rng = np.random.default_rng(0)
        shape = (_ROWS, *(int(size or 0) for size in spec.shape[1:]))
        values: Array = rng.normal(size=shape).astype(np.float32)
        if spec.dtype == "int32":
            values = rng.integers(0, 400, shape).astype(np.int32)
        samples = Samples({spec.name: values}, {}, "random")
        self.question = Question(samples, source.predict(samples.inputs, _ROWS), (0,), None)
        self.notes: list[str] = []
        plan = make_plan(folder / "model.edgepack", "tflite", "all", "auto", force=False)
        tools = Tools(process._shared, About(edgepack="test", name="model"), self.notes)
        self._writer: Writer = WRITERS["tflite"](plan, source, Stream.of(samples), tools)

    def lacks(self, options: Options) -> bool:
        """Whether the file has no operators of a kind that is to stay in float."""
        kinds = {kind for part in self._writer.parts for kind in part.operators}
        return not kinds.issuperset(options.float_operators or ())

    def write(self, precision: str, options: Options) -> Proof:
        if options.float_layers:
            options = msgspec.structs.replace(options, float_layers=(self._writer.parts[0].name,))
        scheme = Scheme(PRECISIONS[precision], options)
        return prove("tflite", self._writer(scheme), scheme.precision, self.question)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Lab]]:
    keras = import_keras("the table is walked", "convert")

    @cache
    def made(name: str) -> Lab:
        keras.utils.set_random_seed(1)
        return Lab(MODELS[name](keras), tmp_path_factory.mktemp(name))

    yield made
    process._shared.close()


def _check(lab: Lab, precision: str, option: str) -> None:
    refusing, reason = REFUSED.get(option, (set(), ""))
    if lab.lacks(OPTIONS[option]):
        refusing, reason = _WHOLE, "in the tflite file to keep in float"
    if precision in refusing and find(precision).options & set(OPTIONS[option].said()):  # others leave it out
        with pytest.raises(ConvertError, match=reason):
            lab.write(precision, OPTIONS[option])
        return
    proof = lab.write(precision, OPTIONS[option])
    assert proof.reasons == _expected(precision, option, proof)


def _expected(precision: str, option: str, proof: Proof) -> tuple[str, ...]:
    """The one reason there may be: with its matrix products kept in float, little is left to store in fewer bits."""
    if option in {"no-dense", "kept"} and proof.census and proof.census.precision != precision:
        read = proof.census.precision
        return (f"{precision} was asked, but its tensors read {read}: nothing was gained by it",)
    return ()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", ["conv", "lstm", "embedding"])
def test_each_precision_is_close(lab: Callable[[str], Lab], model: str, precision: str) -> None:
    _check(lab(model), precision, "plain")


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_is_honoured_or_refused(lab: Callable[[str], Lab], option: str) -> None:
    for precision in ("dynamic_int8", "int8"):
        _check(lab("conv"), precision, option)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("precision", "option"), list(itertools.product(PRECISIONS, OPTIONS)), ids=str)
def test_the_whole_table(lab: Callable[[str], Lab], model: str, precision: str, option: str) -> None:
    _check(lab(model), precision, option)
