"""Steps on sound: spectrograms of raw samples, as Keras's layers compute them."""

from collections.abc import Callable, Sequence

import numpy as np

from edgepack.runtime.tensor import Array

_LEAST = np.float32(1e-7)  # keras.config.epsilon()
_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")
_BREAK_HERTZ, _HIGH_Q = 700.0, 1127.0  # of the mel scale (HTK book, section 5.6)


def spectrogram(  # noqa: PLR0913 - the options of the layer
    mode: str,
    frame_length: int,
    frame_step: int,
    fft_length: int,
    window: Sequence[float] | None = None,
    *,
    scaling: str | None = None,
    padding: str = "valid",
    expand_dims: bool = False,
    channels_first: bool = False,
) -> Callable[[Array], Array]:
    """Return a function that gives the short-time spectrum of each channel, as Keras's STFTSpectrogram.

    Args:
        mode: What of the spectrum: `log`, `magnitude`, `psd`, `real`, `imag`, `angle` or `stft`.
        frame_length: Samples in a frame.
        frame_step: Samples from one frame to the next.
        fft_length: The spectrum has `fft_length // 2 + 1` bins.
        window: One factor for each sample of a frame; None is 1 for all.
        scaling: What the window is divided by: None, `density` or `spectrum`.
        padding: `valid`, or `same` for zeros around the signal.
        expand_dims: Keep bins and channels apart.
        channels_first: A signal is `(channels, time)` instead of `(time, channels)`.
    """
    if mode not in _MODES or padding not in {"valid", "same"} or scaling not in {None, "density", "spectrum"}:
        raise ValueError(f"mode {mode!r}, padding {padding!r} or scaling {scaling!r} is none that there is")
    kernels = waves(frame_length, fft_length, window, scaling)

    def run(signal: Array) -> Array:
        channels = np.asarray(signal, np.float32)
        if channels.ndim != 2:
            raise ValueError(f"a signal has two axes, time and channels; this has {channels.ndim}")
        channels = channels if channels_first else channels.T
        frames = _frames(_padded(channels, frame_length, frame_step) if padding == "same" else channels,
                         frame_length, frame_step)  # fmt: skip
        real, imaginary = (np.swapaxes(frames @ kernel, 1, 2) for kernel in kernels)  # (channels, bins, frames)
        return _laid_out(_part(mode, real, imaginary), expand_dims=expand_dims, channels_first=channels_first)

    return run


def waves(
    frame_length: int, fft_length: int, window: Sequence[float] | None, scaling: str | None
) -> tuple[Array, Array]:
    """Cosines and sines times the window, `(frame_length, bins)` each, computed in float32 as Keras does."""
    bins = fft_length // 2 + 1
    frequency = np.arange(bins, dtype=np.float32) / np.float32((bins - 1) * 2)
    turns = (np.float32(-2) * np.arange(frame_length, dtype=np.float32)[:, np.newaxis]) * frequency
    angles = turns * np.arccos(np.float32(-1))
    both = (np.cos(angles), np.sin(angles))
    if window is None:
        return both
    factors = np.asarray(window, np.float32)
    if factors.shape != (frame_length,):
        raise ValueError(f"the window has shape {factors.shape}, and a frame {frame_length} samples")
    scales = {None: np.float32(1), "density": np.sqrt(np.sum(factors**2)), "spectrum": np.sum(np.abs(factors))}
    real, imaginary = (wave * factors[:, np.newaxis] / scales[scaling] for wave in both)
    return real, imaginary


def mel_spectrogram(  # noqa: PLR0913 - the options of the layer
    fft_length: int,
    sequence_stride: int,
    sequence_length: int,
    sampling_rate: float,
    num_mel_bins: int,
    min_freq: float,
    max_freq: float,
    window: str | Sequence[float] | None = "hann",
    *,
    power_to_db: bool = True,
    top_db: float = 80.0,
    mag_exp: float = 2.0,
    min_power: float = 1e-10,
    ref_power: float = 1.0,
) -> Callable[[Array], Array]:
    """Return a function from samples `(time,)` to `(num_mel_bins, frames)`, as Keras's MelSpectrogram of one sound.

    Keras limits the range below the loudest of a whole batch; this does below the loudest of the sound.

    Args:
        fft_length: Samples in a transform.
        sequence_stride: Samples from one frame to the next.
        sequence_length: Samples under the window, in the middle of the transform.
        sampling_rate: Samples a second.
        num_mel_bins: Bands.
        min_freq: The lower edge of the lowest band, in hertz.
        max_freq: The upper edge of the highest band, in hertz.
        window: `hann`, `hamming`, one factor a sample, or None for 1.
        power_to_db: Give decibels.
        top_db: How far below the loudest, in decibels, the quietest is.
        mag_exp: The exponent of the magnitude.
        min_power: What counts as silence.
        ref_power: The power of 0 dB.
    """
    factors = framed_window(window, sequence_length, fft_length)
    matrix = mel_matrix(num_mel_bins, fft_length // 2 + 1, sampling_rate, min_freq, max_freq)
    least = np.float32(min_power)
    reference = np.float32(10) * np.log10(np.maximum(np.abs(np.float32(ref_power)), least))

    def run(sound: Array) -> Array:
        samples = np.asarray(sound, np.float32)
        if samples.ndim != 1:
            raise ValueError(f"a sound has one axis, time; this has {samples.ndim}")
        around = np.pad(samples, fft_length // 2, mode="reflect").astype(np.float64)
        frames = _frames(around[np.newaxis], fft_length, sequence_stride)[0] * factors
        magnitude = np.abs(np.fft.rfft(frames, axis=-1)).astype(np.float32)
        bands = (magnitude ** np.float32(mag_exp)) @ matrix
        if power_to_db:
            bands = np.float32(10) * np.log10(np.maximum(bands, least)) - reference
            bands = np.maximum(bands, bands.max() - np.float32(top_db))
        return np.ascontiguousarray(bands.T)

    return run


def mel_matrix(bands: int, bins: int, sampling_rate: float, lowest: float, highest: float) -> Array:
    """Triangles on the mel scale, `(bins, bands)`; the bin of 0 Hz is left out, as HTK does."""
    hertz = np.linspace(0.0, sampling_rate / 2, bins)[1:].astype(np.float32)
    first, last = map(float, _mel(np.array([lowest, highest], np.float32)))
    edges = np.linspace(first, last, bands + 2, dtype=np.float32)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    mels = _mel(hertz)[:, np.newaxis]
    slopes = np.minimum((mels - lower) / (centre - lower), (upper - mels) / (upper - centre))
    return np.pad(np.maximum(np.float32(0), slopes), [[1, 0], [0, 0]])


def _mel(hertz: Array) -> Array:
    return (np.float32(_HIGH_Q) * np.log(np.float32(1) + hertz / np.float32(_BREAK_HERTZ))).astype(np.float32)


def framed_window(window: str | Sequence[float] | None, length: int, frame: int) -> Array:
    """The window in the middle of a frame, in float64; without one Keras takes the whole frame."""
    if window is None:
        return np.ones(frame)
    angles = 2 * np.pi * np.arange(length) / length
    named = {"hann": 0.5 - 0.5 * np.cos(angles), "hamming": 0.54 - 0.46 * np.cos(angles)}
    values = named[window] if isinstance(window, str) else np.asarray(window, np.float64)
    if values.shape != (length,):
        raise ValueError(f"the window has shape {values.shape}, and lies over {length} samples")
    before = (frame - length) // 2
    return np.pad(values, (before, frame - length - before))


def _padded(channels: Array, length: int, step: int) -> Array:
    """Zeros around each channel, so that every step begins a frame."""
    time = channels.shape[1]
    missing = max((-(-time // step) - 1) * step + length - time, 0)
    return np.pad(channels, [[0, 0], [missing // 2, missing - missing // 2]])


def _frames(channels: Array, length: int, step: int) -> Array:
    """The frames of each channel, `(channels, frames, length)`."""
    if channels.shape[1] < length:
        raise ValueError(f"it has {channels.shape[1]} samples, fewer than one frame of {length}")
    return np.lib.stride_tricks.sliding_window_view(channels, length, axis=1)[:, ::step]


def _part(mode: str, real: Array, imaginary: Array) -> Array:
    if mode in {"real", "imag"}:
        return real if mode == "real" else imaginary
    if mode == "angle":
        return np.asarray(np.arctan2(imaginary, real))
    if mode == "stft":
        return np.concatenate([real, imaginary], axis=1)
    power: Array = real**2 + imaginary**2
    if mode == "psd":
        power[:, 1:-1] *= 2  # what is above half the sampling rate mirrors what is below
        return power
    magnitude = np.sqrt(np.maximum(power, _LEAST))
    return magnitude if mode == "magnitude" else np.asarray(np.log(np.maximum(magnitude, _LEAST)))


def _laid_out(spectrum: Array, *, expand_dims: bool, channels_first: bool) -> Array:
    """`(channels, bins, frames)` in the order of axes that the layer gives."""
    if expand_dims:
        return spectrum.transpose((0, 2, 1) if channels_first else (2, 1, 0))
    flat = spectrum.reshape(-1, spectrum.shape[2])
    laid_out: Array = flat if channels_first else flat.T
    return laid_out
