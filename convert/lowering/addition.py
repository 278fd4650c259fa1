"""Keras's addition without its short cut: what looks like a bias becomes BiasAdd, which exporters read for images only.

In Keras 3.15 a bias for channels in the second place goes along the last axis where that is as long. TensorFlow's own
optimizer undoes it when it fuses the bias with a plain convolution of one or two axes, and there alone: so a model
predicts, and so its files do.
"""

from typing import Any

from edgepack.convert.lowering.base import Call, Markers
from edgepack.convert.lowering.layout import per_axis


def lower(original: Call, markers: Markers) -> Call:
    """`numpy.add`: BiasAdd is left where every exporter has it, floats with the channels behind."""
    del markers

    def add(x1: Any, x2: Any) -> Any:
        import tensorflow as tf

        result = original(x1, x2)
        made = getattr(result, "op", None)
        if made is None or made.type != "BiasAdd":
            return result
        tensor, bias = made.inputs
        if made.get_attr("data_format") == b"NCHW":
            return tf.add(tensor, tf.reshape(bias, [1, -1, *[1] * (tensor.shape.rank - 2)]))
        return result if tensor.dtype.is_floating else tf.add(tensor, bias)

    return add


def lower_convolution(layer: Any, markers: Markers) -> Call | None:
    """A plain convolution with the channels first, whose bias goes along the channels whatever their number is."""
    plain = layer.groups == 1 and max(per_axis(layer.dilation_rate, layer.rank)) == 1
    if layer.data_format != "channels_first" or not layer.use_bias or not plain:
        return None
    del markers

    def call(inputs: Any) -> Any:
        import keras
        import tensorflow as tf

        padding = layer.padding
        if padding == "causal":
            inputs, padding = keras.ops.pad(inputs, layer._compute_causal_padding()), "valid"
        outputs = keras.ops.conv(
            inputs, layer.kernel, strides=list(layer.strides), padding=padding, data_format=layer.data_format
        )
        bias = tf.convert_to_tensor(layer.bias)
        outputs = tf.add(outputs, tf.reshape(bias, [1, -1, *[1] * layer.rank]))
        return outputs if layer.activation is None else layer.activation(outputs)

    return call
