"""What a file calls its inputs and outputs, in its own order, and what it says of itself, read without a library.

An engine that names tensors in its own way, or in another order, is held against this.
"""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from edgepack.runtime.engines import flatbuffer
from edgepack.runtime.engines.onnx_file import messages
from edgepack.runtime.errors import EngineError


@dataclass(frozen=True, slots=True)
class Name:
    """One input or output."""

    given: str
    """What users know it by."""
    tensor: str
    """What the tensor is called inside."""


Names = tuple[tuple[Name, ...], tuple[Name, ...]]


def of_onnx(data: bytes) -> Names:
    """Inputs and outputs of an ONNX file; an input that has a value already is none.

    Raises:
        EngineError: A name is no text.
    """
    try:
        return _of_onnx(data)
    except UnicodeDecodeError as error:
        raise EngineError("the names of its tensors are no text") from error


def _of_onnx(data: bytes) -> Names:
    graph = [field for number, content in messages(memoryview(data)) if number == 7 for field in messages(content)]
    initializers = {_text(content, 8) for number, content in graph if number == 5}
    sparse = {_text(values, 8) for number, content in graph if number == 15 for values in _inside(content, 1)}
    inputs, outputs = ([_text(content, 1) for number, content in graph if number == kind] for kind in (11, 12))
    valued = initializers | sparse
    return (
        tuple(Name(name, name) for name in inputs if name not in valued),
        tuple(Name(name, name) for name in outputs),
    )


def onnx_metadata(data: bytes) -> dict[str, str]:
    """The `metadata_props` of an ONNX file."""
    found: dict[str, str] = {}
    for entry in _inside(memoryview(data), 14):
        with contextlib.suppress(UnicodeDecodeError):
            found[_text(entry, 1)] = _text(entry, 2)
    return found


def of_tflite(data: bytes) -> Names:
    """Inputs and outputs of a TFLite file: by its signature where there is one, else by their tensors.

    Raises:
        EngineError: The file is damaged.
    """
    try:
        model = _fields(data, flatbuffer.number(data, 0), 8)
        graph = _fields(data, flatbuffer.tables(data, model[2])[0], 3)
        tensors = flatbuffer.tables(data, graph[0]) if graph[0] else []
        signatures = flatbuffer.tables(data, model[7]) if model[7] else []
        signature = _fields(data, signatures[0], 2) if len(signatures) == 1 else [0, 0]
        inputs, outputs = (
            tuple(_named(data, tensors, _indices(data, place), dict(_signed(data, signed))))
            for place, signed in zip(graph[1:], signature, strict=True)
        )
    except (struct.error, OverflowError, IndexError, UnicodeDecodeError) as error:
        raise EngineError("its inputs and outputs are damaged, or their names are no text") from error
    return inputs, outputs


def _named(data: bytes, tensors: list[int], indices: tuple[int, ...], given: dict[int, str]) -> Iterator[Name]:
    for index in indices:
        if index < 0:
            raise IndexError
        at = _fields(data, tensors[index], 4)[3]
        tensor = _utf8(flatbuffer.content(data, at)) if at else ""
        yield Name(given.get(index, tensor), tensor)


def _signed(data: bytes, place: int) -> Iterator[tuple[int, str]]:
    """Tensors of a signature's list, each with the name it has there."""
    for table in flatbuffer.tables(data, place) if place else ():
        name, index = _fields(data, table, 2)
        yield flatbuffer.number(data, index) if index else 0, _utf8(flatbuffer.content(data, name)) if name else ""


def _indices(data: bytes, place: int) -> tuple[int, ...]:
    return flatbuffer.numbers(data, place + flatbuffer.number(data, place), "i") if place else ()


def _fields(data: bytes, table: int, count: int) -> list[int]:
    """Where the first fields of a table lie; 0 for those it does not have."""
    return [*flatbuffer.places(data, table), *[0] * count][:count]


def _inside(message: memoryview, number: int) -> list[memoryview]:
    return [content for found, content in messages(message) if found == number]


def _text(message: memoryview, number: int) -> str:
    return next((_utf8(bytes(content)) for content in _inside(message, number)), "")


def _utf8(content: bytes) -> str:
    return content.decode()
