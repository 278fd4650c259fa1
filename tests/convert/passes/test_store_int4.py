"""Weights in four bits: near what they were, whoever reads them, and computed with where they lie."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepack.convert.passes.store_int4 import BLOCK, quantize_blocks, store_int4


def _one(kind: str, weights: np.ndarray, given: list[str], **attributes: Any) -> Any:
    node = helper.make_node(kind, given, ["y"], "product", **attributes)
    tensors = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.ones(1, np.float32), "b")]
    element = TensorProto.INT64 if kind == "Gather" else TensorProto.FLOAT
    ends = [helper.make_tensor_value_info("x", element, None)], [helper.make_tensor_value_info("y", 1, None)]
    graph = helper.make_graph([node], "g", *ends, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _run(model: Any, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answer: np.ndarray = session.run(None, {"x": x})[0]
    return answer


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


_CASES = {
    "MatMul": (_one("MatMul", _normal(50, 64), ["x", "w"]), _normal(3, 50)),
    "MatMul, large": (_one("MatMul", _normal(500, 600), ["x", "w"]), _normal(3, 500)),
    "MatMul of several": (_one("MatMul", _normal(2, 50, 64), ["x", "w"]), _normal(2, 3, 50)),
    "Gemm": (_one("Gemm", _normal(64, 96), ["x", "w", "b"]), _normal(3, 64)),
    "Gemm, transposed": (_one("Gemm", _normal(96, 64), ["x", "w", "b"], transB=1), _normal(3, 64)),
    "Gemm, large": (_one("Gemm", _normal(600, 512), ["x", "w", "b"], transB=1), _normal(3, 512)),
    "Gather": (_one("Gather", _normal(70, 40), ["w", "x"]), np.array([0, 3, 69])),
    "Conv of one pixel": (_one("Conv", _normal(64, 48, 1, 1), ["x", "w"]), _normal(1, 48, 4, 4)),
}


@pytest.mark.parametrize("name", _CASES)
def test_what_reads_them_gives_nearly_the_same(name: str) -> None:
    model, x = _CASES[name]
    wanted = _run(model, x)
    few, more = store_int4(model)
    found = _run(model, x)
    assert (few > 0, more) == (True, 0)
    noise = np.square(found - wanted).sum() / np.square(wanted).sum()
    assert noise < 10**-1.7  # 17 dB: half a step of sixteen, spread over a normal distribution, is 20


def test_a_large_product_is_multiplied_as_it_is_stored() -> None:
    model = _one("MatMul", _normal(512, 512), ["x", "w"])
    store_int4(model)
    assert [node.op_type for node in model.graph.node] == ["MatMulNBits"]


def test_nodes_that_stay_in_float_keep_their_weights() -> None:
    model = _one("MatMul", _normal(512, 512), ["x", "w"])
    assert store_int4(model, {"product"}) == (0, 0)


def test_convolutions_of_more_pixels_are_stored_in_eight_bits() -> None:
    assert store_int4(_one("Conv", _normal(64, 48, 3, 3), ["x", "w"])) == (0, 64 * 48 * 9)


def test_the_largest_weight_of_a_block_is_exact() -> None:
    rows = _normal(4, 3 * BLOCK)
    numbers, scales = quantize_blocks(rows)
    restored = (numbers.astype(np.float32) - 8) * scales[..., None]
    blocks = rows.reshape(4, 3, BLOCK)
    furthest = np.abs(blocks).argmax(axis=-1)[..., None]
    wanted = np.take_along_axis(blocks, furthest, -1)
    np.testing.assert_allclose(np.take_along_axis(restored, furthest, -1), wanted, rtol=1e-6)
