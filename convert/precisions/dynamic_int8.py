"""Weights in int8; activations in float, quantized on the fly in the operators where that is faster than float."""

from edgepack.convert import litert_quantizer
from edgepack.convert.precisions.base import Precision, Setting
from edgepack.convert.precisions.facts import FORMATS
from edgepack.convert.precisions.onnx_writers import write_dynamic
from edgepack.convert.tflite_tables import store_tables
from edgepack.runtime.compare import Budget

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


DYNAMIC_INT8 = Precision(
    name="dynamic_int8",
    weights="int8",
    activations="float32, quantized on the fly where that is faster",
    needs_calibration=False,
    budget=Budget(min_snr_db=10, min_cosine=0.95),
    golden_floor=5e-2,
    tflite=_tflite,
    onnx=write_dynamic,
    options=frozenset({"granularity", "reduce_range", "float_operators", "float_layers"}),
    formats=FORMATS["dynamic_int8"],
)
