"""A Keras model as it is converted: what only training needs is left out, and files have a precision of their own."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

_OTHERS = ("float16", "bfloat16", "float64")


def computed_in(model: Any) -> list[str]:
    """The other element types than float32 that layers of a model compute in; a SavedModel has no layers."""
    layers = [] if model is None else model._flatten_layers()
    return sorted({layer.compute_dtype for layer in layers} & {*_OTHERS})


def with_memory(model: Any) -> list[Any]:
    """The layers of a model that keep their states from call to call; a SavedModel has no layers."""
    layers = [] if model is None else model._flatten_layers()
    return [layer for layer in layers if getattr(layer, "stateful", False) is True]


@contextlib.contextmanager
def at_inference(model: Any) -> Iterator[None]:
    """Let the layers compute in float32, draw no random numbers and keep no states, while the block runs.

    A `mixed_float16` model keeps its weights in float32: what it computes so is what was trained, without the rounding.
    No light engine has float64 for more than a few operators, and what a float64 model computes so differs by rounding.
    Recurrent layers with dropout and some that augment draw numbers whether they train or not, and then throw them
    away; the state they draw from is a variable that changes, which no file has. Nor has a file the states that
    `stateful=True` keeps from call to call: each call begins as Keras does after `reset_states()`.
    """
    import keras
    import tensorflow as tf

    layers = list(model._flatten_layers())
    others = [(layer, layer.dtype_policy, layer.autocast) for layer in layers if layer.compute_dtype in _OTHERS]
    keeping = with_memory(model)
    drawn = keras.random.SeedGenerator.next
    try:
        for layer in keeping:
            layer.stateful = False
        for layer, policy, _ in others:
            layer.dtype_policy = _in_float32(policy)
            layer.autocast = True  # Embedding would compute with its table as it is
        keras.random.SeedGenerator.next = lambda *_, **__: tf.zeros([2], tf.uint32)
        yield
    finally:
        for layer, policy, autocast in others:
            layer.dtype_policy, layer.autocast = policy, autocast
        for layer in keeping:
            layer.stateful = True
        keras.random.SeedGenerator.next = drawn


def _in_float32(policy: Any) -> Any:
    """The policy with its variables as they are, cast to float32 where they are used."""
    made = copy.copy(policy)
    made._compute_dtype = "float32"
    return made
