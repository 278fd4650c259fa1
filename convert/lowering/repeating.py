"""Repeating along an axis as one CONCATENATION, which XNNPACK runs, where Keras writes TILE, which it leaves aside."""

from typing import Any

from edgepack.convert.lowering.base import Call, Markers
from edgepack.convert.lowering.sizes import reshaped, sizes

_MOST = 4  # tensors that XNNPACK joins at once


def lower(original: Call, markers: Markers) -> Call:
    """`numpy.repeat`, which UpSampling is made of."""

    def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
        import math

        import tensorflow as tf

        tensor = tf.convert_to_tensor(x)
        if axis is None or not isinstance(repeats, int) or not 1 < repeats <= _MOST:
            return original(x, repeats, axis=axis)
        axis %= tensor.shape.rank
        within = tensor.shape.as_list()[axis + 1 :]
        if None in within:
            return original(x, repeats, axis=axis)
        markers.tell("repeated by joining")
        rows = tf.reshape(tensor, [-1, math.prod(within)])
        shape = [size * repeats if other == axis else size for other, size in enumerate(sizes(tensor))]
        return reshaped(tf.concat([rows] * repeats, -1), shape)

    return repeat
