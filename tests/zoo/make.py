"""Make the models of the zoo and their stored outputs: `.venv/bin/python tests/zoo/make.py`.

It needs onnx, tensorflow and tf_keras, whose LSTM the converter fuses.

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
STEP_WEIGHTS = np.array([[1, -2, 0.5], [-1, 0.25, 2]], np.float32)


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
    x = RNG.standard_normal((5, 3, 2)).astype(np.float32)
    each = (x.astype(np.float64) @ STEP_WEIGHTS).astype(np.float32)
    np.savez(HERE / "steps.npz", in_x=x, out_each=each, out_most=each.max(axis=1))


def save_onnx() -> None:
    """`mlp` takes any batch, `mlp_batch4` exactly four rows, `sum` has no batch axis, `steps` any number of steps."""
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
    steps = [node("MatMul", ["x", "w"], ["each"]), node("ReduceMax", ["each"], ["most"], axes=[1], keepdims=0)]
    both = {"each": ["batch", "steps", 3], "most": ["batch", 3]}
    save("steps", steps, {"x": ["batch", "steps", 2]}, both, w=STEP_WEIGHTS)


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


def save_state() -> None:
    """Files that keep state inside, with what each run gives that starts afresh (`y`) and that goes on (`onward`).

    `lstm` is a fused LSTM with variable tensors. `tally` adds up in resource variables. `tally_new` is the same, but
    the graph of its first values also reads them, so that nothing in the file shows that it may be run again.
    """
    rng = np.random.default_rng(21)
    kernel, recurrent, bias = (rng.uniform(-1, 1, shape).astype(np.float32) for shape in ((4, 20), (5, 20), (20,)))
    x = rng.standard_normal((6, 3, 4)).astype(np.float32)
    fresh, onward, kept = [], [], (np.zeros(5), np.zeros(5))
    for row in x:
        fresh.append(lstm(row, kernel, recurrent, bias, (np.zeros(5), np.zeros(5)))[0])
        rows, kept = lstm(row, kernel, recurrent, bias, kept)
        onward.append(rows)
    np.savez(
        HERE / "lstm.npz", in_x=x, out_y=np.array(fresh, np.float32), onward_y=np.array(onward, np.float32)
    )  # fmt: skip
    (HERE / "lstm.tflite").write_bytes(fused_lstm(kernel, recurrent, bias))

    x = rng.integers(-9, 9, (6, 2)).astype(np.float32)  # sums of these are exact
    begin, ones = np.array([[1, 2]], np.float32), np.ones((6, 1), np.int32)
    np.savez(
        HERE / "tally.npz", in_x=x, out_total=begin + x, out_count=ones,
        onward_total=begin + np.cumsum(x, axis=0), onward_count=np.cumsum(ones, axis=0).astype(np.int32),
    )  # fmt: skip
    data = tally(begin)
    (HERE / "tally.tflite").write_bytes(data)
    (HERE / "tally_new.tflite").write_bytes(reading_first_values(data))


def lstm(x: Array, kernel: Array, recurrent: Array, bias: Array, state: tuple[Array, Array]) -> tuple[Array, Any]:
    """Keras's LSTM over rows of steps, in float64, and the state after it."""

    def sigmoid(values: Array) -> Array:
        shares: Array = 1 / (1 + np.exp(-values))
        return shares

    hidden, cell = state
    rows = []
    for step in x.astype(np.float64):
        into, forget, new, out = np.split(step @ kernel + hidden @ recurrent + bias, 4)
        cell = sigmoid(forget) * cell + sigmoid(into) * np.tanh(new)
        hidden = sigmoid(out) * np.tanh(cell)
        rows.append(hidden)
    return np.array(rows), (hidden, cell)


def fused_lstm(kernel: Array, recurrent: Array, bias: Array) -> bytes:
    import tensorflow as tf
    import tf_keras

    layer = tf_keras.layers.LSTM(5, return_sequences=True, name="y")
    model = tf_keras.Sequential([tf_keras.layers.Input((3, 4), batch_size=1, name="x"), layer])
    layer.set_weights([kernel, recurrent, bias])
    data: bytes = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    return data


def tally(begin: Array) -> bytes:
    import tensorflow as tf

    class Tally(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.total, self.count = tf.Variable(begin), tf.Variable([[0]])

        def run(self, x: Any) -> dict[str, Any]:
            return {"total": self.total.assign_add(x) + 0.0, "count": self.count.assign_add([[1]]) + 0}

    module = Tally()
    concrete = tf.function(
        module.run, input_signature=[tf.TensorSpec([1, 2], tf.float32, name="x")]
    ).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.experimental_enable_resource_variables = True
    data: bytes = converter.convert()
    return data


def reading_first_values(data: bytes) -> bytes:
    """The file with a READ_VARIABLE at the end of its second graph."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data)
    graph = model.subgraphs[1]
    reads = [code.builtinCode for code in model.operatorCodes].index(schema.BuiltinOperator.READ_VARIABLE)
    assigned = next(operator for operator in reversed(graph.operators) if not len(operator.outputs))
    handle, value = assigned.inputs
    result = schema.TensorT()
    result.shape, result.type, result.name = graph.tensors[value].shape, graph.tensors[value].type, b"read"
    graph.tensors.append(result)
    read = schema.OperatorT()
    read.opcodeIndex, read.inputs, read.outputs = reads, [handle], [len(graph.tensors) - 1]
    graph.operators.append(read)
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def save_int8() -> None:
    """`mlp` in whole numbers from end to end, marked as edgepack's own."""
    from edgepack.convert import litert_quantizer, tflite_quantized
    from edgepack.convert.calibrate import Stream, observe
    from edgepack.convert.samples import Samples
    from edgepack.convert.tflite import packed

    data = (HERE / "mlp.tflite").read_bytes()
    with np.load(HERE / "mlp.npz") as stored:
        samples = Samples({_tensor_name(data): stored["in_x"]}, {}, "the zoo")
    ranges = observe("tflite", data, Stream.of(samples), 1).ranges("minmax")
    rules = litert_quantizer.rule("static", 8, activation_num_bits=8)
    whole = tflite_quantized.marked(packed(litert_quantizer.quantize(data, rules, ranges)))
    (HERE / "mlp_int8.tflite").write_bytes(whole)


def _tensor_name(data: bytes) -> str:
    from ai_edge_litert.interpreter import Interpreter

    name: str = Interpreter(model_content=data).get_input_details()[0]["name"]
    return name


if __name__ == "__main__":
    save_outputs()
    save_onnx()
    save_tflite()
    save_state()
    save_int8()
