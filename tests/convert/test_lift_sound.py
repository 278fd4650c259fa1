"""Spectrograms at the edge of a model become steps that give what Keras gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.convert.build import convert_model
from edgepack.convert.lift import lift
from edgepack.convert.source import open_source
from edgepack.quiet import import_keras
from edgepack.runtime.errors import ModelError, StepError
from edgepack.runtime.steps import Step, prepare

keras = import_keras("builds the models", "convert")
layers = keras.layers
_STFT = {"frame_length": 32, "frame_step": 10, "fft_length": 64}
_MEL = {"fft_length": 64, "sequence_stride": 20, "sampling_rate": 8000, "num_mel_bins": 12}


def _sound(*shape: int) -> Any:
    return np.random.default_rng(4).normal(size=shape).astype(np.float32)


def _steps(layer: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """The model up to the layer, and the function that its steps are, without the first that takes the value."""
    x = keras.Input(shape, name="sound")
    lifted = lift(open_source(keras.Model(x, layers.Flatten()(layer(x)))), everything=True)
    assert lifted is not None
    return keras.Model(x, layer(x)), prepare(lifted.steps.inputs["sound"][1:])


@pytest.mark.parametrize("mode", ["log", "magnitude", "psd", "real", "imag", "angle", "stft"])
def test_every_mode_is_that_of_keras(mode: str) -> None:
    model, steps = _steps(layers.STFTSpectrogram(mode=mode, **_STFT), (100, 2))
    sound = _sound(100, 2)
    wanted = np.asarray(model(sound[None]))[0]
    apart = np.abs(steps(sound) - wanted)
    if mode == "angle":
        apart = np.minimum(apart, 2 * np.pi - apart)  # half a turn either way
    assert apart.max() < 1e-4  # angles of small values; sums of 32 float32 elsewhere


@pytest.mark.parametrize(
    "options",
    [
        {"window": None, "scaling": None}, {"window": "hamming", "scaling": "spectrum"}, {"window": [0.5] * 32},
        {"periodic": True}, {"padding": "same"}, {"expand_dims": True}, {"data_format": "channels_first"},
        {"data_format": "channels_first", "expand_dims": True, "padding": "same"},
    ],
    ids=str,
)  # fmt: skip
def test_every_option_is_that_of_keras(options: dict[str, Any]) -> None:
    shape = (2, 100) if "data_format" in options else (100, 2)
    model, steps = _steps(layers.STFTSpectrogram(mode="magnitude", **_STFT, **options), shape)
    sound = _sound(*shape)
    np.testing.assert_allclose(steps(sound), np.asarray(model(sound[None]))[0], atol=1e-5)  # sums of 32 float32


@pytest.mark.parametrize(
    "options",
    [
        {}, {"power_to_db": False}, {"window": "hamming", "sequence_length": 48}, {"window": None},
        {"window": [0.3] * 64}, {"mag_exp": 1.0, "top_db": 20.0}, {"min_freq": 100.0, "max_freq": 3000.0},
        {"ref_power": 2.0, "min_power": 1e-3},
    ],
    ids=str,
)  # fmt: skip
def test_mel_bands_are_those_of_keras(options: dict[str, Any]) -> None:
    model, steps = _steps(layers.MelSpectrogram(**{**_MEL, **options}), (400,))
    sound = _sound(400)
    wanted = np.asarray(model(sound[None]))[0]
    np.testing.assert_allclose(steps(sound), wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_pack_takes_raw_sound(tmp_path: Path) -> None:
    x = keras.Input((400,), name="sound")
    bands = layers.MelSpectrogram(**_MEL)(x)
    model = keras.Model(x, layers.Dense(3, activation="softmax")(layers.Flatten()(bands)))
    report = convert_model(model, tmp_path / "m.edgepack", lift_all=True)
    assert len(report.passed) == 2
    sound = _sound(400)
    with edgepack.load(tmp_path / "m.edgepack") as session:
        np.testing.assert_allclose(session.predict(sound), np.asarray(model(sound[None]))[0], atol=1e-5)


def test_kernels_that_were_trained_stay_in_the_file() -> None:
    layer = layers.STFTSpectrogram(**_STFT)
    x = keras.Input((100, 1), name="sound")
    model = keras.Model(x, layer(x))
    layer.real_kernel.assign(layer.real_kernel + 0.1)
    with pytest.raises(ModelError, match="its kernels were trained"):
        lift(open_source(model), everything=True)


@pytest.mark.parametrize("shape", [(None, 1), (10, 1)], ids=["free", "short"])
def test_a_signal_without_a_frame_is_refused(shape: tuple[int | None, ...]) -> None:
    if shape[0] is None:
        x = keras.Input(shape, name="sound")
        with pytest.raises(ModelError, match="fixed axes"):
            lift(open_source(keras.Model(x, layers.STFTSpectrogram(**_STFT)(x))), everything=True)
        return
    options = {"mode": "log", "frame_length": 32, "frame_step": 8, "fft_length": 32}
    with pytest.raises(StepError, match="10 samples, fewer than one frame of 32"):
        prepare([Step("spectrogram", options)])(_sound(*map(int, shape)))  # type: ignore[arg-type]
