"""Fourier transforms of real signals as products with constant cosines and sines.

The ONNX exporter writes no complex numbers, and TFLite's own transform runs in no delegate. Frames of a signal are a
strided convolution, so that its length may be free.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgepack.convert.lowering.base import Call, Markers
from edgepack.convert.lowering.sizes import product, reshaped, sizes
from edgepack.runtime.steps.sound import framed_window
from edgepack.runtime.tensor import Array


def lower(layer: Any, markers: Markers) -> Call | None:
    """STFTSpectrogram whose channels come first, which TFLite's convolution does not take; None for others."""
    if layer.data_format != "channels_first":
        return None
    markers.notes.append(f"{layer.name}: channels are moved to the end and back")
    call = layer.call

    def lowered(inputs: Any) -> Any:
        import tensorflow as tf

        layer.data_format = "channels_last"
        try:
            made = call(tf.transpose(inputs, [0, 2, 1]))
        finally:
            layer.data_format = "channels_first"
        return tf.transpose(made, [0, 3, 1, 2] if layer.expand_dims else [0, 2, 1])

    return lowered


def stft(original: Callable[..., Any], markers: Markers) -> Callable[..., Any]:
    """`keras.ops.stft`: the real and the imaginary part, `(…, frames, fft_length // 2 + 1)` each."""

    def lowered(
        x: Any, sequence_length: int, sequence_stride: int, fft_length: int, window: Any = "hann", center: bool = True
    ) -> Any:
        import tensorflow as tf

        signal = tf.convert_to_tensor(x)
        if signal.dtype != tf.float32 or fft_length < sequence_length:
            return original(x, sequence_length, sequence_stride, fft_length, window, center)
        markers.tell(f"short-time Fourier transform of {fft_length}: a convolution with cosines and sines")
        *lead, length = sizes(signal)
        flat = reshaped(signal, [product(lead) if lead else 1, length])
        if center:
            flat = tf.pad(flat, [[0, 0], [fft_length // 2, fft_length // 2]], mode="REFLECT")
        kernel = _waves(fft_length, fft_length) * framed_window(window, sequence_length, fft_length)[:, np.newaxis]
        filters = kernel[:, np.newaxis, :].astype(np.float32)
        waves = tf.nn.conv1d(flat[:, :, tf.newaxis], filters, stride=sequence_stride, padding="VALID")
        spread = waves if len(lead) == 1 else reshaped(waves, [*lead, *sizes(waves)[1:]])
        return tuple(tf.split(spread, 2, axis=-1))

    return lowered


def rfft(original: Callable[..., Any], markers: Markers) -> Callable[..., Any]:
    """`keras.ops.rfft`: the real and the imaginary part, `(…, fft_length // 2 + 1)` each."""

    def lowered(x: Any, fft_length: int | None = None) -> Any:
        import tensorflow as tf

        signal = tf.convert_to_tensor(x)
        taken = signal.shape[-1]
        if signal.dtype != tf.float32 or taken is None:
            return original(x, fft_length)
        length = fft_length or taken
        markers.tell(f"Fourier transform of {length}: a product with cosines and sines")
        used = min(length, taken)
        waves = tf.tensordot(signal[..., :used], _waves(used, length).astype(np.float32), 1)
        return tuple(tf.split(waves, 2, axis=-1))

    return lowered


def _waves(steps: int, length: int) -> Array:
    """What the first `steps` samples of `length` are multiplied with: cosines, then sines, `(steps, 2 * bins)`."""
    turns = np.outer(np.arange(steps), np.arange(length // 2 + 1)) % length  # whole turns cost digits
    angles = 2 * np.pi / length * turns
    return np.concatenate([np.cos(angles), -np.sin(angles)], axis=1)
