"""Results as they come over the wire, back to what `Session.predict` gives."""

import base64
import binascii
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgepack.runtime.errors import ServeError
from edgepack.runtime.serve.datatypes import to_numpy
from edgepack.runtime.serve.messages import ModelMetadata
from edgepack.runtime.steps.outputs import Score, Value
from edgepack.runtime.tensor import Array

_CHANNELS = {0: 1, 2: 3}  # what PNG calls colours -> channels
_MOST_PIXELS = 64_000_000  # as many as a pack may make


class Results:
    """How the results of one model are read.

    Args:
        metadata: The model's: what is made of each output.
    """

    def __init__(self, metadata: ModelMetadata) -> None:
        dtypes = {tensor.name: to_numpy(tensor.datatype) for tensor in metadata.outputs}
        self._readers = {name: _READERS.get(kind, _array)(dtypes[name]) for name, kind in metadata.results.items()}

    def read(self, result: Any) -> Any:
        """One result: of the one output, or a dict by name; raises `ServeError` where it is none."""
        try:
            if len(self._readers) == 1:
                return next(iter(self._readers.values()))(result)
            return {name: self._readers[name](value) for name, value in result.items()}
        except (KeyError, TypeError, ValueError, AttributeError, struct.error, zlib.error, binascii.Error) as error:
            raise ServeError(f"the server answers with a result that cannot be read: {error!r:.100}") from error


def read_png(data: bytes) -> Array:
    """The pixels of a PNG file as edgepack writes it, uint8 `(height, width, 1 | 3)`; raises `ValueError`."""
    chunks = dict(_chunks(data))
    width, height, bits, colours = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    if bits != 8 or colours not in _CHANNELS or not 0 < width * height <= _MOST_PIXELS:
        raise ValueError(f"a picture of {width} x {height} pixels of {bits} bits is none of edgepack's")
    row_bytes = 1 + width * _CHANNELS[colours]
    rows = zlib.decompressobj().decompress(chunks[b"IDAT"], height * row_bytes)
    table = np.frombuffer(rows, np.uint8).reshape(height, row_bytes)
    if table[:, 0].any():
        raise ValueError("a picture with filtered rows is none of edgepack's")
    return table[:, 1:].reshape(height, width, _CHANNELS[colours]).copy()


def _chunks(data: bytes) -> "list[tuple[bytes, bytes]]":
    found, start = [], 8
    while start < len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        found.append((kind, data[start + 8 : start + 8 + size]))
        start += 12 + size
    return found


def _number(given: float | None) -> float:
    """JSON has no NaN: it is null there."""
    return float("nan") if given is None else float(given)


def _score(given: Mapping[str, Any]) -> Score:
    return Score(str(given["label"]), _number(given["score"]))


def _value(given: Mapping[str, Any]) -> Value:
    return Value(str(given["name"]), _number(given["number"]), str(given["unit"]))


def _scores(_: "np.dtype[Any]") -> Callable[[Any], Any]:
    return lambda result: [_score(one) for one in result]


def _values(_: "np.dtype[Any]") -> Callable[[Any], Any]:
    return lambda result: [_value(one) for one in result] if isinstance(result, list) else _value(result)


def _picture(_: "np.dtype[Any]") -> Callable[[Any], Any]:
    return lambda result: read_png(base64.b64decode(result["png_base64"]))


def _array(dtype: "np.dtype[Any]") -> Callable[[Any], Any]:
    return lambda result: np.asarray(result, dtype)  # null becomes NaN where floats are wanted


# what is made of an output, as its metadata says -> what reads it
_READERS: dict[str, Callable[["np.dtype[Any]"], Callable[[Any], Any]]] = {
    "labels": _scores, "decision": _scores, "number": _values, "picture": _picture, "array": _array
}  # fmt: skip
