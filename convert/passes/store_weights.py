"""Store the weights of an ONNX model in fewer bits; the graph unfolds them, and engines do that once, at load.

Cast and Mul on constants are folded by every engine that folds constants. DequantizeLinear on constants is not by
ONNX Runtime, which would then unfold the weights in each call.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgepack.runtime.tensor import Array

_FEWEST_ELEMENTS = 256  # below this the two added nodes outweigh what is saved
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


def store_float16(model: Any) -> bool:
    """Store every large float32 constant in float16, followed by a Cast; returns whether the model changed.

    Weights whose magnitude float16 cannot hold stay float32.
    """
    return _store(model, _as_float16)


def store_int8(model: Any) -> bool:
    """Store every large float32 constant of two or more axes in int8 with a scale per channel; returns as above.

    Symmetric, `scale = max|w| / 127` along the first axis (the output channels of Conv).
    """
    return _store(model, _as_int8)


def _store(model: Any, replace: Callable[[str, Array], tuple[list[Any], list[Any]] | None]) -> bool:
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    kept, nodes = [], []
    for initializer in graph.initializer:
        large = initializer.data_type == TensorProto.FLOAT and np.prod(initializer.dims) >= _FEWEST_ELEMENTS
        made = replace(initializer.name, numpy_helper.to_array(initializer)) if large else None
        if made is None:
            kept.append(initializer)
        else:
            kept.extend(made[0])
            nodes.extend(made[1])
    if not nodes:
        return False
    old = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend([*nodes, *old])
    return True


def _as_float16(name: str, weights: Array) -> tuple[list[Any], list[Any]] | None:
    from onnx import TensorProto, helper, numpy_helper

    if not np.abs(weights).max(initial=0.0) <= _LARGEST_FLOAT16:
        return None
    stored = numpy_helper.from_array(weights.astype(np.float16), f"{name}/float16")
    return [stored], [helper.make_node("Cast", [stored.name], [name], f"{name}/cast", to=TensorProto.FLOAT)]


def _as_int8(name: str, weights: Array) -> tuple[list[Any], list[Any]] | None:
    from onnx import TensorProto, helper, numpy_helper

    if weights.ndim < 2 or not np.isfinite(weights).all():
        return None
    scale = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True) / np.float32(127)
    scale[scale == 0] = 1
    stored = numpy_helper.from_array(np.rint(weights / scale).astype(np.int8), f"{name}/int8")
    scales = numpy_helper.from_array(scale.astype(np.float32), f"{name}/scale")
    cast = helper.make_node("Cast", [stored.name], [f"{name}/unscaled"], f"{name}/cast", to=TensorProto.FLOAT)
    return [stored, scales], [cast, helper.make_node("Mul", [f"{name}/unscaled", scales.name], [name], f"{name}/mul")]
