"""The table of operators: what the installed interpreter registers, and all that edgepack writes for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgepack.convert import convert_model
from edgepack.convert.micro.operators import RESOLVER, resolver_calls
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.pack import Pack
from tests.convert.conftest import quadrants

library = pytest.importorskip(
    "tflite_micro.python.tflite_micro._runtime", reason="tflite-micro has wheels for Linux on x86-64 alone"
)


def _kernels() -> Iterator[str]:
    """Builtin operators that the installed interpreter has a kernel for, by the symbols of its library."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    symbols = Path(library.__file__).read_bytes()
    builtin = [name for name in vars(BuiltinOperator) if name.isupper()]
    yield from (name for name in builtin if f"{len(name) + 9}Register_{name}Ev".encode() in symbols)


def test_the_table_is_what_the_installed_interpreter_registers() -> None:
    assert set(RESOLVER) == set(_kernels())


def test_methods_are_written_as_the_header_of_tflite_micro_writes_them() -> None:
    unlike = {"CONV_2D", "ADD_N", "CUMSUM", "BATCH_MATMUL", "PADV2", "L2_POOL_2D", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
    assert {name: RESOLVER[name] for name in unlike | {"FULLY_CONNECTED", "RELU6", "BATCH_TO_SPACE_ND"}} == {
        "CONV_2D": "AddConv2D",
        "ADD_N": "AddAddN",
        "CUMSUM": "AddCumSum",
        "BATCH_MATMUL": "AddBatchMatMul",
        "PADV2": "AddPadV2",
        "L2_POOL_2D": "AddL2Pool2D",
        "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
        "FULLY_CONNECTED": "AddFullyConnected",
        "RELU6": "AddRelu6",
        "BATCH_TO_SPACE_ND": "AddBatchToSpaceNd",
    }


def test_each_operator_is_registered_once() -> None:
    assert resolver_calls(["CONV_2D", "SOFTMAX", "CONV_2D"]) == ("AddConv2D", "AddSoftmax")


def test_every_operator_without_a_kernel_is_named_at_once() -> None:
    with pytest.raises(ConvertError, match="no kernel for SELECT, CUSTOM Mine: replace the layers that became them"):
        resolver_calls(["SELECT", "CONV_2D", "CUSTOM Mine"])


def _pictures(keras: Any) -> Any:
    """A net of the layers that microcontrollers see pictures with."""
    layers = keras.layers
    image = keras.Input((8, 8, 1), name="image")
    wide = layers.Conv2D(8, 3, padding="same", activation="relu6")(image)
    apart = layers.SeparableConv2D(8, 3, padding="same", activation="hard_swish")(wide)
    gate = layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(apart))
    joined = layers.Concatenate()([layers.Add()([wide, layers.Multiply()([apart, gate])]), wide])
    small = layers.AveragePooling2D(2)(layers.MaxPooling2D(2)(layers.LeakyReLU()(joined)))
    large = layers.Conv2DTranspose(4, 2, strides=2)(layers.UpSampling2D()(small))
    padded = layers.ZeroPadding2D()(layers.PReLU(shared_axes=[1, 2])(large))
    scores = layers.Dense(4, activation="softmax", name="quadrant")(layers.Flatten()(padded))
    return keras.Model(image, scores)


def _series(keras: Any) -> Any:
    """A net of the layers that they hear and feel with, on the rows of a picture."""
    layers = keras.layers
    image = keras.Input((8, 8, 1), name="image")
    rows = layers.Reshape((8, 8))(image)
    heard = layers.Conv1D(8, 3, padding="causal", activation="tanh")(rows)
    kept = layers.LSTM(6, return_sequences=True)(heard)
    normal = layers.LayerNormalization()(layers.Permute((2, 1))(kept))
    scores = layers.Dense(4, activation="softmax", name="quadrant")(layers.GlobalMaxPooling1D()(normal))
    return keras.Model(image, scores)


@pytest.mark.parametrize("make", [_pictures, _series], ids=["pictures", "series"])
def test_every_operator_that_int8_files_of_usual_layers_hold_is_in_the_table(
    keras: Any, make: Any, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    images = {"image": quadrants(32, seed=3)["image"]}
    path = tmp_path / "usual.edgepack"
    convert_model(make(keras), path, targets=("tflite",), precisions=("float32", "int8"), calibration=images)
    with Pack(path) as pack:
        held = {name for variant in pack.manifest.variants for name in variant.operators}
    assert len(held) > 8
    assert held <= set(RESOLVER)
