"""A TFLite file as C++ source for TFLite-Micro, tried in its own interpreter before it is written."""

from edgepack.convert.micro.array import CArray
from edgepack.convert.micro.asked import (
    SUFFIX,
    TARGET,
    check_not_searched,
    check_pair,
    check_precisions,
    defaults,
    is_c_array,
)
from edgepack.convert.micro.exporting import export
from edgepack.convert.micro.text import said_steps
from edgepack.convert.micro.writing import write_c_array

__all__ = [
    "SUFFIX", "TARGET", "CArray", "check_not_searched", "check_pair", "check_precisions", "defaults", "export",
    "is_c_array", "said_steps", "write_c_array",
]  # fmt: skip
