"""Datatypes of the Open Inference Protocol and numpy's, each way."""

import numpy as np

from edgepack.runtime.errors import InputError

BYTES = "BYTES"

# protocol -> numpy
NUMPY = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8), "UINT16": np.dtype(np.uint16), "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8), "INT16": np.dtype(np.int16), "INT32": np.dtype(np.int32), "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16), "FP32": np.dtype(np.float32), "FP64": np.dtype(np.float64),
    BYTES: np.dtype(np.object_),
}  # fmt: skip
_PROTOCOL = {dtype: name for name, dtype in NUMPY.items()}


def to_numpy(datatype: str) -> "np.dtype[np.generic]":
    """The element type of a datatype; raises `InputError` that lists those there are."""
    try:
        return NUMPY[datatype]
    except (KeyError, TypeError):
        raise InputError(f"unknown datatype {str(datatype)[:40]!r}; it takes {', '.join(NUMPY)}") from None


def to_protocol(dtype: "np.dtype[np.generic] | str") -> str:
    """The datatype of a numpy element type, or of `"string"` as a `TensorSpec` names text."""
    known = None if isinstance(dtype, str) else _PROTOCOL.get(dtype)
    if known is not None:
        return known
    if dtype == "string" or np.dtype(dtype).kind in "OUS":
        return BYTES
    return _PROTOCOL[np.dtype(dtype)]
