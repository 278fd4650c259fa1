"""Weights and activations in 8 bits, with ranges calibrated on real samples; float goes in and comes out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgepack.convert.precisions.base import Precision
from edgepack.convert.quantizer import prepared
from edgepack.convert.samples import Samples
from edgepack.runtime.compare import Budget
from edgepack.runtime.tensor import Array


def _tflite(converter: Any, calibration: Sequence[Array] | None) -> None:
    import tensorflow as tf

    assert calibration is not None, "checked before anything is converted"
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # Operators without an int8 kernel stay in float; the census in the report counts them.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
    rows = range(len(calibration[0]))
    converter.representative_dataset = lambda: ([array[row : row + 1] for array in calibration] for row in rows)


def _onnx(model: Any, calibration: Samples | None, folder: Path) -> Any:
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    assert calibration is not None, "checked before anything is converted"
    quantized = folder / "static.onnx"
    quantize_static(
        prepared(model, folder),
        quantized,
        _Reader(calibration),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        # Unsigned activations with signed weights have the fastest kernels on x86 and on ARM.
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(quantized)


class _Reader:
    """Hands calibration samples to the quantizer, one at a time."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._rows: Iterator[int] = iter(range(len(samples)))

    def get_next(self) -> dict[str, Any] | None:
        """The next sample with a batch axis, or None at the end."""
        row = next(self._rows, None)
        return None if row is None else {name: array[row : row + 1] for name, array in self._samples.inputs.items()}


INT8 = Precision(
    name="int8",
    weights="int8",
    activations="8-bit, ranges calibrated",
    needs_calibration=True,
    budget=Budget(min_snr_db=10, min_cosine=0.95),
    golden_floor=5e-2,
    tflite=_tflite,
    onnx=_onnx,
)
