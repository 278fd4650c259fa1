"""Weights in int8 and activations in int16: for activations whose range is too wide for 8 bits."""

from pathlib import Path
from typing import Any

from edgepack.convert import litert_quantizer, tflite_static
from edgepack.convert.precisions.base import Precision, Setting
from edgepack.convert.precisions.facts import FORMATS
from edgepack.convert.precisions.onnx_writers import write_calibrated
from edgepack.runtime.compare import Budget


def _tflite(data: bytes, setting: Setting) -> bytes:
    litert_quantizer.check_options(setting.options)  # numbers of 16 bits lie around zero, whether asked or not
    return tflite_static.quantize(data, setting, 16, interface=False)


def _onnx(model: Any, setting: Setting, _folder: Path) -> Any:
    from onnxruntime.quantization import QuantType

    return write_calibrated(model, setting, QuantType.QInt16)


INT16X8 = Precision(
    name="int16x8",
    weights="int8",
    activations="int16, ranges calibrated",
    needs_calibration=True,
    budget=Budget(min_snr_db=15, min_cosine=0.98),
    golden_floor=2e-2,
    activation_bits=16,
    tflite=_tflite,
    onnx=_onnx,
    options=frozenset({"granularity", "symmetric", "reduce_range", "ranges", "float_operators", "float_layers"}),
    formats=FORMATS["int16x8"],
)
