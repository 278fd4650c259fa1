"""Weights and activations in 8 bits, with ranges calibrated on real samples; float goes in and comes out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.convert import litert_quantizer, tflite_static
from edgepack.convert.precisions.base import Precision, Setting
from edgepack.convert.quantizer import save
from edgepack.runtime.compare import Budget
from edgepack.runtime.errors import ConvertError
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


def _onnx(model: Any, setting: Setting, folder: Path) -> Any:
    from onnxruntime.quantization import QuantType

    # Unsigned activations with signed weights have the fastest kernels on x86 and on ARM.
    kind = QuantType.QInt8 if setting.options.activations == "int8" else QuantType.QUInt8
    return quantize_statically(model, setting, folder, kind)


def quantize_statically(model: Any, setting: Setting, folder: Path, activations: Any) -> Any:
    """An ONNX model with int8 weights, and activations of a type with calibrated ranges, in QDQ form.

    Args:
        model: The float32 model, prepared.
        setting: What the quantizer is told.
        folder: Where files may be written.
        activations: An `onnxruntime.quantization.QuantType`.

    Raises:
        ConvertError: What was asked cannot be in an ONNX file.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    options = setting.options
    if options.io != "float32":
        raise ConvertError("ONNX files take and give float32: io int8 is for TFLite files on microcontrollers")
    quantized = folder / "static.onnx"
    quantize_static(
        save(model, folder),
        quantized,
        None,
        quant_format=QuantFormat.QDQ,
        per_channel=options.granularity == "per-channel",
        reduce_range=options.reduce_range,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=_excluded(model, setting),
        calibration_cache_path=_cache(setting, folder),
        extra_options={"ActivationSymmetric": options.symmetric},
    )
    return onnx.load(quantized)


def _excluded(model: Any, setting: Setting) -> list[str]:
    operators = set(setting.options.float_operators or ())
    return sorted(setting.float_nodes | {node.name for node in model.graph.node if node.op_type in operators})


def _cache(setting: Setting, folder: Path) -> Path:
    """The ranges in the file in which the quantizer keeps those that it calibrated itself."""
    from onnxruntime.quantization import CalibrationMethod, save_tensors_data
    from onnxruntime.quantization.calibrate import TensorData, TensorsData

    assert setting.ranges is not None, "checked before anything is converted"
    known = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in setting.ranges.items()
    }
    path = folder / "ranges.json"
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, known), path)
    return path


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
)
