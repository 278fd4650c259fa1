"""Weights and activations in 8 bits, with ranges calibrated on real samples; float goes in and comes out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgepack.convert.precisions.base import Precision
from edgepack.convert.quantizer import prepared
from edgepack.convert.samples import Samples, in_batches
from edgepack.runtime.compare import Budget
from edgepack.runtime.tensor import Array


def _tflite(converter: Any, calibration: Sequence[Array] | None) -> None:
    import tensorflow as tf

    assert calibration is not None, "checked before anything is converted"
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    # Operators without an int8 kernel stay in float; the census in the report counts them.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
    pieces = range(len(calibration[0]))
    converter.representative_dataset = lambda: ([array[piece] for array in calibration] for piece in pieces)


def _onnx(model: Any, calibration: Samples | None, folder: Path) -> Any:
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    assert calibration is not None, "checked before anything is converted"
    quantized = folder / "static.onnx"
    quantize_static(
        prepared(model, folder),
        quantized,
        _Reader(calibration, rows=model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        # Unsigned activations with signed weights have the fastest kernels on x86 and on ARM.
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(quantized)


class _Reader:
    """Hands calibration samples to the quantizer, as many at a time as the model takes."""

    def __init__(self, samples: Samples, rows: int) -> None:
        self._inputs = {name: in_batches(array, rows) for name, array in samples.inputs.items()}
        self._pieces: Iterator[int] = iter(range(len(next(iter(self._inputs.values())))))

    def get_next(self) -> dict[str, Any] | None:
        """The next rows, or None at the end."""
        piece = next(self._pieces, None)
        return None if piece is None else {name: array[piece] for name, array in self._inputs.items()}


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
