"""3-D pooling for a target that pools images alone: first in the planes, then along the depth.

Both the largest and the mean of a box come out of that; at the borders the mean is over what is there, as for the box.
"""

from typing import Any

from edgepack.convert.lowering.base import Call, Markers
from edgepack.convert.lowering.layout import channels_first, channels_last, per_axis
from edgepack.convert.lowering.sizes import reshaped, sizes


def lower(original: Call, markers: Markers) -> Call:
    """`nn.max_pool` and `nn.average_pool`; whole numbers as floats, which hold them up to 16,777,216."""
    import tensorflow as tf

    def pool(inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None) -> Any:
        if inputs.dtype.is_integer:
            markers.tell("pooled as float32")
            pooled = pool(tf.cast(inputs, tf.float32), pool_size, strides, padding, data_format)
            return tf.cast(pooled, inputs.dtype)
        if len(inputs.shape) != 5:
            return original(inputs, pool_size, strides, padding, data_format)
        window = per_axis(pool_size, 3)
        steps = per_axis(window if strides is None else strides, 3)

        def part(tensor: Any, axes: slice) -> Any:
            return original(tensor, window[axes], steps[axes], padding, "channels_last")

        markers.tell("pooled in the planes, then along the depth")
        return _in_two(inputs, part, data_format)

    return pool


def lower_adaptive(original: Call, markers: Markers) -> Call:
    """`nn.adaptive_max_pool` and `nn.adaptive_average_pool`."""

    def pool(inputs: Any, output_size: Any, data_format: Any = None) -> Any:
        if len(inputs.shape) != 5:
            return original(inputs, output_size, data_format)
        made = per_axis(output_size, 3)
        markers.tell("pooled in the planes, then along the depth")
        return _in_two(inputs, lambda tensor, axes: original(tensor, made[axes], "channels_last"), data_format)

    return pool


def _in_two(inputs: Any, part: Call, data_format: Any) -> Any:
    """Pool `(batch, depth, height, width, channels)` by `part(tensor, axes)`, for axes 1: and for axis 0."""
    import keras

    first = keras.src.backend.standardize_data_format(data_format) == "channels_first"
    volume = channels_last(inputs) if first else inputs
    batch, depth, *plane, channels = sizes(volume)
    planes = part(reshaped(volume, [batch * depth, *plane, channels]), slice(1, 3))
    _, height, width, _ = sizes(planes)
    lines = part(reshaped(planes, [batch, depth, height * width * channels]), slice(0, 1))
    result = reshaped(lines, [batch, sizes(lines)[1], height, width, channels])
    return channels_first(result) if first else result
