"""Weights in int8; activations in float, quantized on the fly in the operators where that is faster than float."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgepack.convert.passes.store_weights import store_int8
from edgepack.convert.precisions.base import Precision
from edgepack.convert.quantizer import prepared
from edgepack.convert.samples import Samples
from edgepack.runtime.compare import Budget
from edgepack.runtime.tensor import Array

# Matrix products have fast dynamic kernels in ONNX Runtime. ConvInteger, which the quantizer would write for
# convolutions, is several times slower than float: their weights are stored in int8 and unfolded at load instead.
_FAST = ["MatMul", "Gemm"]


def _tflite(converter: Any, _calibration: Sequence[Array] | None) -> None:
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _onnx(model: Any, _calibration: Samples | None, folder: Path) -> Any:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    fast = [operator for operator in _FAST if any(node.op_type == operator for node in model.graph.node)]
    quantized = folder / "dynamic.onnx"
    quantize_dynamic(
        prepared(model, folder),
        quantized,
        op_types_to_quantize=fast or ["Conv"],  # without a matrix product, slow and small is all there is
        weight_type=QuantType.QInt8,
        per_channel=True,
        extra_options={"MatMulConstBOnly": True},
    )
    result = onnx.load(quantized)
    store_int8(result)
    return result


DYNAMIC_INT8 = Precision(
    name="dynamic_int8",
    weights="int8",
    activations="float32, quantized on the fly where that is faster",
    needs_calibration=False,
    budget=Budget(min_snr_db=10, min_cosine=0.95),
    golden_floor=5e-2,
    tflite=_tflite,
    onnx=_onnx,
)
