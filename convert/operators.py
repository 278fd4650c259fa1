"""The operators of a file and how its tensors are stored, the same for both formats."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack.convert import tflite_model

BETWEEN = {"QUANTIZE", "DEQUANTIZE", "QuantizeLinear", "DequantizeLinear"}
"""What quantizers put behind an operator: it stores what that gives in another way."""
BEFORE = {"DynamicQuantizeLinear"}
"""What they put before one."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a file."""

    name: str
    """ONNX: the node's. TFLite: the names of its output tensors, with `;` between them."""
    kind: str
    reads: tuple[str, ...]
    """Names of the tensors it reads that are no constants."""
    makes: tuple[str, ...]
    constants: tuple[str, ...]
    """Names of the constants it reads."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How a tensor is stored."""

    dtype: str
    shape: tuple[int, ...] = ()
    """Of a constant."""
    ends: tuple[float, float] | None = None
    """The least and the greatest number it can hold, where it is quantized with one scale."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a file."""

    operators: tuple[Operator, ...]
    """Each behind those it reads; those of subgraphs behind all others."""
    tensors: Mapping[str, Stored]
    """Constants, and the tensors whose element type the file tells."""
    outputs: tuple[str, ...]
    rows: int | None
    """How many rows the file takes at once; None is any number."""


def read(file_format: str, data: bytes) -> Contents:
    """Read a file of a format (`"onnx"`, `"tflite"`)."""
    return _READERS[file_format](data)


def onnx_operators(graph: Any) -> Iterable[Operator]:
    """The operators of an `onnx.GraphProto`."""
    constants = {tensor.name for tensor in graph.initializer}
    inner = []
    for node in graph.node:
        yield Operator(
            node.name or node.output[0],
            node.op_type,
            tuple(name for name in node.input if name and name not in constants),
            tuple(name for name in node.output if name),
            tuple(name for name in node.input if name in constants),
        )
        inner += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    for body in inner:
        yield from onnx_operators(body)


def _onnx(data: bytes) -> Contents:
    import onnx

    graph = onnx.load_from_string(data).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    tensors = {
        name: Stored(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).name, tuple(tensor.dims))
        for name, tensor in constants.items()
    }
    for node in graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"} and node.input[0] not in constants:
            parameters = [constants[name] for name in node.input[1:3] if name in constants]
            if len(parameters) == 2:
                scale, zero = map(onnx.numpy_helper.to_array, parameters)
                tensors[node.output[0]] = Stored(zero.dtype.name, (), _ends(zero.dtype, scale, zero))
    inputs = [value for value in graph.input if value.name not in constants]
    sizes = [value.type.tensor_type.shape.dim[0].dim_value for value in inputs if value.type.tensor_type.shape.dim]
    outputs = tuple(value.name for value in graph.output)
    return Contents(tuple(onnx_operators(graph)), tensors, outputs, max(sizes, default=0) or None)


def _tflite(data: bytes) -> Contents:
    model, dtypes = tflite_model.read(data), tflite_model.dtypes()
    operators: list[Operator] = []
    tensors: dict[str, Stored] = {}
    for graph in model.subgraphs:
        names = [tensor.name.decode() for tensor in graph.tensors]
        constant = [tflite_model.is_constant(model, tensor) for tensor in graph.tensors]
        for name, tensor, fixed in zip(names, graph.tensors, constant, strict=True):
            shape = tuple(map(int, tensor.shape)) if fixed and tensor.shape is not None else ()
            tensors[name] = Stored(dtypes[tensor.type], shape, _tflite_ends(dtypes[tensor.type], tensor.quantization))
        for operator in graph.operators:
            makes = tuple(names[index] for index in operator.outputs if index >= 0)
            given = [index for index in operator.inputs if index >= 0]
            operators.append(
                Operator(
                    tflite_model.name(graph, operator), tflite_model.kind(model, operator),
                    tuple(names[index] for index in given if not constant[index]), makes,
                    tuple(names[index] for index in given if constant[index]),
                )
            )  # fmt: skip
    main = model.subgraphs[0]
    free = [-1 in (tensor.shapeSignature if tensor.shapeSignature is not None else [])[:1]
            for tensor in (main.tensors[index] for index in main.inputs)]  # fmt: skip
    sizes = [int(main.tensors[index].shape[0]) for index in main.inputs if len(main.tensors[index].shape)]
    outputs = tuple(main.tensors[index].name.decode() for index in main.outputs)
    return Contents(tuple(operators), tensors, outputs, None if any(free) else max(sizes, default=0) or None)


def _tflite_ends(dtype: str, quantization: Any) -> tuple[float, float] | None:
    if quantization is None or quantization.scale is None or dtype not in {"int8", "uint8", "int16"}:
        return None
    return _ends(np.dtype(dtype), np.asarray(quantization.scale), np.asarray(quantization.zeroPoint))


def _ends(dtype: np.dtype[Any], scale: Any, zero: Any) -> tuple[float, float] | None:
    if np.size(scale) != 1 or dtype.kind not in "iu":
        return None
    limits = np.iinfo(dtype)
    low, high = ((float(limit) - float(zero.item())) * float(scale.item()) for limit in (limits.min, limits.max))
    return low, high


_READERS: dict[str, Callable[[bytes], Contents]] = {"onnx": _onnx, "tflite": _tflite}
