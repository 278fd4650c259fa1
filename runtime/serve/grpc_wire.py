"""Raw tensors in the bytes of a protobuf message, read and written without a copy of their own.

The library copies a field of bytes when it parses a message and once more when the field is read, and as often on the
way back. Tensors are nearly all of a message, so that they are cut out before the library sees it, and put behind what
it wrote: on the wire, fields may stand in any order.
"""

from collections.abc import Sequence

from edgepack.runtime.errors import InputError

_RAW_INPUT = 7 << 3 | 2  # ModelInferRequest.raw_input_contents
_RAW_OUTPUT = 6 << 3 | 2  # ModelInferResponse.raw_output_contents
_INFER_RESPONSE = 2 << 3 | 2  # ModelStreamInferResponse.infer_response
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


def split(data: bytes) -> tuple[bytes, list[memoryview]]:
    """Return a `ModelInferRequest` without its raw tensors, and these as views of `data`.

    Raises:
        InputError: The bytes are no protobuf message.
    """
    view, raw, rest = memoryview(data), [], []
    at = start = 0
    try:
        while at < len(data):
            field = at
            tag, at = _varint(data, at)
            begin, at = _value(data, tag, at)
            if tag == _RAW_INPUT:
                raw.append(view[begin:at])
                rest.append(view[start:field])
                start = at
    except IndexError:
        at = len(data) + 1
    if at != len(data):
        raise InputError("the bytes of the request are no protobuf message: they end within a field")
    rest.append(view[start:])
    return b"".join(rest), raw


def joined(head: bytes, tensors: Sequence[bytes | memoryview], *, streamed: bool = False) -> bytes:
    """Return a serialized `ModelInferResponse` with its raw tensors behind it, copied once.

    Args:
        head: The response without `raw_output_contents`.
        tensors: C-contiguous, in the order of the outputs.
        streamed: Put it into a `ModelStreamInferResponse`.
    """
    parts: list[bytes | memoryview] = [head]
    for tensor in tensors:
        parts += (_to_varint(_RAW_OUTPUT) + _to_varint(_size(tensor)), tensor)
    if streamed:
        parts.insert(0, _to_varint(_INFER_RESPONSE) + _to_varint(sum(map(_size, parts))))
    return b"".join(parts)


def _size(part: bytes | memoryview) -> int:
    return memoryview(part).nbytes


def _value(data: bytes, tag: int, at: int) -> tuple[int, int]:
    """Where the value of a field begins and ends."""
    kind = tag & 7
    if kind == _BYTES:
        size, at = _varint(data, at)
        return at, at + size
    if kind == _VARINT:
        return at, _varint(data, at)[1]
    if kind in _FIXED:
        return at, at + _FIXED[kind]
    raise InputError(f"the bytes of the request are no protobuf message: wire type {kind} is not in use")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends; raises `IndexError` at the end of the data."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise InputError("the bytes of the request are no protobuf message: a number has no end")


def _to_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
