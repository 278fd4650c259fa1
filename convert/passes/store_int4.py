"""Store the weights of matrix products in four bits, a scale for each block of them along the axis of the sums.

Large products become `MatMulNBits`, which ONNX Runtime multiplies as they are stored: reading four bits instead of 32
is what makes them faster. Below that size float products are as fast or faster (one row, one thread, against float32:
512×512 0.55, 256×256 0.92, 128×128 1.05; 32 rows: 0.92, 1.07, 1.26), and there, in tables, in recurrent nodes and in
convolutions of one pixel, the graph unfolds the weights once, at load, with operators that every engine has.
"""

from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np

from edgepack.convert.passes.readers import Reader, attribute_of, channels_of, name_of, readers_of
from edgepack.convert.passes.store_weights import Stored, store, store_int8_constant
from edgepack.runtime.tensor import Array

BLOCK = 32
_FEWEST_MULTIPLIED = 2**18
_FEWEST_UNFOLDED = 2**11  # below this the nodes that unfold them outweigh what is saved over int8
_COMPUTED_IN_INT8 = 4  # MatMulNBits's accuracy_level; in float32 it was slower than a float product at every size
_RECURRENT = {"LSTM", "GRU", "RNN"}


def store_int4(model: Any, float_nodes: Collection[str] = ()) -> tuple[int, int]:
    """Store the weights of matrix products in int4, and the others in int8.

    Args:
        model: The `onnx.ModelProto`, changed in place.
        float_nodes: Nodes whose weights stay as they are, by `readers.name_of`.

    Returns:
        How many weights are in four bits now, and how many in eight.
    """
    counted = {4: 0, 8: 0}
    counted[4] += _multiply(model, float_nodes)
    store(model, partial(_fewest_bits, counted), float_nodes)
    return counted[4], counted[8]


def _fewest_bits(counted: dict[int, int], name: str, weights: Array, readers: list[Reader]) -> Stored | None:
    if not np.isfinite(weights).all():
        return None
    if weights.size >= _FEWEST_UNFOLDED and readers and all(_multiplies(reader, weights) for reader in readers):
        counted[4] += weights.size
        return _unfolded(name, weights, channels_of(readers, weights.ndim))
    made = store_int8_constant(name, weights, readers)
    counted[8] += weights.size if made else 0
    return made


def _multiplies(reader: Reader, weights: Array) -> bool:
    """Whether these are weights of a matrix product, or rows of a table, with blocks to speak of."""
    kind, shape = reader.node.op_type, weights.shape
    if kind in {"MatMul", "Gemm"}:
        return reader.position < 2 and weights.ndim >= 2
    if kind == "Gather":
        return reader.position == 0 and weights.ndim >= 2
    if kind == "Conv":
        return reader.position == 1 and set(shape[2:]) == {1} and shape[1] >= BLOCK
    return kind in _RECURRENT and reader.position in {1, 2}


def quantize_blocks(rows: Array) -> tuple[Array, Array]:
    """Numbers of 0 to 15, and the scale of each block, so that `(number - 8) * scale` is near the weight.

    The weight of the largest magnitude in a block becomes -8 exactly, as in ONNX Runtime's own kernels.

    Args:
        rows: float32 `(rows, sums)`; the last block of a row is filled up with zeros.

    Returns:
        uint8 `(rows, blocks, 32)`, and float32 `(rows, blocks)`.
    """
    count = -(-rows.shape[1] // BLOCK)
    padded = np.zeros((len(rows), count * BLOCK), np.float32)
    padded[:, : rows.shape[1]] = rows
    blocks = padded.reshape(len(rows), count, BLOCK)
    furthest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=-1)[..., None], axis=-1)
    scale = furthest / np.float32(-8)
    scale[scale == 0] = 1
    return np.clip(np.rint(blocks / scale) + 8, 0, 15).astype(np.uint8), scale[..., 0]


def _multiply(model: Any, float_nodes: Collection[str]) -> int:
    """Turn the large products into `MatMulNBits`; returns how many weights they hold."""
    from onnx import numpy_helper

    graph = model.graph
    values = {one.name: one for one in graph.initializer}
    readers = readers_of(graph)
    nodes: list[Any] = []
    done: dict[str, int] = {}
    for node in graph.node:
        name = node.input[1] if len(node.input) > 1 else ""
        weights = values.get(name)
        if weights is None or len(readers[name]) > 1 or name_of(node) in float_nodes or not _is_large(node, weights):
            nodes.append(node)
            continue
        array = numpy_helper.to_array(weights)
        outputs_first = array if node.op_type == "Gemm" and attribute_of(node, "transB") else array.T
        constants, made = _multiplied(node, name, outputs_first)
        graph.initializer.extend(constants)
        nodes += made
        done[name] = array.size
    if done:
        kept = [one for one in graph.initializer if one.name not in done]
        del graph.initializer[:], graph.node[:]
        graph.initializer.extend(kept)
        graph.node.extend(nodes)
        if not any(one.domain == "com.microsoft" for one in model.opset_import):
            model.opset_import.add(domain="com.microsoft", version=1)
    return sum(done.values())


def _is_large(node: Any, weights: Any) -> bool:
    from onnx import TensorProto

    if node.op_type not in {"MatMul", "Gemm"} or weights.data_type != TensorProto.FLOAT or len(weights.dims) != 2:
        return False
    plain = all(one.f == 1 for one in node.attribute if one.name in {"alpha", "beta"}) and not attribute_of(
        node, "transA"
    )
    return plain and int(np.prod(weights.dims)) >= _FEWEST_MULTIPLIED


def _multiplied(node: Any, name: str, rows: Array) -> tuple[list[Any], list[Any]]:
    """The constants and nodes of one product, whose weights are `(outputs, sums)`."""
    from onnx import helper, numpy_helper

    numbers, scales = quantize_blocks(rows)
    packed = numbers[..., 0::2] | (numbers[..., 1::2] << 4)  # `(outputs, blocks, 16)`, the operator's own layout
    constants = [
        numpy_helper.from_array(packed, f"{name}/int4"),
        numpy_helper.from_array(scales.reshape(-1), f"{name}/scale"),
    ]
    bias = list(node.input)[2:3] if len(node.input) > 2 and node.input[2] else []
    product = f"{node.output[0]}/product" if bias else node.output[0]
    made = [
        helper.make_node(
            "MatMulNBits", [node.input[0], *(one.name for one in constants)], [product], name_of(node),
            domain="com.microsoft", K=rows.shape[1], N=rows.shape[0], bits=4, block_size=BLOCK,
            accuracy_level=_COMPUTED_IN_INT8,
        )
    ]  # fmt: skip
    if bias:
        made.append(helper.make_node("Add", [product, *bias], list(node.output), f"{name_of(node)}/bias"))
    return constants, made


def _unfolded(name: str, weights: Array, channels: tuple[int, ...]) -> Stored:
    """A constant in four bits, two in a byte, and the nodes that make float32 of it again.

    The first half of a row lies in the low bits of its bytes and the second half in the high ones: `floor(byte / 16)`
    is the high number, and what is left the low one. That is done in float32, where it is exact, since OpenVINO's
    shifts of bytes do not drop what they push out.
    """
    from onnx import TensorProto, helper, numpy_helper

    others = tuple(axis for axis in range(weights.ndim) if axis not in channels)
    order = (*channels, *others)
    moved = weights.transpose(order)
    sums = int(np.prod([weights.shape[axis] for axis in others]))
    numbers, scales = quantize_blocks(moved.reshape(-1, sums))
    rows, blocks, _ = numbers.shape
    half = blocks * BLOCK // 2
    flat = numbers.reshape(rows, 2 * half)
    constants = {
        "int4": flat[:, :half] | (flat[:, half:] << 4),
        "scale": scales[..., None],
        "sixteen": np.array(16, np.float32),
        "sixteenth": np.array(1 / 16, np.float32),
        "eight": np.array(8, np.float32),
        "rows": np.array([rows, 2 * half]),
    }
    made: list[Any] = []

    def add(kind: str, inputs: str, output: str, **attributes: object) -> None:
        names = [f"{name}/{one}" for one in inputs.split()]
        made.append(helper.make_node(kind, names, [f"{name}/{output}"], **attributes))

    add("Cast", "int4", "bytes", to=TensorProto.FLOAT)
    add("Mul", "bytes sixteenth", "parts")
    add("Floor", "parts", "high")
    add("Mul", "high sixteen", "above")
    add("Sub", "bytes above", "low")
    add("Concat", "low high", "numbers", axis=1)
    add("Sub", "numbers eight", "centred")
    if blocks > 1:
        constants["blocks"] = np.array([rows, blocks, BLOCK])
        add("Reshape", "centred blocks", "blocked")
        add("Mul", "blocked scale", "scaled")
        add("Reshape", "scaled rows", "whole")
    else:
        constants["scale"] = scales
        add("Mul", "centred scale", "whole")
    if sums < 2 * half:
        constants |= {"from": np.array([0]), "to": np.array([sums]), "axis": np.array([1])}
        add("Slice", "whole from to axis", "cut")
    if moved.ndim != 2:
        constants["shape"] = np.array(moved.shape)
        add("Reshape", made[-1].output[0].removeprefix(f"{name}/") + " shape", "shaped")
    if order != tuple(range(weights.ndim)):
        add("Transpose", made[-1].output[0].removeprefix(f"{name}/"), "back", perm=np.argsort(order).tolist())
    made[-1].output[0] = name
    used = {one for node in made for one in node.input}
    kept = {key: array for key, array in constants.items() if f"{name}/{key}" in used}
    return [numpy_helper.from_array(array, f"{name}/{key}") for key, array in kept.items()], made
