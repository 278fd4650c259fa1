"""The table of lowerings: which layers take another form for which target, one file each."""

import contextlib
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from edgepack.convert.lowering.base import Call, FunctionLowering, Lowering, Markers, replaced, substituted

__all__ = ["Markers", "applied"]

# target -> class of the layer -> module:function
_LOWERINGS: dict[str, dict[str, str]] = {
    "onnx": {
        "LSTM": "edgepack.convert.lowering.recurrent:lower",
        "GRU": "edgepack.convert.lowering.recurrent:lower",
        "SimpleRNN": "edgepack.convert.lowering.recurrent:lower",
        "RNN": "edgepack.convert.lowering.recurrent:lower",
        "Conv1D": "edgepack.convert.lowering.addition:lower_convolution",
        "Conv2D": "edgepack.convert.lowering.addition:lower_convolution",
        "UpSampling2D": "edgepack.convert.lowering.resizing:lower_upsampling",
    },
    "tflite": {
        "LSTM": "edgepack.convert.lowering.recurrent_tflite:lower",
        "GRU": "edgepack.convert.lowering.recurrent_tflite:lower",
        "SimpleRNN": "edgepack.convert.lowering.recurrent_tflite:lower",
        "RNN": "edgepack.convert.lowering.recurrent_tflite:lower",
        "Conv1D": "edgepack.convert.lowering.addition:lower_convolution",
        "Conv2D": "edgepack.convert.lowering.addition:lower_convolution",
        "UpSampling2D": "edgepack.convert.lowering.resizing:lower_upsampling",
    },
}

# target -> function of Keras's backend -> module:function
_FUNCTIONS: dict[str, dict[str, str]] = {
    "onnx": {
        "nn.conv": "edgepack.convert.lowering.convolution:for_onnx",
        "nn.conv_transpose": "edgepack.convert.lowering.transposed_convolution:for_onnx",
        "nn.depthwise_conv": "edgepack.convert.lowering.convolution:depthwise_for_onnx",
        "nn.separable_conv": "edgepack.convert.lowering.convolution:depthwise_for_onnx",
        "image.resize": "edgepack.convert.lowering.resizing:for_onnx",
        "numpy.add": "edgepack.convert.lowering.addition:lower",
    },
    "tflite": {
        "nn.conv": "edgepack.convert.lowering.convolution:for_tflite",
        "nn.conv_transpose": "edgepack.convert.lowering.transposed_convolution:for_tflite",
        "nn.max_pool": "edgepack.convert.lowering.pooling:lower",
        "nn.average_pool": "edgepack.convert.lowering.pooling:lower",
        "nn.adaptive_max_pool": "edgepack.convert.lowering.pooling:lower_adaptive",
        "nn.adaptive_average_pool": "edgepack.convert.lowering.pooling:lower_adaptive",
        "image.resize": "edgepack.convert.lowering.resizing:for_tflite",
        "numpy.add": "edgepack.convert.lowering.addition:lower",
        "numpy.pad": "edgepack.convert.lowering.padding:lower",
        "numpy.repeat": "edgepack.convert.lowering.repeating:lower",
    },
}


@contextlib.contextmanager
def applied(model: Any, target: str) -> Iterator[Markers]:
    """Let what has a lowering for `target` run it while the block traces `model`: layers, and what they compute with.

    Yields:
        What was replaced: what the exporter of the target needs to know, and notes for the report.
    """
    markers = Markers()
    functions: dict[str, FunctionLowering] = {name: _load(place) for name, place in _FUNCTIONS[target].items()}
    with replaced(list(_replacements(model, target, markers))), substituted(functions, markers):
        yield markers


def _replacements(model: Any, target: str, markers: Markers) -> Iterator[tuple[Any, Call]]:
    if model is None:  # a SavedModel has no layers
        return
    for layer in model._flatten_layers(include_self=False, recursive=True):
        lowering = _find(layer, target)
        call = lowering(layer, markers) if lowering else None
        if call:
            yield layer, call


def _find(layer: Any, target: str) -> Lowering | None:
    """The lowering for a layer's own class; a subclass may mean something else."""
    place = _LOWERINGS[target].get(type(layer).__name__)
    if place is None or not type(layer).__module__.startswith("keras."):
        return None
    lowering: Lowering = _load(place)
    return lowering


def _load(place: str) -> Any:
    module, _, function = place.partition(":")
    return getattr(import_module(module), function)
