"""Converting: Keras to variants to proof to pack. Nothing heavy happens at import."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgepack.convert.build import convert_model
    from edgepack.convert.report import Report
    from edgepack.convert.search import Search

__all__ = ["Report", "Search", "convert_model"]

_HOMES = {"Report": "report", "Search": "search", "convert_model": "build"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"edgepack.convert.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'edgepack.convert' has no attribute {name!r}")
