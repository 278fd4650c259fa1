"""What an ONNX file holds is told from its constants and what reads them, not from how it was asked for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepack.convert.census_onnx import read
from edgepack.convert.passes.store_int4 import store_int4
from edgepack.convert.passes.store_weights import store_float16, store_int8


def _model(nodes: list[Any], **constants: np.ndarray) -> Any:
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, None)] for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", *ends, tensors)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _product(rows: int = 96, columns: int = 64) -> Any:
    weights = np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)
    return _model([helper.make_node("MatMul", ["x", "w"], ["y"])], w=weights)


def _calibrated(dtype: type) -> Any:
    scales = {"s": np.float32(0.1), "z": dtype(0), "t": np.float32(0.1), "o": np.int8(0)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "t", "o"], ["v"]),
        helper.make_node("MatMul", ["d", "v"], ["y"]),
    ]
    constants = {name: np.asarray(value) for name, value in scales.items()}
    return _model(nodes, w=np.ones((96, 64), np.int8), **constants)


def _only_weights() -> Any:
    nodes = [helper.make_node("DequantizeLinear", ["w", "t"], ["v"]), helper.make_node("MatMul", ["x", "v"], ["y"])]
    return _model(nodes, w=np.ones((96, 64), np.int8), t=np.float32([0.1])[0:1].reshape(()))


def _dynamic() -> Any:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z"], ["i"]),
        helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
    ]
    return _model(nodes, w=np.ones((96, 64), np.int8))


def _stored(store: Callable[[Any], object], rows: int = 96) -> Any:
    model = _product(rows, rows)
    assert store(model)
    return model


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        (_product, "float32"),
        (lambda: _stored(store_float16), "float16"),
        (lambda: _stored(store_int8), "weight_int8"),
        (_only_weights, "weight_int8"),
        (_dynamic, "dynamic_int8"),
        (lambda: _calibrated(np.uint8), "int8"),
        (lambda: _calibrated(np.int8), "int8"),
        (lambda: _calibrated(np.int16), "int16x8"),
        (lambda: _stored(store_int4), "weight_int4"),
        (lambda: _stored(store_int4, 512), "weight_int4"),
    ],
    ids=["float32", "float16", "stored", "unfolded", "dynamic", "uint8", "int8", "int16", "packed", "blocks"],
)
def test_a_precision_is_told_from_what_is_in_the_file(model: Callable[[], Any], precision: str) -> None:
    assert read(model()).precision == precision


def test_four_bits_count_half_a_byte_each() -> None:
    assert read(_stored(store_int4)).tensor_bytes["int4"] == 96 * 96 // 2


def test_a_graph_without_weights_is_float32() -> None:
    assert read(_model([helper.make_node("Tanh", ["x"], ["y"])])).precision == "float32"
