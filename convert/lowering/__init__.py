"""The table of lowerings: which layers take another form for which target, one file each."""

import contextlib
from collections.abc import Iterator
from typing import Any

from edgepack.convert.inference import computed_in, with_memory
from edgepack.convert.lowering.base import Call, Lowering, Markers, load, replaced
from edgepack.convert.lowering.operations import substituted

__all__ = ["Markers", "applied"]

# class of the layer -> module:function, for every target
_BOTH = {
    "Average": "edgepack.convert.lowering.merging:average",
    "Conv1D": "edgepack.convert.lowering.addition:lower_convolution",
    "Conv2D": "edgepack.convert.lowering.addition:lower_convolution",
    "IntegerLookup": "edgepack.convert.lowering.lookup:lower",
    "MultiHeadAttention": "edgepack.convert.lowering.attention:lower",
    "TimeDistributed": "edgepack.convert.lowering.distributed:lower",
    "UpSampling2D": "edgepack.convert.lowering.resizing:lower_upsampling",
}

# target -> class of the layer -> module:function
_LOWERINGS: dict[str, dict[str, str]] = {
    "onnx": {
        "LSTM": "edgepack.convert.lowering.recurrent:lower",
        "GRU": "edgepack.convert.lowering.recurrent:lower",
        "SimpleRNN": "edgepack.convert.lowering.recurrent:lower",
        "RNN": "edgepack.convert.lowering.recurrent:lower",
        **_BOTH,
    },
    "tflite": {
        "LSTM": "edgepack.convert.lowering.recurrent_tflite:lower",
        "GRU": "edgepack.convert.lowering.recurrent_tflite:lower",
        "SimpleRNN": "edgepack.convert.lowering.recurrent_tflite:lower",
        "RNN": "edgepack.convert.lowering.recurrent_tflite:lower",
        "Add": "edgepack.convert.lowering.merging:widened",
        "Maximum": "edgepack.convert.lowering.merging:widened",
        "Minimum": "edgepack.convert.lowering.merging:widened",
        "Multiply": "edgepack.convert.lowering.merging:widened",
        "PReLU": "edgepack.convert.lowering.prelu:lower",
        "STFTSpectrogram": "edgepack.convert.lowering.spectra:lower",
        "Subtract": "edgepack.convert.lowering.merging:widened",
        **_BOTH,
    },
}


@contextlib.contextmanager
def applied(model: Any, target: str) -> Iterator[Markers]:
    """Let what has a lowering for `target` run it while the block traces `model`: layers, and what they compute with.

    Yields:
        What was replaced: what the exporter of the target needs to know, and notes for the report.
    """
    markers = Markers()
    for dtype in computed_in(model):
        markers.note(f"layers of {dtype} compute in float32")
    for layer in with_memory(model):
        markers.note(f"{layer.name}: stateful=True, and a file has no memory: each call begins as after reset_states()")
    if model is None:  # a SavedModel has no layers
        yield markers
        return
    with replaced(list(_replacements(model, target, markers))), substituted(markers, target):
        yield markers


def _replacements(model: Any, target: str, markers: Markers) -> Iterator[tuple[Any, Call]]:
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
    lowering: Lowering = load(place)
    return lowering
