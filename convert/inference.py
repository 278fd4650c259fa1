"""A Keras model as it is converted: what only training needs is left out, and files have a precision of their own."""

import contextlib
from collections.abc import Iterator
from typing import Any

_HALVES = ("float16", "bfloat16")


def has_halves(model: Any) -> bool:
    """Whether any layer computes in half precision."""
    return any(layer.compute_dtype in _HALVES for layer in model._flatten_layers())


@contextlib.contextmanager
def at_inference(model: Any) -> Iterator[None]:
    """Let the layers compute in float32, and draw no random numbers, while the block runs.

    A `mixed_float16` model keeps its weights in float32: what it computes so is what was trained, without the rounding.
    Recurrent layers with dropout and some that augment draw numbers whether they train or not, and then throw them
    away; the state they draw from is a variable that changes, which no file has.
    """
    import keras
    import tensorflow as tf

    layers = list(model._flatten_layers())
    halves = [(layer, layer.dtype_policy) for layer in layers if layer.compute_dtype in _HALVES]
    drawn = keras.random.SeedGenerator.next
    try:
        for layer, _ in halves:
            layer.dtype_policy = "float32"
        keras.random.SeedGenerator.next = lambda *_, **__: tf.zeros([2], tf.uint32)
        yield
    finally:
        for layer, policy in halves:
            layer.dtype_policy = policy
        keras.random.SeedGenerator.next = drawn
