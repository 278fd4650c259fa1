"""What an ONNX file asks for beyond its own bytes, read without a library."""

import re
from collections.abc import Iterator

# message -> field number -> the message inside; what is not listed cannot hold a tensor
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
}
_FIXED_BYTES = {1: 8, 5: 4}

# Field numbers: model.graph, graph.input, and value.type.tensor_type.shape.dim with its dim_param and denotation.
_GRAPH, _INPUT, _TO_AXES, _PARAMETER, _DENOTATION = 7, 11, (2, 1, 2, 1), 2, 3

# graph.node with its input and op_type, graph.initializer with its data_type and name; the place of a zero point among
# the inputs of QuantizeLinear, and the element type that stands for int16
_NODE, _NODE_INPUT, _NODE_KIND, _TENSOR, _TENSOR_TYPE, _TENSOR_NAME = 1, 1, 4, 5, 2, 8
_ZERO_POINT, _INT16 = 2, 5

# What exporters call a batch: ours and PyTorch's guides `batch`, tf2onnx `unk__12`, the ONNX model zoo `N`.
_BATCH = r"(?i)batch|^unk__\d+$|^n$"


def keeps_tensors_elsewhere(data: bytes) -> bool:
    """Whether a tensor of the file lies in another file (`external_data`).

    ONNX Runtime would read that file from wherever the name leads, beginning at the working directory. A file that
    is no ONNX file gets False: the engine refuses it in its own words.
    """
    if b"location" not in data:  # the key that every such tensor carries
        return False
    waiting = [("model", memoryview(data))]
    while waiting:
        kind, message = waiting.pop()
        if kind == "external":
            return True
        inside = _INSIDE[kind]
        waiting += [(inside[number], content) for number, content in messages(message) if number in inside]
    return False


def quantizes_in_16_bits(data: bytes) -> bool:
    """Whether activations of the file are int16: a zero point of `QuantizeLinear` is stored as such."""
    if b"QuantizeLinear" not in data:
        return False
    graph = memoryview(data)
    zeros = set()
    for node in _fields(graph, _GRAPH, _NODE):
        inputs = [bytes(name) for name in _fields(node, _NODE_INPUT)]
        if _text(node, _NODE_KIND) == "QuantizeLinear" and len(inputs) > _ZERO_POINT:
            zeros.add(inputs[_ZERO_POINT])
    return any(
        (_TENSOR_TYPE, _INT16) in _all_fields(tensor) and bytes(next(_fields(tensor, _TENSOR_NAME), b"")) in zeros
        for tensor in _fields(graph, _GRAPH, _TENSOR)
    )


def batch_names(data: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """The names and the denotations of the free leading axes of a file's inputs that are its batch.

    An axis counts as the batch where it leads, no other axis has its name, and the name says so.
    """
    leading: set[str] = set()
    denoted: set[str] = set()
    others: set[str] = set()
    for value in _fields(memoryview(data), _GRAPH, _INPUT):
        axes = [(_text(axis, _PARAMETER), _text(axis, _DENOTATION)) for axis in _fields(value, *_TO_AXES)]
        for place, (name, denotation) in enumerate(axes):
            if place or not re.search(_BATCH, name):
                others.add(name)
            else:
                leading.add(name)
            if place == 0 and denotation == "DATA_BATCH" and not name:
                denoted.add(denotation)
    return frozenset(leading - others), frozenset(denoted)


def _fields(message: memoryview, number: int, *deeper: int) -> Iterator[memoryview]:
    """What lies at the end of a path of field numbers."""
    for found, content in messages(message):
        if found == number:
            if deeper:
                yield from _fields(content, *deeper)
            else:
                yield content


def _text(message: memoryview, number: int) -> str:
    return next((bytes(content).decode(errors="replace") for content in _fields(message, number)), "")


def messages(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields of a protobuf message, up to where it ends or is damaged."""
    return ((number, content) for number, content in _all_fields(message) if not isinstance(content, int))


def _all_fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The fields of a message that are length-delimited, and those that are whole numbers."""
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        wire = tag & 7
        if wire == 0:
            value, at = _number(message, at)
            yield tag >> 3, value
        elif wire == 2:
            length, at = _number(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            at += _FIXED_BYTES.get(wire, 0)


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """The varint at a place, and the place behind it."""
    value = 0
    for shift, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, at + shift + 1
    return 0, len(message)
