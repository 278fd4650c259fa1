"""IntegerLookup inside a file, where it cannot become a step: every value is compared with every token.

A step is preferred at the model's edge: it finds a token among many thousands at once.
"""

from typing import Any

import numpy as np

from edgepack.convert.lowering.base import Call, Markers


def can_lower(layer: Any) -> bool:
    """Whether a layer is a lookup of integers whose unknown values need no hash."""
    if type(layer).__name__ != "IntegerLookup" or not type(layer).__module__.startswith("keras."):
        return False
    return bool(layer.num_oov_indices < 2 or layer.oov_method != "farmhash")


def lower(layer: Any, markers: Markers) -> Call | None:
    """The layer with constants instead of a table; None where it has no vocabulary or hashes."""
    import tensorflow as tf

    if not can_lower(layer):
        return None
    try:
        tokens, found = (array.numpy() for array in layer.lookup_table.export())
    except Exception:  # noqa: BLE001 - a table that was never filled raises what TensorFlow likes
        return None
    markers.notes.append(f"{layer.name}: each value is compared with {len(tokens)} tokens")
    unknown = layer.oov_token if layer.invert else layer._default_value
    results = np.concatenate([[unknown], found]).astype(np.int64)
    # In the modes that count, Keras gives masked values a number far beyond all; any that is no token's will do.
    masked = 0 if layer.output_mode == "int" else len(tokens) + layer.num_oov_indices + 1

    def find(values: Any) -> Any:
        hits = tf.equal(tf.expand_dims(values, -1), tokens)
        places = tf.reduce_sum(tf.cast(hits, tf.int32) * np.arange(1, len(tokens) + 1, dtype=np.int32), -1)
        indices = tf.gather(results, places)
        if not layer.invert and layer.num_oov_indices > 1:
            spread = tf.math.floormod(values, layer.num_oov_indices) + layer._oov_start_index()
            indices = tf.where(tf.equal(places, 0), spread, indices)
        if layer.mask_token is None:
            return indices
        key, value = (0, layer.mask_token) if layer.invert else (layer.mask_token, masked)
        return tf.where(tf.equal(values, key), tf.constant(value, tf.int64), indices)

    call = layer.call

    def lowered(inputs: Any) -> Any:
        object.__setattr__(layer, "_lookup_dense", find)
        try:
            return call(tf.cast(inputs, tf.int64))
        finally:
            object.__delattr__(layer, "_lookup_dense")

    return lowered
