"""Operations that an exporter refuses take a form that both write: spectra, bins, counts, products of many axes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.convert import convert_model
from edgepack.convert.lowering import Markers
from edgepack.convert.lowering.operations import substituted

_BINS = [-0.8, -0.1, 0.4, 1.2]
_MEL = {"fft_length": 64, "sequence_stride": 32, "sequence_length": 48, "num_mel_bins": 8, "sampling_rate": 2000}


def _attention(layers: Any, x: Any) -> Any:
    return layers.MultiHeadAttention(2, 3, attention_axes=(1, 3))(x, x, return_attention_scores=True)


def _weighted(keras: Any) -> Any:
    ids, weights = keras.Input((4,), dtype="int32", name="ids"), keras.Input((4,), name="weights")
    return keras.Model(
        [ids, weights], keras.layers.CategoryEncoding(6, output_mode="count")(ids, count_weights=weights)
    )


def _made(
    shape: tuple[int | None, ...], build: Callable[[Any, Any], Any], dtype: str = "float32"
) -> Callable[..., Any]:
    def model(keras: Any) -> Any:
        x = keras.Input(shape, dtype=dtype, name="x")
        return keras.Model(x, build(keras, x))

    return model


def _quantized(keras: Any) -> Any:
    layers = [keras.layers.Dense(8), keras.layers.EinsumDense("abc,cd->abd", output_shape=(None, 5))]
    model = keras.Sequential([keras.Input((4, 16), name="x"), *layers])
    for layer in layers:
        layer.quantize("int8")
    return model


_MODELS: dict[str, Callable[[Any], Any]] = {
    "mel spectrogram": _made((400,), lambda k, x: k.layers.MelSpectrogram(**_MEL)(x)),
    "spectrum": _made((3, 20), lambda k, x: k.ops.concatenate(k.ops.rfft(x), axis=-1)),
    "bins": _made((4,), lambda k, x: k.layers.Discretization(_BINS)(x)),
    "bins of many axes": _made((2, 3, 2, 2), lambda k, x: k.layers.Discretization(_BINS)(x)),
    "bins, counted": _made((4,), lambda k, x: k.layers.Discretization(_BINS, output_mode="count")(x)),
    "weighted counts": _weighted,
    "attention over two axes of five": _made((3, 2, 4, 6), lambda k, x: _attention(k.layers, x)),
    "product of seven axes": _made(
        (2, 3, 4, 5), lambda k, x: k.layers.EinsumDense("abcde,cdefg->agbf", output_shape=(4, 2, 3))(x)
    ),
    "layers that Keras quantized": _quantized,
    "integers, averaged": _made((5,), lambda k, x: k.layers.Average()([x, x, x]), "int32"),
    "bytes, added": _made((5,), lambda k, x: k.layers.Add()([x, x]), "uint8"),
    "doubles, embedded and normalized": _made(
        (5,),
        lambda k, x: k.layers.LayerNormalization(dtype="float64")(k.layers.Embedding(9, 4, dtype="float64")(x)),
        "int32",
    ),
    "numbers looked up behind other layers": _made(
        (4,),
        lambda k, x: k.layers.IntegerLookup(vocabulary=[1, -2], num_oov_indices=2, mask_token=0)(
            k.ops.cast(x, "int64")
        ),
    ),
    "integers, added": _made((5,), lambda k, x: k.layers.Add()([x, x]), "int32"),
}


@pytest.mark.parametrize("name", _MODELS)
def test_both_formats_give_what_keras_gives(keras: Any, tmp_path: Path, name: str) -> None:
    model = _MODELS[name](keras)
    report = convert_model(model, tmp_path / "model.edgepack")
    assert [result.reasons for result in report.results] == [(), ()]


def test_the_steps_of_a_layer_may_be_of_any_number(keras: Any, tmp_path: Path) -> None:
    model = _made((None, 5), lambda k, x: k.layers.TimeDistributed(k.layers.Dense(4))(x))(keras)
    convert_model(model, tmp_path / "steps.edgepack", targets="onnx")
    rows = np.random.default_rng(0).normal(size=(2, 9, 5)).astype(np.float32)
    given = edgepack.load(tmp_path / "steps.edgepack").run({model.inputs[0].name: rows})
    np.testing.assert_allclose(next(iter(given.values())), model(rows), atol=1e-5)


def test_the_short_time_spectrum_is_that_of_keras(keras: Any) -> None:
    signal = np.random.default_rng(0).normal(size=(2, 3, 300)).astype(np.float32)
    arguments: dict[str, Any] = {"sequence_length": 50, "sequence_stride": 20, "fft_length": 64}
    for more in ({}, {"window": "hamming"}, {"window": None}, {"center": False}):
        wanted = keras.ops.stft(signal, **arguments, **more)
        with substituted(Markers(), "onnx"):
            given = keras.ops.stft(signal, **arguments, **more)
        np.testing.assert_allclose(given, wanted, atol=2e-5)  # sums of 64 float32


@pytest.mark.parametrize(
    "equation", ["abcdef,defg->gabc", "abcdef,abdxef->abdcx", "...abcd,cdefg->...gabef", "abcdef,cxy->abyx"]
)
def test_a_product_of_many_axes_is_that_of_numpy(equation: str) -> None:
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(0)
    size = dict(zip("abcdefgxy", (2, 3, 4, 2, 3, 2, 5, 2, 3), strict=True))
    shapes = [
        [*([2, 3] if "..." in term else []), *(size[axis] for axis in term.replace("...", ""))]
        for term in equation.partition("->")[0].split(",")
    ]
    operands = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    markers = Markers()
    with substituted(markers, "onnx"):
        given = tf.function(lambda *tensors: tf.einsum(equation, *tensors))(*map(tf.constant, operands))
    np.testing.assert_allclose(given, np.einsum(equation, *operands), atol=1e-4)
    assert markers.notes == [f"the model: einsum {equation}: one matrix product"]


@pytest.mark.parametrize("name", ["tan", "sinh", "cosh", "arcsinh", "arctanh", "erf", "erfc", "argmax", "argmin"])
def test_a_function_that_tflite_lacks_is_that_of_keras(keras: Any, name: str) -> None:
    numbers = np.linspace(-0.99, 0.99, 201, dtype=np.float32).reshape(3, -1)
    function = getattr(keras.ops, name)
    options = {"axis": -1} if name.startswith("arg") else {}
    wanted = function(numbers, **options)
    with substituted(Markers(), "tflite"):
        given = function(keras.ops.convert_to_tensor(numbers), **options)
    np.testing.assert_allclose(given, wanted, atol=2e-6)


def test_a_unit_vector_of_zeros_is_zeros(tmp_path: Path) -> None:
    """XNNPACK makes NaN of one over the root of zero, and of numbers next to zero."""
    import keras

    given = keras.Input((3,), name="x")
    model = keras.Model(given, keras.layers.UnitNormalization()(keras.layers.ReLU()(given)))
    rows = np.array([[3, 4, 0], [-1, -2, -3], [0, 0, 0], [1e-20, 0, 0]], np.float32)
    convert_model(model, tmp_path / "m.edgepack", evaluation={"x": rows})
    for variant in ("tflite-float32", "onnx-float32"):
        with edgepack.load(tmp_path / "m.edgepack", variant=variant) as session:
            np.testing.assert_allclose(session(rows), model.predict(rows, verbose=0), atol=1e-6)
