"""Weights and activations in 8 bits, with ranges calibrated on real samples; float goes in and comes out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgepack.convert import litert_quantizer, tflite_static
from edgepack.convert.precisions.base import Precision, Setting
from edgepack.convert.precisions.facts import FORMATS
from edgepack.convert.precisions.onnx_writers import write_calibrated
from edgepack.runtime.compare import Budget
from edgepack.runtime.tensor import Array


def _converter(converter: Any, calibration: Sequence[Array] | None) -> None:
    import tensorflow as tf

    assert calibration is not None, "checked before anything is converted"
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
    pieces = range(len(calibration[0]))
    converter.representative_dataset = lambda: ([array[piece] for array in calibration] for piece in pieces)


def _tflite(data: bytes, setting: Setting) -> bytes:
    litert_quantizer.check_options(setting.options, activations="int8", io="int8")
    return tflite_static.quantize(data, setting, 8, interface=setting.options.io == "int8")


def _onnx(model: Any, setting: Setting, _folder: Path) -> Any:
    from onnxruntime.quantization import QuantType

    # Unsigned activations with signed weights have the fastest kernels on x86 and on ARM.
    kind = QuantType.QInt8 if setting.options.activations == "int8" else QuantType.QUInt8
    return write_calibrated(model, setting, kind)


INT8 = Precision(
    name="int8",
    weights="int8",
    activations="8-bit, ranges calibrated",
    needs_calibration=True,
    budget=Budget(min_snr_db=10, min_cosine=0.95),
    golden_floor=5e-2,
    tflite=_tflite,
    converter=_converter,
    onnx=_onnx,
    inputs="float32, or int8 (TFLite)",
    outputs="float32, or int8 (TFLite)",
    options=frozenset(
        {"granularity", "activations", "symmetric", "reduce_range", "io", "ranges", "float_operators", "float_layers"}
    ),
    formats=FORMATS["int8"],
)
