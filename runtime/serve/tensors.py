"""Requests and answers of the Open Inference Protocol v2 over HTTP: JSON, and the binary tensor extension.

A body is JSON, or JSON whose length a header tells (`Inference-Header-Content-Length`) and the bytes of tensors behind.
JSON has no NaN and no infinity: in answers both are `null`, and `null` is read as NaN; binary data keeps every value.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from edgepack.runtime.errors import InputError, TooLargeError, one_line
from edgepack.runtime.serve import elements, parameters
from edgepack.runtime.serve.datatypes import to_protocol
from edgepack.runtime.serve.messages import InferAnswer, InferRequest, Parameters
from edgepack.runtime.serve.settings import Limits
from edgepack.runtime.tensor import Array

HEADER_LENGTH = "Inference-Header-Content-Length"

Size = Annotated[int, msgspec.Meta(ge=0)]
Body = bytes | bytearray | memoryview

_ALIGNED = 8  # bytes: data behind the JSON begins at a multiple, so that the other side can view it in place
_REFUSED = {
    "shared_memory_region": "shared memory is not served: send the data itself",
    "classification": "classification is not served: post the raw sample to …/predict, which answers with labels",
    "sequence_id": "sequences are not served: each request stands alone",
}


class JsonTensor(msgspec.Struct, omit_defaults=True, gc=False):
    """A tensor; its elements are in `data`, or `parameters.binary_data_size` bytes behind the JSON."""

    name: str
    shape: list[Size]
    datatype: str
    data: list[Any] | None = None
    """Elements one after the other, last axis fastest, or nested lists of exactly `shape`."""
    parameters: Parameters | None = None


class JsonOutput(msgspec.Struct, omit_defaults=True):
    """An output that is wanted; `parameters.binary_data` says how."""

    name: str
    parameters: Parameters | None = None


class JsonRequest(msgspec.Struct, omit_defaults=True):
    """Tensors for a model."""

    inputs: list[JsonTensor]
    outputs: list[JsonOutput] | None = None
    id: str | None = None
    parameters: Parameters | None = None


class JsonAnswer(msgspec.Struct, omit_defaults=True):
    """Tensors of a model."""

    model_name: str
    outputs: list[JsonTensor]
    model_version: str = ""
    """Other servers may leave it out."""
    id: str | None = None
    parameters: Parameters | None = None


class Binary(NamedTuple):
    """Which outputs go as binary data: those named, the others as `default` says."""

    default: bool = False
    named: Mapping[str, bool] = {}


class Wire(NamedTuple):
    """A body, and the length of the JSON it begins with; None where it is nothing but JSON."""

    body: bytes
    header_length: int | None = None


_REQUEST = msgspec.json.Decoder(JsonRequest)
_ANSWER = msgspec.json.Decoder(JsonAnswer)
_encode = msgspec.json.Encoder().encode
_JSON, _BINARY = Binary(), Binary(True)
_NO_LIMITS = Limits()


def decode_request(
    body: Body, header_length: int | None, *, model: str, version: str = "", limits: Limits = _NO_LIMITS
) -> tuple[InferRequest, Binary]:
    """The request in a body, and which outputs it wants as binary data. Binary inputs are views of the body.

    Args:
        body: All of it, unpacked.
        header_length: What the header said; None where there was none.
        model: From the address.
        version: From the address.
        limits: Of tensors and nesting.

    Raises:
        InputError: It is no such request; the message says where.
        TooLargeError: More tensors or axes than are taken.
    """
    told, data = _split(body, header_length, _REQUEST)
    asked = told.parameters or {}
    request = InferRequest(
        model,
        _arrays(told.inputs, data, limits),
        version,
        told.id or "",
        parameters=asked,
    )
    default = asked.get("binary_data_output") is True
    if len(asked) > default:  # there is more than that
        _refuse(asked)
        request.timeout_s, request.priority = parameters.timeout_s(asked), parameters.priority(asked)
    if not told.outputs:
        return request, _BINARY if default else _JSON
    if len(told.outputs) > limits.tensors:
        raise TooLargeError(f"{len(told.outputs):,} outputs are asked for; at most {limits.tensors:,} are given")
    request.outputs = tuple(dict.fromkeys(output.name for output in told.outputs))
    return request, Binary(default, {output.name: _is_binary(output, default) for output in told.outputs})


def takes_time(body: bytes, header_length: int | None) -> bool:
    """Whether a large body is one that has to be read element by element; plain numbers in binary are only viewed."""
    return header_length is None or header_length > len(body) // 2 or b"BYTES" in body[:header_length]


def encode_answer(answer: InferAnswer, binary: Binary = _JSON) -> Wire:
    """The body that tells an answer; raises `InputError` where text that is not UTF-8 was wanted as JSON."""
    tensors, data = _told(answer.outputs, binary)
    told = JsonAnswer(answer.model, tensors, answer.version, answer.id or None, answer.parameters or None)
    return _joined(_encode(told), data)


def encode_request(request: InferRequest, *, binary: bool = True, binary_outputs: bool = True) -> Wire:
    """The body that asks for what `request` says.

    Args:
        request: Model and version go into the address, not into the body.
        binary: Send the inputs as binary data.
        binary_outputs: Ask for the outputs as binary data.
    """
    tensors, data = _told(request.inputs, Binary(binary))
    asked = {**request.parameters, **parameters.told(request.timeout_s, request.priority)}
    if binary_outputs:
        asked["binary_data_output"] = True
    outputs = [JsonOutput(name) for name in request.outputs]
    told = JsonRequest(tensors, outputs or None, request.id or None, asked or None)
    return _joined(_encode(told), data)


def decode_answer(body: Body, header_length: int | None, *, limits: Limits = _NO_LIMITS) -> InferAnswer:
    """The answer in a body; binary outputs are views of it. Raises as `decode_request` does."""
    told, data = _split(body, header_length, _ANSWER)
    outputs = _arrays(told.outputs, data, limits, nulls=True)
    return InferAnswer(told.model_name, told.model_version, outputs, told.id or "", told.parameters or {})


def _split(body: Body, header_length: int | None, decoder: "msgspec.json.Decoder[Any]") -> tuple[Any, memoryview]:
    """The JSON of a body, and the bytes behind it."""
    data = memoryview(b"")
    if header_length is not None:
        if not 0 < header_length <= len(body):
            raise InputError(f"{HEADER_LENGTH} is {header_length}, and the body has {len(body):,} bytes")
        whole = memoryview(body)
        body, data = whole[:header_length], whole[header_length:]
    try:
        return decoder.decode(body), data
    except msgspec.ValidationError as error:
        raise InputError(f"the body is not as the protocol has it: {one_line(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the body is no JSON that can be read: {one_line(error)}") from None


def _arrays(
    tensors: Sequence[JsonTensor], data: memoryview, limits: Limits, *, nulls: bool = False
) -> dict[str, Array]:
    if len(tensors) > limits.tensors:
        raise TooLargeError(f"there are {len(tensors):,} tensors; at most {limits.tensors:,} are taken")
    found: dict[str, Array] = {}
    place = 0
    for tensor in tensors:
        name, asked = tensor.name, tensor.parameters
        if len(tensor.shape) > limits.nesting:
            raise TooLargeError(f"a tensor has {len(tensor.shape):,} axes; at most {limits.nesting} are taken")
        if name in found:
            raise InputError(f"tensor {name[:80]!r} comes twice; send each once")
        size = _binary_size(tensor, len(data) - place) if asked else None
        if size is None:
            if tensor.data is None:
                raise InputError(f"tensor {name[:80]!r} has no data; it takes data, or binary_data_size and bytes")
            found[name] = elements.from_json(name[:80], tensor.datatype, tensor.shape, tensor.data, nulls=nulls)
        else:
            view = data[place : place + size]
            found[name] = elements.from_bytes(name[:80], tensor.datatype, tensor.shape, view)
            place += size
    if place != len(data):
        raise InputError(f"{len(data) - place:,} bytes follow that belong to no tensor; say binary_data_size for each")
    return found


def _binary_size(tensor: JsonTensor, left: int) -> int | None:
    """How many bytes behind the JSON are this tensor's; None where its data is in the JSON."""
    asked = tensor.parameters or {}
    size = asked.get("binary_data_size")
    if size is None or len(asked) > 1:
        _refuse(asked)
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0 or tensor.data is not None:
        raise InputError(f"tensor {tensor.name[:80]!r} takes data, or the number of its bytes as binary_data_size")
    if size > left:
        raise InputError(f"tensor {tensor.name[:80]!r} says {size:,} bytes of binary data, and {left:,} are left")
    return size


def _is_binary(output: JsonOutput, default: bool) -> bool:
    asked = output.parameters
    if not asked:
        return default
    _refuse(asked)
    return asked.get("binary_data", default) is True


def _refuse(asked: Parameters) -> None:
    """Raise `InputError` at what would change the answer and is not served."""
    for name, why in _REFUSED.items():
        if asked.get(name):
            raise InputError(why)


def _told(arrays: Mapping[str, Array], binary: Binary) -> tuple[list[JsonTensor], list[Array | bytes]]:
    """Tensors as JSON tells them, and the buffers of those that are binary."""
    tensors, data = [], []
    for name, array in arrays.items():
        tensor = JsonTensor(name, list(array.shape), to_protocol(array.dtype))
        if binary.named.get(name, binary.default):
            buffer = elements.to_bytes(array)
            data.append(buffer)
            tensor.parameters = {"binary_data_size": buffer.nbytes if not isinstance(buffer, bytes) else len(buffer)}
        else:
            tensor.data = elements.to_json(name, array)
        tensors.append(tensor)
    return tensors, data


def _joined(header: bytes, data: Iterable[Any]) -> Wire:
    """JSON with the bytes of tensors behind it: the one copy of them; blanks bring their beginning to a whole word."""
    buffers = list(data)
    if not buffers:
        return Wire(header)
    blanks = -len(header) % _ALIGNED
    return Wire(b"".join((header, b" " * blanks, *buffers)), len(header) + blanks)
