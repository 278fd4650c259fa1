"""What the written files hold: names, shapes, alignment, and the precision that their tensors tell."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert import census, convert_model
from edgepack.convert.passes.keep_zeros import keep_zeros
from edgepack.convert.passes.store_weights import store_float16, store_int8
from edgepack.convert.precisions import find
from edgepack.convert.prove import Question, prove
from edgepack.convert.samples import Samples
from edgepack.runtime.errors import UnknownNameError
from edgepack.runtime.pack import Pack
from tests.convert.conftest import Converted, Toy

_WRITTEN = ("float32", "float16", "dynamic_int8", "int8")
_VARIANTS = [(target, precision) for target in ("tflite", "onnx") for precision in _WRITTEN]


def _file(converted: Converted, variant: str) -> bytes:
    with Pack(converted.path) as pack:
        return pack.read(pack.variant(variant).file)


@pytest.mark.parametrize(("target", "precision"), _VARIANTS)
def test_the_precision_is_read_back_from_the_tensors(converted: Converted, target: str, precision: str) -> None:
    assert census.take(target, _file(converted, f"{target}-{precision}")).precision == precision


@pytest.mark.parametrize("target", ["tflite", "onnx"])
@pytest.mark.parametrize("precision", ["dynamic_int8", "int8"])
def test_eight_bits_take_about_a_quarter(converted: Converted, target: str, precision: str) -> None:
    sizes = {
        name: sum(census.take(target, _file(converted, f"{target}-{name}")).tensor_bytes.values())
        for name in ("float32", precision)
    }
    assert sizes[precision] < 0.30 * sizes["float32"]


def test_tflite_files_carry_the_names_on_tensors_and_in_a_signature(converted: Converted) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=_file(converted, "tflite-float32"))
    interpreter.allocate_tensors()
    assert interpreter.get_input_details()[0]["name"] == "image"
    assert interpreter.get_output_details()[0]["name"] == "quadrant"
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["quadrant"]}}


def test_tflite_weights_lie_on_sixteen_bytes(converted: Converted) -> None:
    from ai_edge_litert import schema_py_generated as schema

    data = np.frombuffer(_file(converted, "tflite-float32"), np.uint8)
    model = schema.Model.GetRootAs(data.tobytes(), 0)
    start = data.tobytes()
    offsets = [start.find(buffer.DataAsNumpy().tobytes()) for i in range(model.BuffersLength())
               if (buffer := model.Buffers(i)).DataLength() > 64]  # fmt: skip
    assert offsets
    assert all(offset % 16 == 0 for offset in offsets)


def test_onnx_files_name_the_batch_and_pass_the_checker(converted: Converted) -> None:
    import onnx

    model = onnx.load_from_string(_file(converted, "onnx-float32"))
    onnx.checker.check_model(model, full_check=True)
    for value in (model.graph.input[0], model.graph.output[0]):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_no_file_needs_flex_operators(converted: Converted) -> None:
    operators = {name for one in converted.report.results for name in one.operators}
    assert not any("Flex" in name or name == "CUSTOM" for name in operators)


def test_dynamic_int8_onnx_has_no_slow_convolution(converted: Converted) -> None:
    operators = next(one.operators for one in converted.report.results if one.variant == "onnx-dynamic_int8")
    assert "ConvInteger" not in operators
    assert operators["MatMulInteger"] == 2


def test_an_unknown_precision_lists_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"known: float32, .*, int16x8, weight_int4, all"):
        find("int3")


@pytest.fixture
def question(toy: Toy) -> Question:
    images = toy.evaluation["image"][:32]
    reference = {"quadrant": np.asarray(toy.model(images, training=False))}
    labels = {"quadrant": toy.evaluation["quadrant"][:32]}
    return Question(Samples({"image": images}, labels, "memory"), reference, (0, 1), 0.01)


def test_a_right_file_has_no_reasons_against_it(converted: Converted, question: Question) -> None:
    assert prove("onnx", _file(converted, "onnx-float32"), find("float32"), question).reasons == ()


def test_a_file_under_a_wrong_name_is_found_out(converted: Converted, question: Question) -> None:
    proof = prove("tflite", _file(converted, "tflite-dynamic_int8"), find("float32"), question)
    assert proof.reasons[0].startswith("float32 was asked, but its tensors read dynamic_int8")


def _edited(data: bytes, edit: Any) -> bytes:
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(data)
    for initializer in model.graph.initializer:
        weights = numpy_helper.to_array(initializer)
        if weights.dtype == np.float32 and weights.ndim > 1:
            initializer.CopyFrom(numpy_helper.from_array(edit(weights.copy()), initializer.name))
    edited: bytes = model.SerializeToString()
    return edited


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda weights: weights * 1.01, "max relative error"),
        (lambda weights: weights * np.float32(np.nan), "max relative error inf"),
        (lambda weights: weights * 0, "accuracy"),
    ],
    ids=["a percent off", "NaN", "zero"],
)
def test_a_wrong_file_is_found_out(converted: Converted, question: Question, edit: Any, reason: str) -> None:
    proof = prove("onnx", _edited(_file(converted, "onnx-float32"), edit), find("float32"), question)
    assert any(reason in one for one in proof.reasons)


def test_a_file_its_engine_refuses_is_a_reason(converted: Converted, question: Question) -> None:
    import onnx

    model = onnx.load_from_string(_file(converted, "onnx-float32"))
    model.graph.node[0].op_type = "NoSuchOperator"
    proof = prove("onnx", model.SerializeToString(), find("float32"), question)
    assert any("ONNX Runtime" in one and "NoSuchOperator" in one for one in proof.reasons)


def _one_weight(weights: np.ndarray) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", weights.shape[0]])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", weights.shape[1]])]
    graph = helper.make_graph([node], "g", inputs, outputs, [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize(("store", "bound"), [(store_float16, 2**-11), (store_int8, 1 / 254)], ids=["float16", "int8"])
def test_stored_weights_come_back_within_half_a_step(store: Any, bound: float) -> None:
    import onnxruntime

    weights = np.random.default_rng(0).normal(size=(16, 32)).astype(np.float32)
    model = _one_weight(weights)
    assert store(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    restored = session.run(None, {"x": np.eye(16, dtype=np.float32)})[0]
    largest = np.abs(weights) if store is store_float16 else np.abs(weights).max(axis=0, keepdims=True)
    assert (np.abs(restored - weights) <= bound * largest * 1.01 + 1e-7).all()


def test_small_weights_are_left_alone() -> None:
    assert not store_float16(_one_weight(np.ones((4, 4), np.float32)))


def test_weights_that_float16_cannot_hold_stay_float32() -> None:
    assert not store_float16(_one_weight(np.full((16, 32), 1e6, np.float32)))


@pytest.mark.parametrize("kind", ["1D", "2D", "3D"])
def test_zeros_padded_before_a_maximum_are_kept(kind: str, tmp_path: Path) -> None:
    """ONNX Runtime fuses the two, and then the largest of negative numbers is no longer the zero beside them."""
    import keras

    one, rank = keras.layers, int(kind[0])
    layers = [
        getattr(one, f"Conv{kind}")(3, 1, kernel_initializer="ones"),
        getattr(one, f"ZeroPadding{kind}")(1),
        getattr(one, f"MaxPooling{kind}")(3, strides=2),
        getattr(one, f"Conv{kind}")(3, 1),
    ]
    model = keras.Sequential([keras.Input((*(8, 6, 7)[:rank], 2)), *layers])
    rows = -np.random.default_rng(0).uniform(1, 2, (4, *model.input_shape[1:])).astype(np.float32)
    report = convert_model(model, tmp_path / "m.edgepack", evaluation={model.inputs[0].name: rows})
    assert [result.reasons for result in report.results] == [(), ()]


def test_zeros_padded_before_a_convolution_stay_as_they_are() -> None:
    from onnx import helper

    pad = helper.make_node("Pad", ["x", "pads"], ["padded"])
    conv = helper.make_node("Conv", ["padded", "w"], ["y"])
    pool = helper.make_node("MaxPool", ["y"], ["z"], kernel_shape=[2, 2])
    assert not keep_zeros(helper.make_model(helper.make_graph([pad, conv, pool], "g", [], [])))


def test_a_table_in_eight_bits_that_rows_are_picked_from_is_dynamic(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32", name="words"), layers.Embedding(600, 16), layers.Flatten(), layers.Dense(3)]
    )
    words = {"words": np.random.default_rng(0).integers(0, 600, (40, 5)).astype(np.int32)}
    report = convert_model(model, tmp_path / "m.edgepack", precisions="dynamic_int8", evaluation=words)
    assert {one.variant for one in report.passed} == {"tflite-dynamic_int8", "onnx-dynamic_int8"}
