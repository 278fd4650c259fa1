"""Weights stored in int8 and unfolded before they are used; arithmetic in float32."""

from pathlib import Path
from typing import Any

from edgepack.convert import islands, litert_quantizer
from edgepack.convert.passes.store_weights import FEWEST_ELEMENTS, store_int8
from edgepack.convert.precisions.base import Precision, Setting
from edgepack.convert.precisions.facts import FORMATS
from edgepack.convert.tflite_tables import store_tables
from edgepack.runtime.compare import Budget
from edgepack.runtime.errors import NothingLeftError


def _tflite(data: bytes, setting: Setting) -> bytes:
    litert_quantizer.check_options(setting.options)
    rules = litert_quantizer.rule("weight_only", 8, granularity=litert_quantizer.granularity(setting.options))
    kept = (setting.options.float_operators or (), setting.float_nodes)
    return store_tables(litert_quantizer.quantize(data, rules + litert_quantizer.kept(*kept)), 8, {*kept[0], *kept[1]})


def _onnx(model: Any, setting: Setting, _folder: Path) -> Any:
    per_tensor = setting.options.granularity == "per-tensor"
    if not store_int8(model, per_tensor=per_tensor, float_nodes=islands.floats_of(model, setting)):
        raise NothingLeftError(
            f"no weights with two axes and at least {FEWEST_ELEMENTS} numbers are left to store in int8: take float32"
        )
    return model


WEIGHT_INT8 = Precision(
    name="weight_int8",
    weights="int8",
    activations="float32",
    needs_calibration=False,
    budget=Budget(min_snr_db=15, min_cosine=0.98),
    golden_floor=2e-2,
    tflite=_tflite,
    onnx=_onnx,
    options=frozenset({"granularity", "float_operators", "float_layers"}),
    formats=FORMATS["weight_int8"],
)
