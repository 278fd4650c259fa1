"""The average of integers, which TensorFlow divides in float64."""

from typing import Any

from edgepack.convert.lowering.base import Call, Markers


def average(layer: Any, markers: Markers) -> Call | None:
    """Average of integers, computed in float32; None for floats."""
    if any("float" in tensor.dtype for node in layer._inbound_nodes for tensor in node.input_tensors):
        return None
    markers.notes.append(f"{layer.name}: integers are divided in float32")
    call = layer.call

    def lowered(inputs: Any) -> Any:
        import tensorflow as tf

        return call([tf.cast(tensor, tf.float32) for tensor in inputs])

    return lowered
