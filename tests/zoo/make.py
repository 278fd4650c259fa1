"""Make the models of the zoo and their stored outputs: `.venv/bin/python tests/zoo/make.py` (needs onnx, tensorflow).

The outputs are worked out here with numpy in float64, not by an engine: an engine that is wrong cannot hide.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).parent
Array = npt.NDArray[Any]

RNG = np.random.default_rng(20)
MLP_WEIGHTS = RNG.standard_normal((4, 3)).astype(np.float32)
MLP_BIAS = RNG.standard_normal(3).astype(np.float32)
TILE_WEIGHTS = RNG.standard_normal((16, 3)).astype(np.float32)
EMBEDDING = RNG.standard_normal((10, 2)).astype(np.float32)


def softmax(scores: Array) -> Array:
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares


def save_outputs() -> None:
    """One `.npz` for each function; `in_` and `out_` stand before the tensors' names."""
    x = RNG.standard_normal((9, 4)).astype(np.float32)
    y = softmax(x.astype(np.float64) @ MLP_WEIGHTS + MLP_BIAS).astype(np.float32)
    np.savez(HERE / "mlp.npz", in_x=x, out_y=y)
    a, b = RNG.standard_normal((9, 2)).astype(np.float32), RNG.standard_normal((9, 2)).astype(np.float32)
    np.savez(HERE / "pair.npz", in_a=a, in_b=b, out_total=a + b, out_product=a * b)
    ids = RNG.integers(0, 10, (6, 5))
    np.savez(HERE / "ids.npz", in_ids=ids, out_y=EMBEDDING[ids].mean(axis=1))
    v = RNG.standard_normal(3).astype(np.float32)
    np.savez(HERE / "sum.npz", in_v=v, out_s=v.sum())
    pixels = RNG.integers(0, 256, (5, 4, 4, 1)).astype(np.float32) / np.float32(255)
    scores = softmax(pixels.reshape(5, 16).astype(np.float64) @ TILE_WEIGHTS).astype(np.float32)
    np.savez(HERE / "tiles.npz", in_image=pixels, out_scores=scores)


def save_onnx() -> None:
    """`mlp` takes any batch, `mlp_batch4` exactly four rows, `sum` has no batch axis."""
    from onnx import TensorProto, checker, helper, numpy_helper

    def save(name: str, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], **constants: Array) -> None:
        def values(tensors: dict[str, Any]) -> list[Any]:
            return [
                helper.make_tensor_value_info(
                    name, TensorProto.INT64 if name == "ids" else TensorProto.FLOAT, shape
                )
                for name, shape in tensors.items()
            ]  # fmt: skip

        initializers = [numpy_helper.from_array(array, key) for key, array in constants.items()]
        graph = helper.make_graph(nodes, name, values(inputs), values(outputs), initializers)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="edgepack zoo"
        )
        checker.check_model(model, full_check=True)
        (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())

    node = helper.make_node
    mlp = [node("MatMul", ["x", "w"], ["p"]), node("Add", ["p", "c"], ["q"]), node("Softmax", ["q"], ["y"])]
    save("mlp", mlp, {"x": ["batch", 4]}, {"y": ["batch", 3]}, w=MLP_WEIGHTS, c=MLP_BIAS)
    save("mlp_batch4", mlp, {"x": [4, 4]}, {"y": [4, 3]}, w=MLP_WEIGHTS, c=MLP_BIAS)
    pair = [node("Mul", ["a", "b"], ["product"]), node("Add", ["a", "b"], ["total"])]
    save("pair", pair, {"b": ["n", 2], "a": ["n", 2]}, {"product": ["n", 2], "total": ["n", 2]})
    ids = [node("Gather", ["e", "ids"], ["rows"]), node("ReduceMean", ["rows"], ["y"], axes=[1], keepdims=0)]
    save("ids", ids, {"ids": ["batch", 5]}, {"y": ["batch", 2]}, e=EMBEDDING)
    save("sum", [node("ReduceSum", ["v"], ["s"], keepdims=0)], {"v": [3]}, {"s": []})
    tiles = [
        node("Flatten", ["image"], ["flat"]), node("MatMul", ["flat", "w"], ["p"]), node("Softmax", ["p"], ["scores"])
    ]  # fmt: skip
    save("tiles", tiles, {"image": ["batch", 4, 4, 1]}, {"scores": ["batch", 3]}, w=TILE_WEIGHTS)


def save_tflite() -> None:
    """`mlp` and `pair` take one row and have a signature; `mlp_free` takes any number."""
    import tensorflow as tf

    class Zoo(tf.Module):  # type: ignore[misc]
        def mlp(self, x: Any) -> dict[str, Any]:
            return {"y": tf.nn.softmax(tf.matmul(x, MLP_WEIGHTS) + MLP_BIAS)}

        def pair(self, a: Any, b: Any) -> dict[str, Any]:
            return {"total": a + b, "product": a * b}

    zoo = Zoo()
    cases: dict[str, tuple[Any, dict[str, list[int | None]]]] = {
        "mlp": (zoo.mlp, {"x": [1, 4]}),
        "mlp_free": (zoo.mlp, {"x": [None, 4]}),
        "pair": (zoo.pair, {"a": [1, 2], "b": [1, 2]}),
    }
    for name, (function, inputs) in cases.items():
        signature = [tf.TensorSpec(shape, tf.float32, name=key) for key, shape in inputs.items()]
        concrete = tf.function(function, input_signature=signature).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], zoo)
        (HERE / f"{name}.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    save_outputs()
    save_onnx()
    save_tflite()
