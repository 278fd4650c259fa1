"""Ranges of activations from samples that stream through: bounded memory, whatever their number."""

from edgepack.convert.calibrate.observe import Statistics, observe
from edgepack.convert.calibrate.stream import Stream

__all__ = ["Statistics", "Stream", "observe"]
