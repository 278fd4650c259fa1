"""What a precision is: its facts, what it may cost, and how each format is told to take it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepack.convert.samples import Samples
from edgepack.runtime.compare import Budget
from edgepack.runtime.tensor import Array


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
    tflite: Callable[[Any, Sequence[Array] | None], None]
    """Sets up a `tf.lite.TFLiteConverter` that has the built-in operators alone; with the calibration samples, an
    array `(pieces, rows, …)` an input, as many rows as the file takes at once."""
    onnx: Callable[[Any, Samples | None, Path], Any]
    """Returns the model in this precision; it may change the float32 one it is given, and write to the folder."""
