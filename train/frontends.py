"""What stands before a model of one's own: layers from raw samples to features, which become steps of its pack."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack.quiet import import_keras
from edgepack.runtime.errors import InputError
from edgepack.runtime.steps import Step, Steps
from edgepack.runtime.steps.sound import mel_matrix

__all__ = ["Frontend", "keyword"]

# A window of 25 ms every 10 ms, as speech recognition has it since HTK.
_WINDOW_SECONDS, _STRIDE_SECONDS = 0.025, 0.01
_LOWEST_HZ, _HIGHEST_HZ = 20.0, 8_000.0
# Decibels of a band's power. A loud voice reaches 40; what lies below -50 is fainter than the noise of a quiet room,
# and there float32 would tell the rounding of the transform rather than the sound.
_FAINTEST_DB, _LOUDEST_DB = -50.0, 40.0
_NO_LIMIT_DB = 1_000.0


@dataclass(frozen=True, slots=True, eq=False)
class Frontend:
    """The beginning of a Keras model."""

    input: Any
    """The model's input, named `sound`: raw samples `(samples,)`, -1 to 1."""
    features: Any
    """What the rest of the model takes, `(frames, bands)`, about -1 to 1; its layer is named `features`."""
    steps: Steps
    """For the card: what reads a .wav file, resamples it, and cuts it or fills it up with silence."""


def keyword(rate: int, seconds: float, bands: int = 40) -> Frontend:
    """A log-mel spectrogram of raw sound, for words and other short sounds.

    Build the model from `input` to layers behind `features`, train it on raw samples, and convert it with `steps` on
    its card and with `lift_all=True`: the pack then takes .wav files, and makes the same features without TensorFlow.
    Features tell the power of each band on one fixed scale. They do not depend on the other sounds of a batch, as
    Keras's own limit below the loudest would.

    Args:
        rate: Samples a second.
        seconds: How long a sound is.
        bands: Bands on the mel scale, up to 8 kHz or half the rate.

    Raises:
        MissingExtraError: Keras is not installed.
        InputError: A sound shorter than a window, or bands so narrow that some hold no frequency of the transform.
    """
    window, stride, samples = (round(one * rate) for one in (_WINDOW_SECONDS, _STRIDE_SECONDS, seconds))
    fft_length = 1 << max(window - 1, 1).bit_length()
    highest = min(rate / 2, _HIGHEST_HZ)
    _check(rate, samples, bands, fft_length, highest)
    layers = import_keras("builds front ends", "train").layers
    sound = layers.Input((samples,), name="sound")
    decibels = layers.MelSpectrogram(
        fft_length=fft_length, sequence_length=window, sequence_stride=stride, sampling_rate=rate, num_mel_bins=bands,
        min_freq=_LOWEST_HZ, max_freq=highest, min_power=10 ** (_FAINTEST_DB / 10), top_db=_NO_LIMIT_DB, name="bands",
    )(sound)  # fmt: skip
    middle, half = (_LOUDEST_DB + _FAINTEST_DB) / 2, (_LOUDEST_DB - _FAINTEST_DB) / 2
    scaled = layers.Rescaling(1 / half, offset=-middle / half, name="scaled")(decibels)
    features = layers.Permute((2, 1), name="features")(scaled)
    return Frontend(sound, features, Steps(inputs={"sound": (Step("sound", {"rate": rate, "seconds": seconds}),)}))


def _check(rate: int, samples: int, bands: int, fft_length: int, highest: float) -> None:
    if rate < 1_000 or samples < fft_length or bands < 1:
        raise InputError(
            f"{samples} samples at {rate} Hz in {bands} bands cannot be; at least 1,000 Hz, {fft_length} samples at "
            "this rate, and 1 band are taken"
        )
    matrix = mel_matrix(bands, fft_length // 2 + 1, rate, _LOWEST_HZ, highest)
    empty = int(np.count_nonzero(~matrix.any(axis=0)))
    if empty:
        raise InputError(
            f"{empty} of {bands} bands are too narrow for a transform of {fft_length} samples; ask for fewer bands"
        )
