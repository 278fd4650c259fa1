"""Weights in int8; activations in float, quantized on the fly in the operators where that is faster than float."""

from pathlib import Path
from typing import Any

from edgepack.convert import litert_quantizer
from edgepack.convert.passes.store_weights import store_int8
from edgepack.convert.precisions.base import Precision, Setting
from edgepack.convert.quantizer import save
from edgepack.convert.tflite_tables import store_tables
from edgepack.runtime.compare import Budget

# Matrix products have fast dynamic kernels in ONNX Runtime. ConvInteger, which the quantizer would write for
# convolutions, is several times slower than float: their weights are stored in int8 and unfolded at load instead.
_FAST = {"MatMul", "Gemm"}  # the quantizer makes matrix products of Gemm itself
# XNNPACK has dynamic kernels for these. The others would run in the interpreter's own, several times slower.
_FAST_TFLITE = ("CONV_2D", "FULLY_CONNECTED")


def _tflite(data: bytes, setting: Setting) -> bytes:
    litert_quantizer.check_options(setting.options)
    granularity = litert_quantizer.granularity(setting.options)
    rules = litert_quantizer.rule("weight_only", 8, granularity=granularity)
    for operator in _FAST_TFLITE:
        rules += litert_quantizer.rule("dynamic", 8, operator=operator, granularity=granularity)
    kept = (setting.options.float_operators or (), setting.float_nodes)
    return store_tables(litert_quantizer.quantize(data, rules + litert_quantizer.kept(*kept)), 8, {*kept[0], *kept[1]})


def _onnx(model: Any, setting: Setting, folder: Path) -> Any:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    fast = ["MatMul"] if any(node.op_type in _FAST for node in model.graph.node) else []
    quantized = folder / "dynamic.onnx"
    quantize_dynamic(
        save(model, folder),
        quantized,
        op_types_to_quantize=fast or ["Conv"],  # without a matrix product, slow and small is all there is
        nodes_to_exclude=sorted(setting.float_nodes),
        weight_type=QuantType.QInt8,
        per_channel=setting.options.granularity == "per-channel",
        reduce_range=setting.options.reduce_range,
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
