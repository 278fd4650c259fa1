"""What a TFLite file claims, read without a library, before an engine that trusts it."""

import math
import struct

import msgspec

from edgepack.runtime.engines import flatbuffer

_MOST_TENSOR_BYTES = 2**31
_MOST_AXES = 32
_MOST_INPUTS = 1024  # that are looked at for free sizes

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


def has_free_sizes(data: bytes) -> bool:
    """Whether an input of the first graph has a size that a run decides. The bytes are those that an engine may see."""
    model = [*flatbuffer.places(data, flatbuffer.number(data, 0)), *[0] * 7]
    graph = [*flatbuffer.places(data, flatbuffer.tables(data, model[2])[0]), *[0] * 7]
    if not graph[0] or not graph[1]:
        return False
    tensors = flatbuffer.tables(data, graph[0])
    for index in flatbuffer.numbers(data, graph[1] + flatbuffer.number(data, graph[1]), "i")[:_MOST_INPUTS]:
        at = [*flatbuffer.places(data, tensors[index]), *[0] * 8][7] if 0 <= index < len(tensors) else 0
        if at and -1 in flatbuffer.numbers(data, at + flatbuffer.number(data, at), "i")[:_MOST_AXES]:
            return True
    return False


def _entry(data: bytes, name: bytes) -> bytes:
    """The content of a metadata entry; raises as `_walk` does, and for want of one too."""
    places = flatbuffer.places(data, flatbuffer.number(data, 0))
    places += [0] * 7
    buffers, entries = (flatbuffer.tables(data, at) if at else [] for at in (places[4], places[6]))
    for entry in entries:
        called, which = (*flatbuffer.places(data, entry), 0, 0)[:2]
        number = flatbuffer.number(data, which) if which else 0
        if called and flatbuffer.content(data, called) == name and number < len(buffers):
            content = (*flatbuffer.places(data, buffers[number]), 0)[0]
            return flatbuffer.content(data, content) if content else b""
    raise OverflowError


def _walk(data: bytes) -> tuple[int, int]:
    """How many graphs there are, and the bytes of the largest tensor.

    Raises:
        struct.error: Something lies beyond the end.
        OverflowError: Something ends beyond it, or there are more tables than room for them.
    """
    graphs = largest = 0
    room = len(data) // 4  # for tables: each has an offset of its own that leads to it
    waiting = [("model", flatbuffer.number(data, 0))]
    while waiting:
        kind, table = waiting.pop()
        graphs += kind == "graph"
        places = flatbuffer.places(data, table)
        if kind == "tensor":
            largest = max(largest, _tensor_bytes(data, places))
        for field, inside in _FIELDS[kind].items():
            at = places[field] if field < len(places) else 0
            if not at:
                continue
            at += flatbuffer.number(data, at)
            if isinstance(inside, str) and not inside.endswith("*"):
                found = [(inside, at)]
            elif isinstance(inside, str):
                ways = flatbuffer.numbers(data, at, "I")
                found = [(inside[:-1], at + 4 + 4 * index + way) for index, way in enumerate(ways)]
            else:
                if at + 4 + flatbuffer.number(data, at) * inside > len(data):
                    raise OverflowError
                continue
            room -= len(found)
            if room < 0:
                raise OverflowError
            waiting += found
    return graphs, largest


def _tensor_bytes(data: bytes, places: list[int]) -> int:
    shape, kind = (*places, 0, 0)[:2]
    sizes = flatbuffer.numbers(data, shape + flatbuffer.number(data, shape), "i") if shape else ()
    if len(sizes) > _MOST_AXES or min(sizes, default=0) < -1 or kind >= len(data):
        raise OverflowError
    elements: int = math.prod(max(1, size) for size in sizes)
    return elements * _ELEMENT_BYTES.get(data[kind] if kind else 0, 4)
