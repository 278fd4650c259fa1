"""What a file really holds, read back from it: element types of its constants, its operators, its precision."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from edgepack.convert import census_onnx, tflite_model

_FEW_BITS = {"int8", "uint8", "int4", "uint4", "int16"}
_PICKS = {"GATHER", "GATHER_ND", "EMBEDDING_LOOKUP", "SLICE", "STRIDED_SLICE", "DEQUANTIZE"}
"""Operators of TFLite that give weights as they are or unfolded, and reckon nothing with them."""


@dataclass(frozen=True, slots=True)
class Census:
    """The facts behind a file's name."""

    precision: str
    tensor_bytes: dict[str, int]
    operators: dict[str, int]
    standard: str = ""
    """The operator set and IR version of an ONNX file."""


def take(file_format: str, data: bytes) -> Census:
    """Read a file of a format (`"onnx"`, `"tflite"`)."""
    return _READERS[file_format](data)


def _read_onnx(data: bytes) -> Census:
    import onnx

    model = onnx.load_from_string(data)
    found = census_onnx.read(model)
    standard = f"opset {found.opset}, IR version {model.ir_version}"
    return Census(found.precision, found.tensor_bytes, found.operators, standard)


def _read_tflite(data: bytes) -> Census:
    model, dtypes = tflite_model.read(data), tflite_model.dtypes()
    sizes: Counter[str] = Counter()
    operators: Counter[str] = Counter()
    reckons: set[str] = set()
    gives: set[str] = set()
    tensors = {int(tensor.buffer): tensor for graph in model.subgraphs for tensor in graph.tensors}  # some share one
    for buffer, tensor in tensors.items():
        if tflite_model.is_constant(model, tensor):
            sizes[dtypes[tensor.type]] += len(model.buffers[buffer].data)
    for graph, operator, name in tflite_model.operators(model):
        operators[name] += 1
        constants = [graph.tensors[index] for index in operator.inputs if index >= 0]
        weights = {dtypes[tensor.type] for tensor in constants if tflite_model.is_constant(model, tensor)}
        if weights & _FEW_BITS and name not in _PICKS:
            reckons |= weights & _FEW_BITS
            gives |= {dtypes[graph.tensors[index].type] for index in operator.outputs}
    activations = next((name for name in ("int16", "int8", "uint8") if name in gives), "float32")
    return _census(sizes, operators, activations, dynamic=bool(reckons) and activations == "float32")


_READERS: dict[str, Callable[[bytes], Census]] = {"onnx": _read_onnx, "tflite": _read_tflite}


def _census(sizes: Counter[str], operators: Iterable[Any], activations: str, *, dynamic: bool) -> Census:
    """Name the precision: by what most of the weights are stored in, and by what flows between the operators."""
    elements = {
        name: size / _item_size(name)
        for name, size in sizes.items()
        if name not in {"int32", "int64", "bool", "string"}
    }
    most = max(elements, key=lambda name: elements[name], default="float32")
    if most in {"int4", "uint4"}:
        precision = "weight_int4"
    elif most in _FEW_BITS:
        precision = {"int8": "int8", "uint8": "int8", "int16": "int16x8"}.get(activations, "weight_int8")
        precision = "dynamic_int8" if dynamic else precision
    else:
        precision = most
    return Census(precision, dict(sorted(sizes.items())), dict(sorted(Counter(operators).items())))


def _item_size(dtype: str) -> float:
    return 0.5 if dtype.endswith("int4") else int("".join(filter(str.isdigit, dtype)) or 8) / 8
