"""A TFLite file as C++ source for TFLite-Micro: `.h` and `.cc`, tried in its own interpreter before they are written."""

from edgepack.convert.micro.array import CArray
from edgepack.convert.micro.asked import SUFFIX, defaults, is_c_array
from edgepack.convert.micro.writing import write_c_array

__all__ = ["SUFFIX", "CArray", "defaults", "is_c_array", "write_c_array"]
