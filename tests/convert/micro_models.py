"""Small files for microcontrollers: int8 through and through, and what TFLite-Micro refuses."""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgepack.quiet import quiet
from edgepack.runtime.tensor import Array


def int8_file(model: Any, samples: Array) -> bytes:
    """A Keras model as TensorFlow's own converter writes it for microcontrollers: int8 goes in and comes out."""
    import tensorflow as tf

    def settings(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: ([row[np.newaxis]] for row in samples)
        converter.inference_input_type = converter.inference_output_type = tf.int8

    shape = (1, *model.inputs[0].shape[1:])
    return _convert(lambda x: model(x, training=False), shape, settings)


def float_file(function: Callable[[Any], Any], shape: tuple[int, ...]) -> bytes:
    """A function of one tensor as a float32 file."""
    return _convert(function, shape, lambda _: None)


def _convert(function: Callable[[Any], Any], shape: tuple[int, ...], settings: Callable[[Any], None]) -> bytes:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = tf.function(function).get_concrete_function(tf.TensorSpec(shape, tf.float32, name="image"))
    with quiet():
        frozen = convert_variables_to_constants_v2(traced)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
        settings(converter)
        data: bytes = converter.convert()
    return data
