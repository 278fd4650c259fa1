"""Room for large biases: a bias is stored in steps of its input's scale times its weights', in 32 bits.

Where all weights of a channel are tiny, as those of a channel that batch normalization or pruning left dead, so are
the steps, and a bias of ordinary size is cut off. Google's quantizer writes it so; the channel's weights get a larger
scale here, which costs them what the bias drowns anyway. TensorFlow's converter does the same.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgepack.convert import tflite_model
from edgepack.runtime.tensor import Array

# operator -> where its weights and its bias are among its inputs
_PLACES = {"CONV_2D": (1, 2), "DEPTHWISE_CONV_2D": (1, 2), "FULLY_CONNECTED": (1, 2), "TRANSPOSE_CONV": (1, 3)}
_DATA = {"TRANSPOSE_CONV": 2}
_LARGEST = 2**31 - 1
_STEPS = 2**30  # of a bias that has room
_MOST_WEIGHT = 127


def with_room(data: bytes, float32: bytes) -> bytes:
    """A TFLite file with int8 activations in which no bias is cut off.

    Args:
        data: The quantized file.
        float32: The file it was made of; operators have the same names there.

    Returns:
        The file; the same bytes where every bias has room.
    """
    model = tflite_model.read(data)
    found = too_large(model, "int32", _LARGEST)  # where 32 bits end, a bias was cut off
    cut = {tflite_model.name(graph, operator): (graph, operator, kind) for graph, operator, kind in found}
    if not cut:
        return data
    plain = tflite_model.read(float32)
    for graph, operator, kind in tflite_model.operators(plain):
        here = cut.get(tflite_model.name(graph, operator))
        if here is not None and here[2] == kind:
            weights, bias = (graph.tensors[operator.inputs[place]] for place in _PLACES[kind])
            if tflite_model.is_constant(plain, weights) and tflite_model.is_constant(plain, bias):
                floats = (tflite_model.values(plain, one, np.float32) for one in (weights, bias))
                _widen(model, here, *floats)
    return tflite_model.write(model, len(data))


def too_large(model: Any, dtype: str, least: int) -> Iterator[tuple[Any, Any, str]]:
    """Operators with a stored bias of an element type, of which a number is at least so large, with graph and kind."""
    for graph, operator, kind in tflite_model.operators(model):
        place = _PLACES.get(kind, (0, 0))[1]
        if place and len(operator.inputs) > place and operator.inputs[place] >= 0:
            bias = graph.tensors[operator.inputs[place]]
            if tflite_model.dtypes()[bias.type] == dtype and tflite_model.is_constant(model, bias):
                values = tflite_model.values(model, bias, np.dtype(dtype).type).astype(np.int64)
                if np.abs(values).max(initial=0) >= least:
                    yield graph, operator, kind


def _widen(model: Any, found: tuple[Any, Any, str], weights: Array, bias: Array) -> None:
    """Store weights in steps that leave room for the bias, and the bias in those."""
    graph, operator, kind = found
    stored, kept = (graph.tensors[operator.inputs[place]] for place in _PLACES[kind])
    given = graph.tensors[operator.inputs[_DATA.get(kind, 0)]].quantization.scale[0]
    scales = np.asarray(stored.quantization.scale, np.float64)
    least = np.abs(bias.astype(np.float64)) / (given * _STEPS)
    scales = np.maximum(scales, least if len(scales) == len(least) else least.max())
    scales = scales.astype(np.float32)
    axis = stored.quantization.quantizedDimension
    shape = [1] * weights.ndim
    shape[axis] = len(scales)
    whole = np.clip(np.rint(weights / scales.reshape(shape)), -_MOST_WEIGHT, _MOST_WEIGHT).astype(np.int8)
    _store(model, stored, whole, scales)
    steps = np.float32(given) * scales
    _store(model, kept, np.clip(np.rint(bias / steps), -_LARGEST, _LARGEST).astype(np.int32), steps)


def _store(model: Any, tensor: Any, values: Array, scales: Array) -> None:
    from ai_edge_litert import schema_py_generated as schema

    tensor.buffer = len(model.buffers)  # other tensors may share the one it had
    model.buffers.append(buffer := schema.BufferT())
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    tensor.quantization.scale = scales
    tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
