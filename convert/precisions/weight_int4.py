"""Weights of matrix products in int4, a scale for each block of them; arithmetic in float32."""

from pathlib import Path
from typing import Any

from edgepack.convert import litert_quantizer
from edgepack.convert.precisions.base import Precision, Setting
from edgepack.runtime.compare import Budget

_BLOCK = 32


def _tflite(data: bytes, setting: Setting) -> bytes:
    rules = litert_quantizer.rule("weight_only", 4)
    rules += litert_quantizer.kept(setting.options.float_operators or (), setting.float_nodes)
    return litert_quantizer.quantize(data, rules)


def _onnx(model: Any, setting: Setting, _folder: Path) -> Any:
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(
        model,
        nodes_to_exclude=sorted(setting.float_nodes),
        algo_config=DefaultWeightOnlyQuantConfig(block_size=_BLOCK, is_symmetric=True, bits=4),
    )
    quantizer.process()
    return quantizer.model.model


WEIGHT_INT4 = Precision(
    name="weight_int4",
    weights="int4",
    activations="float32",
    needs_calibration=False,
    budget=Budget(min_snr_db=8, min_cosine=0.92),
    golden_floor=1e-1,
    tflite=_tflite,
    onnx=_onnx,
)
