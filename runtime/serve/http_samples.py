"""Raw samples out of requests: what one holds is decided by the first step of the pack, and no text is ever a path."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

import numpy as np

from edgepack.runtime import sample_files
from edgepack.runtime.errors import InputError, PackError
from edgepack.runtime.pack import decode_array
from edgepack.runtime.serve.http_wire import RefusedError
from edgepack.runtime.serve.messages import ModelMetadata, RawMetadata
from edgepack.runtime.steps.series import series_of_csv
from edgepack.runtime.tensor import Array

_WHERE = "the body"


def of_body(model: ModelMetadata, content_type: str, body: bytes) -> list[Any]:
    """The samples in a body that is no JSON: one, or a row for each line of CSV.

    Args:
        model: What it is for.
        content_type: Without parameters, in small letters.
        body: All of it.

    Raises:
        RefusedError: A model of such samples takes another type (415).
        InputError, StepError: The body is none of that type.
    """
    if len(model.raw) != 1:
        parts = ", ".join(raw.name for raw in model.raw) or "tensors"
        raise RefusedError(415, f"a sample of {model.name!r} has {len(model.raw)} parts ({parts}): send JSON by name")
    raw = model.raw[0]
    for kind, type_, read in _BODIES:
        if raw.kind == kind and content_type.startswith(type_):
            return read(raw, body)
    taken = ", ".join(f"{type_}*" if type_.endswith("/") else type_ for kind, type_, _ in _BODIES if kind == raw.kind)
    raise RefusedError(
        415, f"content-type {content_type[:40]!r} is not taken by {model.name!r}; it takes {taken}, application/json"
    )


def of_json(model: ModelMetadata, value: Any) -> Any:
    """The sample that a value of JSON means: text, numbers, a row by column, `{"base64": …}`, or parts by name.

    Raises:
        InputError: It is none.
    """
    if len(model.raw) == 1:
        return _part(model, model.raw[0], value)
    names = [raw.name for raw in model.raw]
    if not isinstance(value, dict) or sorted(value) != sorted(names):
        raise InputError(f"a sample of {model.name!r} is an object with {', '.join(names)}; it is {_kind(value)}")
    return {raw.name: _part(model, raw, value[raw.name]) for raw in model.raw}


def _part(model: ModelMetadata, raw: RawMetadata, value: Any) -> Any:
    read = _VALUES[raw.kind]
    try:
        return read(model, raw, value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{raw.name} cannot be read: {str(error)[:200]}; it is {raw.told}") from None


def _image(_: ModelMetadata, raw: RawMetadata, value: Any) -> Any:
    if isinstance(value, dict):
        return _base64(raw, value)
    pixels = _numbers(raw, value)
    if pixels.dtype.kind not in "iu" or (pixels.size and not 0 <= pixels.min() <= pixels.max() <= 255):
        raise InputError(f"pixels of {raw.name} are whole numbers from 0 to 255")
    return pixels.astype(np.uint8)


def _sound(_: ModelMetadata, raw: RawMetadata, value: Any) -> Any:
    return _base64(raw, value) if isinstance(value, dict) else _floats(raw, value)


def _text(_: ModelMetadata, raw: RawMetadata, value: Any) -> Any:
    if not isinstance(value, str):
        raise InputError(f"{raw.name} is text; it is {_kind(value)}")
    return value


def _row(_: ModelMetadata, raw: RawMetadata, value: Any) -> Any:
    if not isinstance(value, (dict, list)):
        raise InputError(f"{raw.name} is a row, by column or in order; it is {_kind(value)}")
    return value


def _series(_: ModelMetadata, raw: RawMetadata, value: Any) -> Any:
    return _floats(raw, value)


def _array(model: ModelMetadata, raw: RawMetadata, value: Any) -> Any:
    datatype = next((tensor.datatype for tensor in model.inputs if tensor.name == raw.name), "")
    if datatype == "BYTES":
        return value
    array = _numbers(raw, value)
    return array.astype(np.float64) if datatype.startswith("FP") and array.dtype.kind in "iu" else array


def _floats(raw: RawMetadata, value: Any) -> Array:
    array = _numbers(raw, value)
    return array.astype(np.float64) if array.dtype.kind in "iu" else array


def _numbers(raw: RawMetadata, value: Any) -> Array:
    if not isinstance(value, (list, int, float)):
        raise InputError(f"{raw.name} is {raw.told}; it is {_kind(value)}")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{raw.name} holds what is no number; it is {raw.told}")
    return array


def _base64(raw: RawMetadata, value: dict[str, Any]) -> bytes:
    data = value.get("base64")
    if list(value) != ["base64"] or not isinstance(data, str):
        raise InputError(f'{raw.name} is a file as {{"base64": "…"}} or numbers; it is {_kind(value)}')
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise InputError(f"{raw.name} is no base64: {error}") from None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _whole(_: RawMetadata, body: bytes) -> list[Any]:
    return [body]


def _one_text(_: RawMetadata, body: bytes) -> list[Any]:
    try:
        return [body.decode()]
    except UnicodeDecodeError as error:
        raise InputError(f"the body is no text in UTF-8: {error}") from None


def _rows(raw: RawMetadata, body: bytes) -> list[Any]:
    return [row for _, row in sample_files.rows(raw.options["columns"], body, _WHERE)]


def _series_csv(raw: RawMetadata, body: bytes) -> list[Any]:
    return [series_of_csv(body, _WHERE, raw.options.get("channels", 1))]


def _npy(_: RawMetadata, body: bytes) -> list[Any]:
    try:
        return [decode_array(body)]
    except PackError:
        raise InputError("the body is no .npy file of plain numbers; write it with numpy.save") from None


# kind of raw value, type of body (or what it begins with), how it is read
_BODIES: tuple[tuple[str, str, Callable[[RawMetadata, bytes], list[Any]]], ...] = (
    ("image", "image/", _whole),
    ("image", "application/octet-stream", _whole),
    ("sound", "audio/", _whole),
    ("sound", "application/octet-stream", _whole),
    ("text", "text/plain", _one_text),
    ("text", "application/octet-stream", _one_text),
    ("row", "text/csv", _rows),
    ("row", "application/octet-stream", _rows),
    ("series", "text/csv", _series_csv),
    ("series", "application/octet-stream", _npy),
    ("array", "application/octet-stream", _npy),
)
# kind of raw value -> how a value of JSON is read
_VALUES: dict[str, Callable[[ModelMetadata, RawMetadata, Any], Any]] = {
    "image": _image, "sound": _sound, "text": _text, "row": _row, "series": _series, "array": _array,
}  # fmt: skip
