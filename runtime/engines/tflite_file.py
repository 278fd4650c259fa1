"""What a TFLite file claims, read without a library, before an engine that trusts it."""

import math
import struct

import msgspec

_MOST_TENSOR_BYTES = 2**31
_MOST_AXES = 32

METADATA = "edgepack"  # the name of the metadata entry that edgepack writes, JSON with text by name

# table -> field number -> what lies there: a table, a list of tables (*), or a list of numbers of so many bytes
_FIELDS: dict[str, dict[int, str | int]] = {
    "model": {1: "operator code*", 2: "graph*", 3: 1, 4: "buffer*", 5: 4, 6: "metadata*", 7: "signature*"},
    "operator code": {1: 1},
    "graph": {0: "tensor*", 1: 4, 2: 4, 3: "operator*", 4: 1},
    "tensor": {0: 4, 3: 1, 4: "quantization", 7: 4},
    "quantization": {0: 4, 1: 4, 2: 4, 3: 8},
    "operator": {1: 4, 2: 4, 4: "options", 5: 1, 7: 1, 8: 4, 12: "options"},
    "options": {},
    "buffer": {0: 1},
    "metadata": {0: 1},
    "signature": {0: "name*", 1: "name*", 2: 1},
    "name": {0: 1},
}
# Elements of types that are not listed (float32, int32) take four bytes.
_ELEMENT_BYTES = {1: 2, 3: 1, 4: 8, 6: 1, 7: 2, 8: 8, 9: 1, 10: 8, 11: 16, 12: 8, 16: 2, 17: 1}


def reason_to_refuse(data: bytes) -> str:
    """Why an engine must not see these bytes; empty where it may, and then judges them itself.

    tflite-runtime ends the process where a file is cut short. ai-edge-litert looks for that, but ends the process too
    where a file holds no graph; both fill the memory for a tensor of any size.
    """
    if data[4:8] != b"TFL3":
        return "it does not carry the mark of a TFLite file (TFL3)"
    try:
        graphs, largest = _walk(data)
    except (struct.error, OverflowError):
        return "it is damaged or cut short"
    if not graphs:
        return "it holds no graph"
    if largest > _MOST_TENSOR_BYTES:
        return f"it claims a tensor of {largest:,} bytes; at most {_MOST_TENSOR_BYTES:,} are taken"
    return ""


def metadata(data: bytes) -> dict[str, str]:
    """What edgepack wrote into a file about it, text by name; empty where there is nothing of the kind."""
    try:
        content = _entry(data, METADATA.encode())
        return msgspec.json.decode(content, type=dict[str, str])
    except (struct.error, OverflowError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _entry(data: bytes, name: bytes) -> bytes:
    """The content of a metadata entry; raises as `_walk` does, and for want of one too."""
    places = _places(data, _number(data, 0))
    buffers, entries = ([] if at == 0 else _tables(data, at) for at in ((*places, *[0] * 7)[4], (*places, *[0] * 7)[6]))
    for entry in entries:
        called, which = (*_places(data, entry), 0, 0)[:2]
        number = _number(data, which) if which else 0
        if called and _bytes(data, called) == name and number < len(buffers):
            content = (*_places(data, buffers[number]), 0)[0]
            return _bytes(data, content) if content else b""
    raise OverflowError


def _tables(data: bytes, at: int) -> list[int]:
    """Where the tables of a list lie."""
    at += _number(data, at)
    return [at + 4 + 4 * index + way for index, way in enumerate(_numbers(data, at, "I"))]


def _bytes(data: bytes, at: int) -> bytes:
    at += _number(data, at)
    length = _number(data, at)
    if at + 4 + length > len(data):
        raise OverflowError
    return data[at + 4 : at + 4 + length]


def _walk(data: bytes) -> tuple[int, int]:
    """How many graphs there are, and the bytes of the largest tensor.

    Raises:
        struct.error: Something lies beyond the end.
        OverflowError: Something ends beyond it, or there are more tables than room for them.
    """
    graphs = largest = 0
    room = len(data) // 4  # for tables: each has an offset of its own that leads to it
    waiting = [("model", _number(data, 0))]
    while waiting:
        kind, table = waiting.pop()
        graphs += kind == "graph"
        places = _places(data, table)
        if kind == "tensor":
            largest = max(largest, _tensor_bytes(data, places))
        for field, inside in _FIELDS[kind].items():
            at = places[field] if field < len(places) else 0
            if not at:
                continue
            at += _number(data, at)
            if isinstance(inside, str) and not inside.endswith("*"):
                found = [(inside, at)]
            elif isinstance(inside, str):
                ways = _numbers(data, at, "I")
                found = [(inside[:-1], at + 4 + 4 * index + way) for index, way in enumerate(ways)]
            else:
                if at + 4 + _number(data, at) * inside > len(data):
                    raise OverflowError
                continue
            room -= len(found)
            if room < 0:
                raise OverflowError
            waiting += found
    return graphs, largest


def _places(data: bytes, table: int) -> list[int]:
    """Where each field of a table lies; 0 for those it does not have."""
    names = table - struct.unpack_from("<i", data, table)[0]
    if names < 0:
        raise OverflowError
    names_size, table_size = struct.unpack_from("<HH", data, names)
    if table + table_size > len(data):
        raise OverflowError
    offsets = struct.unpack_from(f"<{max(0, names_size - 4) // 2}H", data, names + 4)
    return [table + offset if offset else 0 for offset in offsets]


def _tensor_bytes(data: bytes, places: list[int]) -> int:
    shape, kind = (*places, 0, 0)[:2]
    sizes = _numbers(data, shape + _number(data, shape), "i") if shape else ()
    if len(sizes) > _MOST_AXES or min(sizes, default=0) < -1 or kind >= len(data):
        raise OverflowError
    elements: int = math.prod(max(1, size) for size in sizes)
    return elements * _ELEMENT_BYTES.get(data[kind] if kind else 0, 4)


def _numbers(data: bytes, at: int, kind: str) -> tuple[int, ...]:
    """The elements of a list of four-byte numbers."""
    return struct.unpack_from(f"<{_number(data, at)}{kind}", data, at + 4)


def _number(data: bytes, at: int) -> int:
    number: int = struct.unpack_from("<I", data, at)[0]
    return number
