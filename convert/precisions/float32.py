"""Everything in float32: the file every other one is measured by."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgepack.convert.precisions.base import Precision, Setting
from edgepack.convert.precisions.facts import FORMATS
from edgepack.runtime.compare import Budget
from edgepack.runtime.tensor import Array


def _converter(_converter: Any, _calibration: Sequence[Array] | None) -> None:
    """The converter's own default."""


def _onnx(model: Any, _setting: Setting, _folder: Path) -> Any:
    return model


FLOAT32 = Precision(
    name="float32",
    weights="float32",
    activations="float32",
    needs_calibration=False,
    budget=Budget(max_rel=1e-4, min_cosine=0.99999),
    golden_floor=1e-4,
    converter=_converter,
    onnx=_onnx,
    formats=FORMATS["float32"],
)
