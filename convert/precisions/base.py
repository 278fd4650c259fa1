"""What a precision is: its facts, what it may cost, and how each format is told to take it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgepack.convert.options import Options
from edgepack.runtime.compare import Budget
from edgepack.runtime.tensor import Array


@dataclass(frozen=True, slots=True)
class Setting:
    """What a quantizer is told beside the float32 file."""

    options: Options = field(default_factory=Options)
    ranges: Mapping[str, tuple[float, float]] | None = None
    """The range of each tensor of the float32 file by its name; None where the precision needs none."""
    float_nodes: frozenset[str] = frozenset()
    """Operators that stay in float, named as in `parts.Part.nodes`."""


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
    tflite: Callable[[bytes, Setting], bytes] | None = None
    """Returns the float32 TFLite file in this precision; None where TensorFlow's converter writes it itself."""
    converter: Callable[[Any, Sequence[Array] | None], None] | None = None
    """Sets up a `tf.lite.TFLiteConverter` that has the built-in operators alone; with the calibration samples, an
    array `(pieces, rows, …)` an input, as many rows as the file takes at once. None where it is not asked."""
