"""Store the weights of an ONNX model in fewer bits; the graph unfolds them, and engines do that once, at load.

Cast and Mul on constants are folded by every engine that folds constants. DequantizeLinear on constants is not by
ONNX Runtime, which would then unfold the weights in each call.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import numpy as np

from edgepack.convert.passes.readers import Reader, channels_of, name_of, readers_of
from edgepack.runtime.tensor import Array

FEWEST_ELEMENTS = 256  # below this the two added nodes outweigh what is saved
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)

Stored = tuple[list[Any], list[Any]]
"""The constants in place of one, and the nodes that unfold it."""
Replace = Callable[[str, Array, list[Reader]], Stored | None]
"""What becomes of one constant, by its name, its value and its readers; None where it stays."""


def store_float16(model: Any) -> bool:
    """Store every large float32 constant in float16, followed by a Cast; returns whether the model changed.

    Weights whose magnitude float16 cannot hold stay float32.
    """
    return store(model, _as_float16)


def store_int8(model: Any, *, per_tensor: bool = False, float_nodes: Collection[str] = ()) -> bool:
    """Store every large float32 constant of two or more axes in int8; returns whether the model changed.

    Symmetric, `scale = max|w| / 127`: one for each output channel of the operator that reads the weights, for each row
    of a table.

    Args:
        model: The `onnx.ModelProto`, changed in place.
        per_tensor: One scale for all numbers of a constant instead.
        float_nodes: Nodes whose weights stay as they are, by `readers.name_of`.
    """
    return store(model, partial(_as_int8, per_tensor=per_tensor), float_nodes)


def store(model: Any, replace: Replace, float_nodes: Collection[str] = ()) -> bool:
    """Replace large float32 constants by smaller ones and the nodes that unfold them.

    Args:
        model: The `onnx.ModelProto`, changed in place.
        replace: What becomes of each.
        float_nodes: Nodes whose weights stay as they are.

    Returns:
        Whether the model changed.
    """
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    readers = readers_of(graph)
    kept, nodes = [], []
    for initializer in graph.initializer:
        own = readers.get(initializer.name, [])
        large = initializer.data_type == TensorProto.FLOAT and np.prod(initializer.dims) >= FEWEST_ELEMENTS
        stays = not large or any(name_of(reader.node) in float_nodes for reader in own)
        made = None if stays else replace(initializer.name, numpy_helper.to_array(initializer), own)
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


def _as_float16(name: str, weights: Array, _readers: list[Reader]) -> Stored | None:
    from onnx import TensorProto, helper, numpy_helper

    if not np.abs(weights).max(initial=0.0) <= _LARGEST_FLOAT16:
        return None
    stored = numpy_helper.from_array(weights.astype(np.float16), f"{name}/float16")
    return [stored], [helper.make_node("Cast", [stored.name], [name], f"{name}/cast", to=TensorProto.FLOAT)]


def _as_int8(name: str, weights: Array, readers: list[Reader], *, per_tensor: bool = False) -> Stored | None:
    from onnx import TensorProto, helper, numpy_helper

    if weights.ndim < 2 or not np.isfinite(weights).all():
        return None
    channels = () if per_tensor else channels_of(readers, weights.ndim)
    others = tuple(axis for axis in range(weights.ndim) if axis not in channels)
    scale = np.abs(weights).max(axis=others, keepdims=True) / np.float32(127)
    scale[scale == 0] = 1
    stored = numpy_helper.from_array(np.rint(weights / scale).astype(np.int8), f"{name}/int8")
    scales = numpy_helper.from_array(scale.astype(np.float32), f"{name}/scale")
    cast = helper.make_node("Cast", [stored.name], [f"{name}/unscaled"], f"{name}/cast", to=TensorProto.FLOAT)
    return [stored, scales], [cast, helper.make_node("Mul", [f"{name}/unscaled", scales.name], [name], f"{name}/mul")]


def store_int8_constant(name: str, weights: Array, readers: list[Reader]) -> Stored | None:
    """What `store_int8` makes of one constant."""
    return _as_int8(name, weights, readers)
