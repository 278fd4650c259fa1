"""Sizes of tensors, and reshapes, that stay constants wherever they are known while a model is traced."""

from collections.abc import Sequence
from typing import Any

Size = Any
"""An int, or a scalar tensor where the axis is free."""


def sizes(tensor: Any) -> list[Size]:
    """The size of each axis."""
    import tensorflow as tf

    known = tensor.shape.as_list()
    if None not in known:
        return list(known)
    counted = tf.shape(tensor)
    return [counted[axis] if size is None else size for axis, size in enumerate(known)]


def product(factors: Sequence[Size]) -> Size:
    """The product; an int where all factors are."""
    result: Size = 1
    for factor in factors:
        result = factor if isinstance(result, int) and result == 1 else result * factor
    return result


def reshaped(tensor: Any, shape: Sequence[Size]) -> Any:
    """The tensor in another shape; a single size that is not known is left to the operator."""
    import tensorflow as tf

    known = [size if isinstance(size, int) else None for size in shape]
    if known.count(None) == 1 and 0 not in known:
        return tf.reshape(tensor, [-1 if size is None else size for size in known])
    if None not in known:
        return tf.reshape(tensor, known)
    return tf.ensure_shape(tf.reshape(tensor, tf.stack(list(shape))), known)
