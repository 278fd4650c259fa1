"""Operations on numbers and categories that Keras hands to operators no light engine has."""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgepack.convert.lowering.base import Markers
from edgepack.convert.lowering.sizes import reshaped, sizes

_COMPARED_AXES = 4
"""The largest rank that TFLite compares with repetition (ai-edge-litert 2.3)."""


def add(original: Callable[..., Any], _markers: Markers) -> Callable[..., Any]:
    """`keras.ops.add`, which takes a second tensor of one long axis for a bias.

    Integers have no bias in TFLite, and an axis that is not the last is taken for the channels just because it is as
    long as they are.
    """

    def lowered(x1: Any, x2: Any) -> Any:
        import tensorflow as tf

        both = [value for value in (x1, x2) if not isinstance(value, (bool, int, float))]
        if len(both) < 2 or any(isinstance(value, (tf.SparseTensor, tf.IndexedSlices)) for value in both):
            return original(x1, x2)
        first, second = (tf.convert_to_tensor(value) for value in both)
        bias = second.shape.rank is not None and all(size == 1 for size in second.shape.as_list()[:-1])
        if first.dtype != second.dtype or (first.dtype.is_floating and bias):
            return original(x1, x2)
        return tf.add(first, second)

    return lowered


def argmax(original: Callable[..., Any], _markers: Markers) -> Callable[..., Any]:
    """`keras.ops.argmax`, which looks at the sign of zeros by the bits of a number, as no light engine can."""
    return _index_of(original, "argmax")


def argmin(original: Callable[..., Any], _markers: Markers) -> Callable[..., Any]:
    """`keras.ops.argmin`, for the same reason."""
    return _index_of(original, "argmin")


def _index_of(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    def lowered(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
        import tensorflow as tf

        if not isinstance(x, tf.Tensor) or not x.dtype.is_floating or axis is None:
            return original(x, axis=axis, keepdims=keepdims)
        found = getattr(tf, name)(x, axis=axis, output_type=tf.int32)
        return tf.expand_dims(found, axis) if keepdims else found

    return lowered


def digitize(_original: Callable[..., Any], markers: Markers) -> Callable[..., Any]:
    """`keras.ops.digitize`: how many boundaries a value has reached, by comparing it with each."""

    def lowered(x: Any, bins: Any) -> Any:
        import tensorflow as tf

        markers.note(f"digitize: {len(bins)} comparisons a value")
        values = tf.cast(tf.convert_to_tensor(x), tf.float32)
        shape = sizes(values)
        boundaries = np.asarray(list(bins), np.float32)
        many = len(shape) >= _COMPARED_AXES
        column = reshaped(values, [-1, 1]) if many else tf.expand_dims(values, -1)
        reached = tf.reduce_sum(tf.cast(column >= boundaries, tf.int32), -1)
        return reshaped(reached, shape) if many else reached

    return lowered


def encode(original: Callable[..., Any], markers: Markers) -> Callable[..., Any]:
    """Keras's fast path for multi_hot, count and tf_idf, which counts in one operator of TensorFlow's own."""

    def lowered(
        inputs: Any, output_mode: str, depth: int, dtype: str = "float32", sparse: bool = False,
        count_weights: Any = None, idf_weights: Any = None,
    ) -> Any:  # fmt: skip
        import tensorflow as tf

        if sparse or output_mode in {"int", "one_hot"}:
            return original(inputs, output_mode, depth, dtype, sparse, count_weights, idf_weights)
        if inputs.shape.rank > 2:
            raise ValueError("one or two axes")  # Keras then takes its way for more of them
        markers.note(f"{output_mode} of {depth}: one_hot vectors, added up")
        rows = inputs if inputs.shape.rank else tf.expand_dims(inputs, -1)
        vectors = tf.one_hot(tf.cast(rows, tf.int32), depth)
        if count_weights is not None:
            vectors *= tf.expand_dims(tf.cast(count_weights, tf.float32), -1)
        reduce = tf.reduce_max if output_mode == "multi_hot" else tf.reduce_sum
        counted = tf.cast(reduce(vectors, -2), dtype)
        return counted * tf.cast(idf_weights, counted.dtype) if output_mode == "tf_idf" else counted

    return lowered
