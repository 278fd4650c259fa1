"""Tensors of the gRPC protocol ↔ numpy: raw bytes and typed contents in, raw bytes out."""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edgepack.runtime.errors import InputError, TooLargeError
from edgepack.runtime.serve.datatypes import BYTES, to_numpy, to_protocol
from edgepack.runtime.serve.grpc_wire import joined
from edgepack.runtime.serve.messages import InferAnswer, Parameters
from edgepack.runtime.tensor import Array, describe

_MOST_AXES = 32  # numpy 1.26 knows no more

# datatype -> its field of InferTensorContents, as the protocol lists them; FP16 has none
_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}  # fmt: skip
_WIDE = {"int_contents": np.int32, "uint_contents": np.uint32}  # fields that carry narrower integers too
_FINAL: Parameters = {"triton_final_response": True}  # Triton's clients count the answers of a stream by it


def to_arrays(inputs: Sequence[Any], raw: Sequence[memoryview], most: int) -> dict[str, Array]:
    """Return the tensors of a request by name, in the order they came.

    Args:
        inputs: Messages `InferInputTensor`.
        raw: Their raw contents; none where the tensors carry typed contents.
        most: So many tensors are taken at most.

    Returns:
        Arrays that are views of `raw` where they can be, and then read-only; text as objects that are `bytes`.

    Raises:
        InputError: A datatype, a shape or contents that do not fit one another; names that come twice.
        TooLargeError: More than `most` tensors.
    """
    if len(inputs) > most:
        raise TooLargeError(f"the request has {len(inputs)} input tensors; the server takes at most {most}")
    if raw and len(raw) != len(inputs):
        raise InputError(
            f"the request has {len(inputs)} inputs and {len(raw)} raw_input_contents; give one for each, or none"
        )
    arrays: dict[str, Array] = {}
    for index, tensor in enumerate(inputs):
        if tensor.name in arrays:
            raise InputError(f"input {tensor.name[:80]!r} is there twice; name each once")
        arrays[tensor.name] = _array(tensor, raw[index] if raw else None)
    return arrays


def to_response(head: Any, answer: InferAnswer, *, streamed: bool = False) -> bytes:
    """Return a serialized `ModelInferResponse`; every array is copied once.

    Args:
        head: An empty message `ModelInferResponse`.
        answer: What goes into it.
        streamed: Put it into a `ModelStreamInferResponse`, marked as the one answer that its request has.
    """
    head.model_name, head.model_version, head.id = answer.model, answer.version, answer.id
    set_parameters(head.parameters, {**answer.parameters, **_FINAL} if streamed else answer.parameters)
    tensors: list[bytes | memoryview] = []
    for name, array in answer.outputs.items():
        head.outputs.add(name=name, datatype=to_protocol(array.dtype), shape=array.shape)
        tensors.append(from_text(array.flat) if array.dtype.kind in "OUS" else np.ascontiguousarray(array).data)
    return joined(head.SerializeToString(), tensors, streamed=streamed)


def to_parameters(given: Mapping[str, Any]) -> Parameters:
    """Return the values of a map of `InferParameter`; raises `InputError` where one is empty."""
    values: Parameters = {}
    for name, parameter in given.items():
        chosen = parameter.WhichOneof("parameter_choice")
        if chosen is None:
            raise InputError(f"parameter {name[:80]!r} has no value; give it one or leave it away")
        values[name] = getattr(parameter, chosen)
    return values


def set_parameters(target: Any, values: Parameters) -> None:
    """Put values into a map of `InferParameter`."""
    for name, value in values.items():
        setattr(target[name], _parameter_field(value), value)


def _parameter_field(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return "bool_param"
    if isinstance(value, int):
        return "int64_param" if value < 2**63 else "uint64_param"
    return "double_param" if isinstance(value, float) else "string_param"


def to_text(raw: memoryview, name: str) -> list[bytes]:
    """Return the elements of a BYTES tensor: each is its length in four little-endian bytes, then itself.

    Raises:
        InputError: A length that reaches beyond the end.
    """
    elements, at = [], 0
    while at < len(raw):
        begin = at + 4
        at = begin + int.from_bytes(raw[at:begin], "little")
        if begin > len(raw) or at > len(raw):
            raise InputError(
                f"input {name[:80]!r}: a BYTES element ends beyond its raw contents of {len(raw)} bytes; "
                "each is its length in four little-endian bytes, then itself"
            )
        elements.append(bytes(raw[begin:at]))
    return elements


def from_text(elements: Iterable[Any]) -> bytes:
    """Return the raw contents of a BYTES tensor; text is written as UTF-8."""
    parts: list[bytes] = []
    for element in elements:
        data = element if isinstance(element, bytes) else str(element).encode()
        parts += (struct.pack("<I", len(data)), data)
    return b"".join(parts)


def _array(tensor: Any, raw: memoryview | None) -> Array:
    datatype, shape = tensor.datatype, _shape(tensor)
    dtype = to_numpy(datatype)
    if raw is None:
        found = _typed(tensor, datatype, dtype)
    elif tensor.HasField("contents"):
        raise InputError(f"input {tensor.name[:80]!r} has contents and raw_input_contents; give one of them")
    elif datatype == BYTES:
        found = _objects(to_text(raw, tensor.name))
    else:
        found = _numbers(raw, dtype, tensor.name)
    if found.size != math.prod(shape):
        raise InputError(
            f"input {tensor.name[:80]!r} has {found.size} elements of {datatype}; "
            f"its shape {describe(shape)} takes {math.prod(shape)}"
        )
    try:
        return found.reshape(shape)
    except ValueError as error:  # no elements, and axes that numpy cannot count
        raise InputError(f"input {tensor.name[:80]!r} has the shape {describe(shape)}, beyond any memory") from error


def _shape(tensor: Any) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    if len(shape) > _MOST_AXES or (shape and not 0 <= min(shape) <= max(shape) < 2**31):
        raise InputError(
            f"input {tensor.name[:80]!r} has a shape of {len(shape)} axes, {describe(shape[:4])} …; "
            f"it takes at most {_MOST_AXES}, each from 0 to {2**31 - 1}"
        )
    return shape


def _numbers(raw: memoryview, dtype: "np.dtype[Any]", name: str) -> Array:
    if len(raw) % dtype.itemsize:
        raise InputError(
            f"input {name[:80]!r} has {len(raw)} bytes of raw contents; "
            f"elements of {to_protocol(dtype)} have {dtype.itemsize} each"
        )
    if dtype.kind == "b":  # any byte but 0 is true, and numpy wants 1
        return np.frombuffer(raw, np.uint8).astype(np.bool_)
    found = np.frombuffer(raw, dtype)
    # Engines read an array in place, and not every CPU reads numbers that lie across its grid.
    return found if found.flags.aligned else found.copy()


def _typed(tensor: Any, datatype: str, dtype: "np.dtype[Any]") -> Array:
    contents, field = tensor.contents, _FIELDS.get(datatype)
    strange = [given.name for given, _ in contents.ListFields() if given.name != field]
    if field is None or strange:
        takes = f"contents.{field}" if field else "raw_input_contents alone"
        given = f"contents.{strange[0]}" if strange else "no contents"
        raise InputError(f"input {tensor.name[:80]!r} of {datatype} has {given}; {datatype} takes {takes}")
    values = getattr(contents, field)
    if datatype == BYTES:
        return _objects(list(values))
    wide = np.array(values, dtype=_WIDE.get(field, dtype))
    found = wide.astype(dtype, copy=False)
    if field in _WIDE and not np.array_equal(found, wide):
        raise InputError(f"input {tensor.name[:80]!r} holds {wide.min()} to {wide.max()}, which do not fit {datatype}")
    return found


def _objects(elements: list[bytes]) -> Array:
    found = np.empty(len(elements), dtype=object)
    found[:] = elements
    return found
