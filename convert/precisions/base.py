"""What a precision is: its facts, what it may cost, and how each format is told to take it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from edgepack.convert.options import Options
from edgepack.convert.precisions.facts import Support
from edgepack.convert.setting import Setting
from edgepack.runtime.compare import Budget
from edgepack.runtime.tensor import Array

__all__ = ["Precision", "Setting", "Support"]


_COARSE_BITS = 8

FLOATS = frozenset({"float32", "float16"})
"""Names of the precisions in which nothing is quantized."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How a file stores numbers."""

    name: str
    weights: str
    activations: str
    needs_calibration: bool
    budget: Budget
    """The least fidelity to Keras, on any samples: beyond it the file is broken, whatever its task metric says."""
    golden_floor: float
    """How far another device may be from the golden outputs at least, as a share of their largest magnitude."""
    onnx: Callable[[Any, Setting, Path], Any]
    """Returns the model in this precision; it may change the float32 one it is given, and write to the folder."""
    activation_bits: int = 8
    """What calibrated ranges are made for."""
    tflite: Callable[[bytes, Setting], bytes] | None = None
    """Returns the float32 TFLite file in this precision; None where TensorFlow's converter writes it itself."""
    converter: Callable[[Any, Sequence[Array] | None], None] | None = None
    """Sets up a `tf.lite.TFLiteConverter` that has the built-in operators alone; with the calibration samples, an
    array `(pieces, rows, …)` an input, as many rows as the file takes at once. None where it is not asked."""
    inputs: str = "float32"
    """What goes in, where the model takes numbers with a fraction."""
    outputs: str = "float32"
    """What comes out, where the model gives numbers with a fraction."""
    options: frozenset[str] = frozenset()
    """The fields of `Options` that mean something to it; the others stay at their defaults."""
    formats: Mapping[str, Support] = field(default_factory=dict, hash=False)
    """What it comes to in each format, `"onnx"` and `"tflite"`."""

    def taken(self, options: Options) -> Options:
        """The options without those that mean nothing to this precision."""
        taken = Options(**{name: getattr(options, name) for name in self.options})
        # Entropy and percentiles were made for 8 bits; see `calibrate.methods.range_of`.
        fine = self.activation_bits > _COARSE_BITS and taken.ranges not in {"minmax", "mse"}
        return msgspec.structs.replace(taken, ranges="minmax") if fine else taken
