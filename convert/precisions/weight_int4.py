"""Weights of matrix products in int4, a scale for each block of them; arithmetic in float32."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from edgepack.convert import islands, litert_quantizer, tflite_model
from edgepack.convert.passes.store_int4 import store_int4
from edgepack.convert.precisions.base import Precision, Setting
from edgepack.convert.precisions.facts import FORMATS
from edgepack.convert.tflite_tables import store_tables
from edgepack.runtime.compare import Budget
from edgepack.runtime.errors import ConvertError

_BLOCK = 32


def _tflite(data: bytes, setting: Setting) -> bytes:
    """Matrix products in blocks, where the block fits; convolutions in int8, unless they hold most of the weights.

    What XNNPACK runs in int4 quantizes its activations on the fly. To unfold int4 before a product in float, which is
    what the quantizer calls weight-only, is left to the interpreter, and takes three times as long as float.
    """
    litert_quantizer.check_options(setting.options)
    _check_granularity(setting)
    sizes, in_blocks = _products(data)
    convolves = 2 * sizes["CONV_2D"] > sizes.total()
    rules = litert_quantizer.rule("weight_only", 8)
    for operator, bits in (("CONV_2D", 4 if convolves else 8), ("FULLY_CONNECTED", 4)):
        rules += litert_quantizer.rule("dynamic", bits, operator=operator)
    if in_blocks:
        blocks = f"BLOCKWISE_{_BLOCK}"
        rules += litert_quantizer.rule("dynamic", 4, operator="FULLY_CONNECTED", granularity=blocks, nodes=in_blocks)
    kept = (setting.options.float_operators or (), setting.float_nodes)
    return store_tables(litert_quantizer.quantize(data, rules + litert_quantizer.kept(*kept)), 4, {*kept[0], *kept[1]})


def _check_granularity(setting: Setting) -> None:
    if setting.options.granularity != "per-channel":
        raise ConvertError(f"int4 weights have a scale for each block of {_BLOCK} numbers: leave per-tensor out")


def _products(data: bytes) -> tuple[Counter[str], list[str]]:
    """How many constants operators of each kind have, and which matrix products have rows of whole blocks."""
    model = tflite_model.read(data)
    sizes: Counter[str] = Counter()
    in_blocks = []
    for graph, operator, kind in tflite_model.operators(model):
        constants = [graph.tensors[index] for index in operator.inputs if index >= 0]
        shapes = [tuple(tensor.shape) for tensor in constants if tflite_model.is_constant(model, tensor)]
        sizes[kind] += sum(math.prod(shape) for shape in shapes)
        if kind == "FULLY_CONNECTED" and shapes and shapes[0][-1] % _BLOCK == 0:
            in_blocks.append(tflite_model.name(graph, operator))
    return sizes, in_blocks


def _onnx(model: Any, setting: Setting, _folder: Path) -> Any:
    _check_granularity(setting)
    few, more = store_int4(model, islands.floats_of(model, setting))
    if few < more or not few:
        share = few / (few + more) if few else 0.0
        raise ConvertError(
            f"matrix products hold {share:.0%} of the weights that can be stored in few bits, and int4 is for models "
            "of which they hold most; convolutions lose too much in it: take weight_int8"
        )
    return model


WEIGHT_INT4 = Precision(
    name="weight_int4",
    weights="int4",
    activations="float32, quantized on the fly in TFLite",
    needs_calibration=False,
    budget=Budget(min_snr_db=8, min_cosine=0.92),
    golden_floor=1e-1,
    tflite=_tflite,
    onnx=_onnx,
    options=frozenset({"granularity", "float_operators", "float_layers"}),
    formats=FORMATS["weight_int4"],
)
