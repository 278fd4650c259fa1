"""Weights stored in float16 and unfolded at load; arithmetic in float32, since no CPU engine is faster in half."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgepack.convert.passes.store_weights import store_float16
from edgepack.convert.precisions.base import Precision, Setting
from edgepack.convert.precisions.facts import FORMATS
from edgepack.runtime.compare import Budget
from edgepack.runtime.tensor import Array


def _converter(converter: Any, _calibration: Sequence[Array] | None) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _onnx(model: Any, _setting: Setting, _folder: Path) -> Any:
    store_float16(model)
    return model


FLOAT16 = Precision(
    name="float16",
    weights="float16",
    activations="float32",
    needs_calibration=False,
    budget=Budget(min_snr_db=30, min_cosine=0.999),
    golden_floor=1e-2,
    converter=_converter,
    onnx=_onnx,
    formats=FORMATS["float16"],
)
