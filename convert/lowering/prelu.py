"""PReLU of more than four axes, which TFLite's own operator does not repeat its slopes over."""

from typing import Any

from edgepack.convert.lowering.base import Call, Markers

_FUSED_RANK = 4


def lower(layer: Any, markers: Markers) -> Call | None:
    """A choice between the value and its multiple; None where the operator does."""
    if not layer.built or len(layer.alpha.shape) + 1 <= _FUSED_RANK:
        return None
    markers.notes.append(f"{layer.name}: a choice between the value and its multiple")

    def call(inputs: Any) -> Any:
        import tensorflow as tf

        return tf.where(inputs > 0, inputs, tf.convert_to_tensor(layer.alpha) * inputs)

    return call
