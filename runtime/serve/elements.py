"""The elements of one tensor: numbers and texts of JSON or little-endian bytes to numpy, and back."""

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from edgepack.runtime.errors import InputError
from edgepack.runtime.serve.datatypes import BYTES, to_numpy
from edgepack.runtime.tensor import Array, describe

# Datatype -> how `struct` packs its elements: it refuses what does not fit, and takes a third of numpy's time on lists.
_PACKED = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
    "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
_LENGTH = struct.Struct("<I")
_FLOATS = {"FP16", "FP32", "FP64"}
_NAN = float("nan")


def from_json(name: str, datatype: str, shape: Sequence[int], data: list[Any], *, nulls: bool = False) -> Array:
    """The array of a tensor whose elements are in JSON; it may be read-only.

    Args:
        name: The tensor, for messages.
        datatype: As the protocol names it.
        shape: Sizes of 0 or more.
        data: Elements one after the other, last axis fastest, or nested lists of exactly `shape`.
        nulls: Whether `null` is NaN where floats are, as in what a server answers.

    Raises:
        InputError: Elements of another number, nesting or kind, or that do not fit the datatype.
    """
    dtype = to_numpy(datatype)
    if data and type(data[0]) is list:
        data = _flat(name, shape, data)
    count = math.prod(shape)
    if len(data) != count:
        raise InputError(
            f"tensor {name!r} of shape {_told(shape)} takes {count:,} elements; its data has {len(data):,}"
        )
    if datatype == BYTES:
        return _shaped(name, _objects([_utf8(name, text) for text in data]), shape)
    if datatype == "BOOL" and not all(type(element) is bool for element in data):
        raise InputError(f"tensor {name!r} is BOOL and takes true and false alone")
    if nulls and datatype in _FLOATS:
        data = [_NAN if element is None else element for element in data]
    try:
        packed = struct.pack(f"<{count}{_PACKED[datatype]}", *data)
    except (struct.error, OverflowError, TypeError) as error:
        raise InputError(
            f"tensor {name!r} is {datatype}, and its data holds what does not fit: {error}; JSON has no NaN and no "
            "infinity, which binary data has"
        ) from None
    return _shaped(name, np.frombuffer(packed, dtype) if count else np.empty(0, dtype), shape)


def from_bytes(name: str, datatype: str, shape: Sequence[int], data: memoryview) -> Array:
    """The array of a tensor whose elements are in little-endian bytes: a read-only view, not a copy.

    Args:
        name: The tensor, for messages.
        datatype: As the protocol names it; of `BYTES`, each element has its length in 4 bytes before it.
        shape: Sizes of 0 or more.
        data: All its bytes and no more.

    Raises:
        InputError: Bytes of another number, or a BOOL that is neither 0 nor 1.
    """
    dtype = to_numpy(datatype)
    count = math.prod(shape)
    if datatype == BYTES:
        return _shaped(name, _objects(_texts(name, count, data)), shape)
    if len(data) != count * dtype.itemsize:
        raise InputError(
            f"tensor {name!r} of {datatype} {_told(shape)} takes {count * dtype.itemsize:,} bytes; it has {len(data):,}"
        )
    array: Array = np.frombuffer(data, dtype) if count else np.empty(0, dtype)
    if datatype == "BOOL" and count and array.view(np.uint8).max() > 1:
        raise InputError(f"tensor {name!r} is BOOL, and holds a byte that is neither 0 nor 1")
    if not array.flags.aligned:  # a header of odd length came before it; engines read whole words
        array = array.copy()
    return _shaped(name, array, shape)


def to_json(name: str, array: Array) -> list[Any]:
    """The elements of a tensor for JSON, one after the other; NaN and infinities become `null` when it is written.

    Raises:
        InputError: Bytes that are no text in UTF-8, which JSON cannot hold.
    """
    flat: list[Any] = array.ravel().tolist()
    if array.dtype.kind not in "OUS":
        return flat
    try:
        return [_encoded(element).decode() for element in flat]
    except UnicodeDecodeError:
        raise InputError(f"tensor {name!r} holds bytes that are no text in UTF-8; ask for it as binary data") from None


def to_bytes(array: Array) -> Array | bytes:
    """The elements of a tensor as a buffer of little-endian bytes; numbers that lie in one piece are not copied."""
    if array.dtype.kind not in "OUS":
        return np.ascontiguousarray(array)
    pieces = []
    for element in array.ravel().tolist():
        data = _encoded(element)
        pieces += [_LENGTH.pack(len(data)), data]
    return b"".join(pieces)


def _shaped(name: str, flat: Array, shape: Sequence[int]) -> Array:
    try:
        return flat.reshape(shape)
    except (ValueError, OverflowError, MemoryError) as error:  # sizes beyond any array beside one of 0
        raise InputError(f"tensor {name!r} cannot have shape {_told(shape)}: {error}") from None


def _flat(name: str, shape: Sequence[int], data: list[Any]) -> list[Any]:
    """Nested lists as one, if they are nested exactly as `shape` says."""
    rows = [data]
    is_right = True
    for size in shape:
        is_right = is_right and all(type(row) is list and len(row) == size for row in rows)
        rows = list(chain.from_iterable(rows)) if is_right else []
    if not is_right or list in map(type, rows):
        raise InputError(f"the data of tensor {name!r} is not nested as its shape {_told(shape)} says; it may be flat")
    return rows


def _objects(elements: list[bytes]) -> Array:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array


def _utf8(name: str, text: Any) -> bytes:
    if not isinstance(text, str):
        raise InputError(f"tensor {name!r} is BYTES and takes text in JSON; it holds {text!r:.40}")
    return text.encode()


def _encoded(element: Any) -> bytes:
    """An element of an array of text; broken UTF-8 that was read as text becomes the bytes it was."""
    return element if isinstance(element, bytes) else str(element).encode("utf-8", "surrogateescape")


def _texts(name: str, count: int, data: memoryview) -> list[bytes]:
    """The elements of a tensor of BYTES, each behind its length."""
    found: list[bytes] = []
    place, end = 0, len(data)
    if 4 * count > end:
        raise InputError(
            f"tensor {name!r} has {count:,} elements of BYTES, and {end:,} bytes do not even hold their lengths"
        )
    for _ in range(count):
        start = place + 4
        place = start + _LENGTH.unpack_from(data, place)[0] if start <= end else end + 1
        if place > end:
            raise InputError(f"tensor {name!r} claims more bytes than its {end:,}: element {len(found):,} is cut off")
        found.append(bytes(data[start:place]))
    if place != end:
        raise InputError(f"tensor {name!r} has {end - place:,} bytes behind its {count:,} elements")
    return found


def _told(shape: Sequence[int]) -> str:
    return describe(shape)[:80]
