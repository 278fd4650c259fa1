"""edgepack: from a Keras model to the fastest file that is still right, on the device in front of you.

`import edgepack` is light: numpy and the runtime are imported when `load` or `Session` is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgepack.runtime import EdgepackError, Session, TensorSpec, load

__all__ = ["EdgepackError", "Session", "TensorSpec", "__version__", "load"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("edgepack.runtime"), name)
    raise AttributeError(f"module 'edgepack' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
