"""What an ONNX file really holds: how many weights of each kind, told by their element types and by what reads them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack.convert.passes.readers import Reader, attribute_of, nodes_of, readers_of

_EIGHT_BITS = {"int8", "uint8"}
_DYNAMIC = {"MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
_CALIBRATED = {"QLinearConv", "QLinearMatMul", "QGemm"}
_PRODUCTS = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
_FLOATS = {"float32", "float16", "float64", "bfloat16"}
_SCALING = {"Cast", "Mul", "Reshape", "Transpose"}
_MOST_STEPS = 4  # of scaling and moving between stored weights and what computes with them


@dataclass(frozen=True, slots=True)
class Holding:
    """What was found."""

    precision: str
    tensor_bytes: dict[str, int]
    operators: dict[str, int]
    opset: int


def read(model: Any) -> Holding:
    """Count the constants of an `onnx.ModelProto` by element type, and name its precision.

    Four bits are told where numbers are packed two in a byte: in an int4 type, in `MatMulNBits`, and where bytes are
    taken apart. Weights in int8 are *calibrated* where a product reads them beside activations that were
    quantized with a fixed scale, *dynamic* where an operator quantizes the activations itself, and else only stored.
    """
    import onnx

    graph = model.graph
    readers = readers_of(graph)
    makers = {output: node for node in graph.node for output in node.output}
    types = {one.name: onnx.helper.tensor_dtype_to_np_dtype(one.data_type).name for one in graph.initializer}
    sizes: Counter[str] = Counter()
    uses: Counter[str] = Counter()
    for tensor in graph.initializer:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        own = readers.get(tensor.name, [])
        packed = dtype.name == "uint8" and any(_takes_apart(one, readers) for one in own)
        name = "int4" if packed else dtype.name
        count = int(np.prod(tensor.dims)) * (2 if packed else 1)
        sizes[name] += -(-count // 2) if name.endswith("int4") else count * dtype.itemsize
        if kind := _use(name, own, readers, makers, types):
            uses[kind] += count
    operators = Counter(node.op_type for node in nodes_of(graph))
    opset = next((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), 0)
    return Holding(_name(uses), dict(sorted(sizes.items())), dict(sorted(operators.items())), opset)


def _name(uses: Mapping[str, int]) -> str:
    """The precision: by what most of the weights are stored in, and those in int8 by how they are multiplied."""
    stored: Counter[str] = Counter()
    for kind, count in uses.items():
        stored["int8" if kind in {"int8", "int16x8", "dynamic_int8", "weight_int8", "table"} else kind] += count
    most = max(stored, key=lambda kind: stored[kind], default="float32")
    if most != "int8":
        return most
    calibrated = uses.get("int8", 0) + uses.get("int16x8", 0)
    dynamic = uses.get("dynamic_int8", 0)
    if calibrated and calibrated >= dynamic + uses.get("weight_int8", 0):
        return "int8" if uses.get("int8", 0) >= uses.get("int16x8", 0) else "int16x8"
    return "dynamic_int8" if dynamic else "weight_int8"


def _use(
    dtype: str,
    own: list[Reader],
    readers: Mapping[str, list[Reader]],
    makers: Mapping[str, Any],
    types: Mapping[str, str],
) -> str | None:
    """How one constant counts: a precision, or `table` for rows that are taken out; None where it is no weights."""
    if dtype.endswith("int4"):
        return "weight_int4"
    if dtype in _FLOATS:
        return dtype
    if dtype not in _EIGHT_BITS or not own:
        return None
    node = own[0].node
    if node.op_type in _DYNAMIC:
        return "dynamic_int8"
    if node.op_type in _CALIBRATED:
        return "int8"
    if node.op_type in {"DequantizeLinear", "Cast"} and own[0].position == 0:
        return _unfolded(node, readers, makers, types)
    return None if node.op_type in {"QuantizeLinear", "DequantizeLinear"} else "weight_int8"


def _unfolded(
    node: Any, readers: Mapping[str, list[Reader]], makers: Mapping[str, Any], types: Mapping[str, str]
) -> str:
    """How weights count that a node makes floats of: by what reads those in the end."""
    last = node
    for _ in range(_MOST_STEPS):
        own = readers.get(last.output[0], [])
        if not own or own[0].node.op_type not in _SCALING:
            break
        last = own[0].node
    ends = readers.get(last.output[0], [])
    if any(one.node.op_type == "Gather" and one.position == 0 for one in ends):
        return "table"
    product = next((one.node for one in ends if one.node.op_type in _PRODUCTS), None)
    if node.op_type != "DequantizeLinear" or product is None:
        return "weight_int8"
    maker = makers.get(product.input[0])
    if maker is None or maker.op_type != "DequantizeLinear":
        return "weight_int8"
    wide = len(maker.input) > 2 and types.get(maker.input[2], "").endswith("int16")
    return "int16x8" if wide else "int8"


def _takes_apart(reader: Reader, readers: Mapping[str, list[Reader]]) -> bool:
    """Whether a node reads bytes as two numbers each: as `MatMulNBits` does, or by rounding down a part of them."""
    node = reader.node
    if node.op_type == "MatMulNBits":
        return reader.position == 1 and attribute_of(node, "bits", 4) == 4
    if node.op_type != "Cast":
        return False
    parts = [one.node for one in readers.get(node.output[0], []) if one.node.op_type in {"Mul", "Div"}]
    return any(one.node.op_type == "Floor" for part in parts for one in readers.get(part.output[0], []))
