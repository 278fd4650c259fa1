"""OpenVINO's runtime, without what comes with it: one core for the process, words of its errors, names of devices."""

import re
import sys
from functools import lru_cache
from typing import Any

from edgepack.runtime.errors import one_line

PREFIX = "openvino:"
"""Providers are called after OpenVINO's devices, with this before: `openvino:GPU`."""

_CONVERTER = "openvino.tools.ovc"
_PLACE = re.compile(r"^(Exception from |Check '.*' failed at |FrontEnd API failed with ).*$", re.MULTILINE)


@lru_cache(maxsize=1)
def library() -> Any:
    """The module, imported without its converter.

    That one takes half of the import, and as of 2026.4 each import of it starts a thread that reports the import to
    its makers over the network, unasked; a device that runs a model does neither want nor expect that. Who calls
    `openvino.convert_model` afterwards gets it all the same. A process that imported OpenVINO itself is left alone.
    """
    if "openvino" in sys.modules or _CONVERTER in sys.modules:
        import openvino

        return openvino
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # this is how an import is told to fail
    try:
        import openvino
    finally:
        del sys.modules[_CONVERTER]
    if not hasattr(openvino, "convert_model"):
        openvino.__getattr__ = _on_demand
    return openvino


def _on_demand(name: str) -> Any:
    if name != "convert_model":
        raise AttributeError(f"module 'openvino' has no attribute {name!r}")
    from openvino.tools.ovc import convert_model

    return convert_model


@lru_cache(maxsize=1)
def core() -> Any:
    """The one core of this process: plugins and thread pools are shared by all that it compiles."""
    return library().Core()


@lru_cache(maxsize=2)
def front_end(kind: str) -> Any:
    """What reads one format, `onnx` or `tflite`. It stays: parts of a model that it read lie in its library."""
    library()
    from openvino.frontend import FrontEndManager

    return FrontEndManager().load_by_framework(kind)


def description() -> str:
    """The library and its version, for people."""
    return f"OpenVINO {library().__version__.partition('-')[0]}"


def words(error: object) -> str:
    """What an error says, on one line, without the places in the source that it came through."""
    text = str(error)
    return one_line(_PLACE.sub("", text)) or one_line(text)
