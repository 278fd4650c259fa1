"""What convolutions, pooling and resizing share: where the channels are, numbers for each axis, kernels with gaps."""

from collections.abc import Sequence
from typing import Any


def channels_last(tensor: Any) -> Any:
    """The tensor with its second axis, the channels, behind all others."""
    import tensorflow as tf

    return tf.transpose(tensor, [0, *range(2, tensor.shape.rank), 1])


def channels_first(tensor: Any) -> Any:
    """The tensor with its last axis, the channels, in the second place."""
    import tensorflow as tf

    rank = tensor.shape.rank
    return tf.transpose(tensor, [0, rank - 1, *range(1, rank - 1)])


def standard(inputs: Any, kernel: Any, data_format: Any) -> tuple[Any, Any, str]:
    """Inputs and kernel as tensors, and where the channels are as one of Keras's two words."""
    import keras

    tensor = keras.ops.convert_to_tensor
    return tensor(inputs), tensor(kernel), keras.src.backend.standardize_data_format(data_format)


def per_axis(value: int | Sequence[int] | None, axes: int) -> tuple[int, ...]:
    """A number for each axis: given as one for all, or as a sequence; None is 1."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value or 1,) * axes  # type: ignore[return-value]


def stretched(kernel: Any, dilation: Sequence[int]) -> Any:
    """A kernel `(*window, a, b)` with zeros between its taps: undilated it computes what the given one does dilated."""
    import tensorflow as tf

    for axis, step in enumerate(dilation):
        if step > 1 and kernel.shape[axis] > 1:
            shape = kernel.shape.as_list()
            apart = tf.expand_dims(kernel, axis + 1)
            padded = tf.pad(apart, [[0, step - 1] if other == axis + 1 else [0, 0] for other in range(len(shape) + 1)])
            length = shape[axis] * step
            merged = tf.reshape(padded, [*shape[:axis], length, *shape[axis + 1 :]])
            kept = [slice(None)] * axis + [slice(0, length - step + 1)]
            kernel = merged[tuple(kept)]
    return kernel
