"""Tensors over the wire, by the server's own codec, and what the metadata says of them."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from edgepack.runtime.errors import InputError, ServeError, TooLargeError
from edgepack.runtime.serve.datatypes import BYTES, NUMPY, to_numpy
from edgepack.runtime.serve.messages import InferAnswer, InferRequest, TensorMetadata
from edgepack.runtime.serve.tensors import HEADER_LENGTH, decode_answer, encode_request
from edgepack.runtime.tensor import Array, TensorSpec


def write_request(request: InferRequest, *, binary: bool) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a request; raises `InputError` for text that JSON cannot hold."""
    wire = encode_request(request, binary=binary, binary_outputs=binary)
    headers = {"content-type": "application/json"}
    if wire.header_length is not None:
        headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(wire.header_length)}
    return headers, wire.body


def read_answer(headers: Mapping[str, str], content: bytes) -> InferAnswer:
    """The answer in a body; its arrays can be written.

    Args:
        headers: By name in small letters.
        content: The body.

    Raises:
        ServeError: It is none of the protocol.
    """
    length = headers.get(HEADER_LENGTH.lower())
    try:
        answer = decode_answer(content, None if length is None else int(length))
    except (InputError, TooLargeError, ValueError) as error:
        raise ServeError(f"the server gives no answer of this protocol: {error}") from error
    outputs = {name: array if array.flags.writeable else array.copy() for name, array in answer.outputs.items()}
    return msgspec.structs.replace(answer, outputs=outputs)


def spec_of(tensor: TensorMetadata) -> TensorSpec:
    """A tensor as a session names it: None in its shape where an axis is free."""
    dtype = "string" if tensor.datatype == BYTES else to_numpy(tensor.datatype).name
    return TensorSpec(tensor.name, tuple(None if size < 0 else size for size in tensor.shape), dtype)


def sendable(name: object, array: "np.ndarray[Any, Any]") -> Array:
    """The array in this machine's order of bytes; raises `InputError` for elements that no datatype has."""
    if array.dtype.kind in "OUS":
        return array
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype not in NUMPY.values():
        listed = ", ".join(str(dtype) for protocol, dtype in NUMPY.items() if protocol != BYTES)
        raise InputError(f"input {str(name)!r:.80} holds {array.dtype}; the protocol has {listed} and text")
    return native
