"""What the precisions with calibrated or dynamic activations write in ONNX, and the models they are refused for."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.convert import islands, quantizer
from edgepack.convert.passes.readers import name_of
from edgepack.convert.passes.store_weights import store_int8
from edgepack.convert.setting import Setting
from edgepack.runtime.errors import ConvertError, NothingLeftError

# From how many weights on it was faster than float32, for one row: MatMul 256×256 0.97, 128×128 1.15; LSTM of 32
# units over 64 numbers 0.94, over 4 numbers 1.11. With 32 steps a product of 64×64 breaks even.
_FEWEST = {"MatMul": 2**16, "Gemm": 2**16, "LSTM": 2**13}
_FEWEST_STEPPED = 2**13
_RECURRENT = ("LSTM", "GRU", "RNN")


def write_calibrated(model: Any, setting: Setting, activations: Any) -> Any:
    """An ONNX model with int8 weights, and activations of a type with calibrated ranges where kernels are.

    Weights of whatever computes in float are stored in int8 too, and unfolded at load.

    Args:
        model: The float32 model, prepared.
        setting: What the quantizer is told.
        activations: An `onnxruntime.quantization.QuantType`.

    Raises:
        ConvertError: What was asked cannot be in an ONNX file, or too little of the model can compute so.
    """
    if setting.options.io != "float32":
        raise ConvertError("ONNX files take and give float32: io int8 is for TFLite files on microcontrollers")
    floats = islands.floats_of(model, setting)
    nodes = islands.quantized_nodes(model, setting)
    _check_share(model, nodes, floats)
    result = quantizer.calibrated(model, setting, nodes, activations)
    store_int8(result, per_tensor=setting.options.granularity == "per-tensor", float_nodes=floats)
    return result


def write_dynamic(model: Any, setting: Setting, folder: Path) -> Any:
    """An ONNX model with int8 weights, and activations quantized on the fly in matrix products and LSTM.

    Args:
        model: The float32 model, prepared.
        setting: What the quantizer is told.
        folder: Where files may be written.

    Raises:
        ConvertError: Nothing in the model can compute so.
    """
    floats = islands.floats_of(model, setting)
    weights = {name: count for name, count in _weights(model).items() if name not in floats}
    kinds = {name_of(node): node for node in model.graph.node if node.op_type in _FEWEST and name_of(node) in weights}
    if not kinds:
        raise NothingLeftError(
            "no matrix product or LSTM with constant weights is left to quantize, and ONNX Runtime has no other "
            "dynamic kernel that is faster than float32 (convolutions take four times as long): take weight_int8, "
            "which stores the same weights"
        )
    steps = _stepped(model)
    large = [
        name
        for name, node in kinds.items()
        if weights[name] >= (_FEWEST_STEPPED if node.input[0] in steps else _FEWEST[node.op_type])
    ]
    result = quantizer.dynamic(model, setting, large or list(kinds), folder)
    renamed = floats | {f"{name}_MatMul" for name in floats}
    store_int8(result, per_tensor=setting.options.granularity == "per-tensor", float_nodes=renamed)
    return result


def _weights(model: Any) -> dict[str, int]:
    """How many weights each node multiplies with, by its name; tables, of which rows are taken, are not counted."""
    sizes = {one.name: int(np.prod(one.dims)) for one in model.graph.initializer if len(one.dims) > 1}
    found: Counter[str] = Counter()
    for node in model.graph.node:
        constants = [name for name in node.input[1:3] if name in sizes]
        if constants and node.op_type in {*islands.PRODUCTS, *_RECURRENT}:
            found[name_of(node)] += sum(sizes[name] for name in constants)
    return dict(found)


def _check_share(model: Any, nodes: Collection[str], floats: Collection[str]) -> None:
    """Refuse a model most of whose weights would still be multiplied in float."""
    weights = {name: count for name, count in _weights(model).items() if name not in floats}
    operators = {name_of(node): node.op_type for node in model.graph.node}
    chosen = set(nodes) & {name for name in weights if operators[name] in islands.PRODUCTS}
    left = Counter(operators[name] for name in weights if name not in chosen)
    inside = sum(weights[name] for name in chosen)
    if inside and 2 * inside >= sum(weights.values()):
        return
    recurrent = [kind for kind in _RECURRENT if left[kind]]
    if recurrent:
        better = "dynamic_int8, which multiplies it in int8" if recurrent == ["LSTM"] else "weight_int8"
        raise ConvertError(
            f"most of the weights are in {', '.join(recurrent)}, and ONNX Runtime has no kernel with calibrated ranges "
            f"for that: take {better}"
        )
    raise NothingLeftError(
        "there is no convolution or matrix product with constant weights left to quantize: take float32 or weight_int8"
    )


def _stepped(model: Any) -> Collection[str]:
    """Tensors that hold several rows of numbers for each sample, as sequences do."""
    return {
        one.name
        for one in (*model.graph.value_info, *model.graph.input)
        if one.type.tensor_type.HasField("shape") and len(one.type.tensor_type.shape.dim) == 3
    }
