"""The search for the best file: many ways to write a model, each proved and timed here, and the front of the best."""

from edgepack.convert.search.asked import Search

__all__ = ["Search"]
