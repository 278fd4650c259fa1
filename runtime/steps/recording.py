"""The step on sounds: from a .wav file or an array to mono samples at the rate and of the length a model takes."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from edgepack.runtime.errors import InputError, StepError
from edgepack.runtime.steps.files import read_file
from edgepack.runtime.steps.resampling import resample
from edgepack.runtime.steps.wav import MOST_CHANNELS, RATES_HZ, read_wav
from edgepack.runtime.tensor import Array, describe

_MOST_BYTES = 128_000_000  # an hour of 16 bits at 16 kHz
_MOST_SAMPLES = 60_000_000  # an hour at 16 kHz
_MOST_AMPLITUDE = 2.0  # floats may reach a little beyond 1 where they were mixed or resampled; integers reach far


def sound(rate: int, seconds: float | None = None) -> Callable[[Any], Array]:
    """Return a function that gives a sound as float32 `(samples,)` of one channel, -1 to 1.

    Args:
        rate: Samples a second; a .wav file of another rate is resampled, an array is taken to have this one.
        seconds: A longer sound is cut, a shorter one filled up with silence at its end; None leaves its length.
    """
    if not (isinstance(rate, int) and rate in RATES_HZ):
        raise ValueError(f"rate is {rate!r}; it is a whole number of hertz, {RATES_HZ[0]:,} to {RATES_HZ[-1]:,}")
    if seconds is not None and not 1 <= seconds * rate <= _MOST_SAMPLES:
        raise ValueError(f"seconds is {seconds!r}; it is 1 to {_MOST_SAMPLES:,} samples at {rate:,} Hz, or None")
    length = None if seconds is None else round(seconds * rate)

    def read(sample: Any) -> Array:
        samples, found_hz = _mono(sample, rate)
        if not len(samples):
            raise StepError("the sound holds no samples; record one that does")
        _check_amplitude(samples)
        if length is None and len(samples) * rate > _MOST_SAMPLES * found_hz:
            raise StepError(
                f"the sound lasts {len(samples) / found_hz:,.0f} s; at {rate:,} Hz at most "
                f"{_MOST_SAMPLES / rate:,.0f} s are taken: cut it"
            )
        result = np.clip(resample(samples, found_hz, rate, length), np.float32(-1), np.float32(1))
        if length is not None and len(result) < length:
            result = np.pad(result, (0, length - len(result)))
        return result

    return read


def _mono(sample: Any, rate: int) -> tuple[Array, int]:
    """The mean of all channels, and the samples a second it has."""
    if isinstance(sample, (str, os.PathLike)):
        recording = read_wav(read_file(sample, "sound", _MOST_BYTES), str(sample))
    elif isinstance(sample, (bytes, bytearray)):
        recording = read_wav(bytes(sample), "what the bytes hold")
    elif isinstance(sample, np.ndarray):
        return _of_array(sample), rate
    else:
        raise InputError(
            f"a sound comes as the path or the bytes of a .wav file, or as an array of samples; this is "
            f"{type(sample).__name__}: a list is a batch of sounds"
        )
    return _mixed(recording.samples), recording.rate_hz


def _of_array(samples: Array) -> Array:
    """An array `(time,)` or `(time, channels)` of floats or int16 as one channel of floats."""
    channels = samples[:, np.newaxis] if samples.ndim == 1 else samples
    if channels.ndim != 2 or not 0 < channels.shape[1] <= MOST_CHANNELS:
        raise InputError(
            f"an array of a sound has shape (time,), or (time, channels) with at most {MOST_CHANNELS}; this one "
            f"{describe(samples.shape)}: give several sounds as a list"
        )
    if samples.dtype == np.int16:
        return _mixed(channels / 2.0**15)
    if samples.dtype.kind != "f":
        raise InputError(
            f"an array of a sound holds floats from -1 to 1, or int16; this one holds {samples.dtype}: scale it"
        )
    return _mixed(channels)


def _mixed(channels: Array) -> Array:
    single: Array = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1, dtype=np.float64)
    return single


def _check_amplitude(samples: Array) -> None:
    largest = max(float(samples.max()), -float(samples.min()))  # NaN where there is one
    if not largest <= _MOST_AMPLITUDE:
        raise StepError(
            f"the sound reaches {largest:.6g}; samples lie between -1 and 1: divide integers by the largest they can "
            "hold (32768 for 16 bits)"
        )
