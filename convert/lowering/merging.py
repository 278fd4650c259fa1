"""Merges of integers: TensorFlow divides them in float64, and TFLite computes with those of 32 and 64 bits alone."""

from typing import Any

from edgepack.convert.lowering.base import Call, Markers

_SMALL_BYTES = 2


def average(layer: Any, markers: Markers) -> Call:
    """Average, in float32 where it is of integers."""
    call = layer.call

    def lowered(inputs: Any) -> Any:
        import tensorflow as tf

        if any(tensor.dtype.is_floating for tensor in inputs):
            return call(inputs)
        markers.note(f"{layer.name}: integers are divided in float32")
        return call([tf.cast(tensor, tf.float32) for tensor in inputs])

    return lowered


def widened(layer: Any, markers: Markers) -> Call:
    """A merge whose integers of 8 and 16 bits are computed as int32, and cut off again as they would be."""
    call = layer.call

    def lowered(inputs: Any) -> Any:
        import tensorflow as tf

        kinds = {tensor.dtype for tensor in inputs}
        kind = next(iter(kinds))
        if len(kinds) > 1 or not kind.is_integer or kind.size > _SMALL_BYTES:
            return call(inputs)
        markers.note(f"{layer.name}: {kind.name} is computed as int32")
        return tf.cast(call([tf.cast(tensor, tf.int32) for tensor in inputs]), kind)

    return lowered
