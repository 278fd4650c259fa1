"""Padding of small integers, as images come in: TFLite pads floats, int32 and int64."""

from typing import Any

from edgepack.convert.lowering.base import Call, Markers

_PADDED = ("float32", "int32", "int64")


def lower(original: Call, markers: Markers) -> Call:
    """`numpy.pad`, in int32 where the target does not pad the type itself."""

    def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
        import tensorflow as tf

        tensor = tf.convert_to_tensor(x)
        if tensor.dtype.name in _PADDED or not (tensor.dtype.is_integer or tensor.dtype.is_bool):
            return original(x, pad_width, mode, constant_values)
        markers.tell("padded as int32")
        return tf.cast(original(tf.cast(tensor, tf.int32), pad_width, mode, constant_values), tensor.dtype)

    return pad
