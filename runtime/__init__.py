"""The light runtime: load a pack or a bare file and run it, with numpy and one engine.

Nothing heavy happens at import: the session, and numpy with it, is imported when a name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgepack.runtime.errors import EdgepackError
    from edgepack.runtime.loading import load
    from edgepack.runtime.session import Session
    from edgepack.runtime.tensor import TensorSpec

__all__ = ["EdgepackError", "Session", "TensorSpec", "load"]

_HOMES = {"EdgepackError": "errors", "Session": "session", "TensorSpec": "tensor", "load": "loading"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"edgepack.runtime.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'edgepack.runtime' has no attribute {name!r}")
