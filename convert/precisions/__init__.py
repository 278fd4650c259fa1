"""The frozen table of precisions, one file each."""

from edgepack.convert.precisions.base import FLOATS, Precision
from edgepack.convert.precisions.dynamic_int8 import DYNAMIC_INT8
from edgepack.convert.precisions.float16 import FLOAT16
from edgepack.convert.precisions.float32 import FLOAT32
from edgepack.convert.precisions.int8 import INT8
from edgepack.convert.precisions.int16x8 import INT16X8
from edgepack.convert.precisions.weight_int4 import WEIGHT_INT4
from edgepack.convert.precisions.weight_int8 import WEIGHT_INT8
from edgepack.runtime.errors import UnknownNameError

__all__ = ["FLOATS", "PRECISIONS", "Precision", "find"]

PRECISIONS = {one.name: one for one in (FLOAT32, FLOAT16, WEIGHT_INT8, DYNAMIC_INT8, INT8, INT16X8, WEIGHT_INT4)}


def find(name: str) -> Precision:
    """The precision of that name; raises `UnknownNameError` that lists those there are."""
    if name not in PRECISIONS:
        raise UnknownNameError("precision", name, (*PRECISIONS, "all"))
    return PRECISIONS[name]
