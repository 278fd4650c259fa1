"""Ranges of activations from samples that stream through: bounded memory, whatever their number."""

from edgepack.convert.calibrate.doubts import doubts
from edgepack.convert.calibrate.histogram import Histogram
from edgepack.convert.calibrate.observe import Statistics, observe
from edgepack.convert.calibrate.sources import MOST_SAMPLES, Calibration, open_stream
from edgepack.convert.calibrate.stream import Stream

__all__ = ["MOST_SAMPLES", "Calibration", "Histogram", "Statistics", "Stream", "doubts", "observe", "open_stream"]
