"""Spectrograms as steps: engines run these layers too, so that they are lifted only where that is asked for."""

from typing import Any

import numpy as np

from edgepack.convert.edge import Edge
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.steps.sound import waves

_CLOSE = 1e-6  # of a wave that a step makes to the one a layer was begun with


def spectrogram(layer: Any, edge: Edge) -> Edge:
    """STFTSpectrogram whose waves are those it was begun with."""
    _check(layer, edge, axes=2)
    window = _window_of(layer)
    for name, made in zip(
        ("real_kernel", "imag_kernel"),
        waves(layer.frame_length, layer._fft_length, window, layer.scaling),
        strict=True,
    ):
        kept = getattr(layer, name, None)
        if kept is not None and np.abs(np.asarray(kept)[:, 0] - made).max() > _CLOSE:
            raise ConvertError("its kernels were trained, and a step has none of its own")
    options = {
        "mode": layer.mode, "frame_length": layer.frame_length, "frame_step": layer._frame_step,
        "fft_length": layer._fft_length, "window": window, "scaling": layer.scaling, "padding": layer.padding,
        "expand_dims": bool(layer.expand_dims), "channels_first": layer.data_format == "channels_first",
    }  # fmt: skip
    shape = layer.compute_output_shape((1, *edge.shape))[1:]
    return edge.then("spectrogram", options, tuple(shape), "float32")


def mel_spectrogram(layer: Any, edge: Edge) -> Edge:
    """MelSpectrogram; each sound by itself, where Keras looks at the loudest of a batch."""
    _check(layer, edge, axes=1)
    length = edge.shape[0]
    if length is None or length <= layer.fft_length // 2:
        raise ConvertError(f"{length} samples cannot be mirrored at their ends by {layer.fft_length // 2}")
    window = (
        layer.window if layer.window is None or isinstance(layer.window, str) else np.asarray(layer.window).tolist()
    )
    options = {
        name: getattr(layer, name)
        for name in (
            "fft_length", "sequence_stride", "sequence_length", "sampling_rate", "num_mel_bins", "min_freq", "max_freq",
            "power_to_db", "top_db", "mag_exp", "min_power", "ref_power",
        )
    }  # fmt: skip
    frames = 1 + (length + 2 * (layer.fft_length // 2) - layer.fft_length) // layer.sequence_stride
    return edge.then("mel_spectrogram", {**options, "window": window}, (layer.num_mel_bins, frames), "float32")


def _window_of(layer: Any) -> list[float] | None:
    """The window as numbers: its name is one of SciPy's, which a device need not have."""
    if layer.window is None:
        return None
    if not isinstance(layer.window, str):
        return [float(value) for value in layer.window]
    from scipy.signal import get_window  # Keras has it for the same purpose

    values: list[float] = get_window(layer.window, layer.frame_length, layer.periodic).astype(np.float32).tolist()
    return values


def _check(layer: Any, edge: Edge, *, axes: int) -> None:
    if layer.compute_dtype != "float32" or edge.dtype != "float32":
        raise ConvertError(f"it makes {layer.compute_dtype} of {edge.dtype}; the step computes in float32")
    if len(edge.shape) != axes or None in edge.shape:
        raise ConvertError(f"the step takes signals of {axes} fixed axes, and its input has shape {edge.shape}")
