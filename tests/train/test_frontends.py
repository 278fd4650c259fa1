"""Front ends: what a Keras model makes of a sound file, its pack makes of it too."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.convert import convert_model
from edgepack.quiet import import_keras
from edgepack.runtime.errors import InputError
from edgepack.runtime.manifest import FORMAT_VERSION, Card
from edgepack.runtime.steps import Step, Steps
from edgepack.train.frontends import Frontend, keyword

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

keras = import_keras("builds the models", "train")
layers = keras.layers
RATE_HZ = 16_000
WORDS = ["no", "yes", "stop"]


def _voice(pitch_hz: float, noise: float, seed: int = 0) -> Any:
    """A second of a voice that rises and fades, in a room that is not silent, as int16."""
    rng = np.random.default_rng(seed)
    time = np.arange(RATE_HZ) / RATE_HZ
    tones = sum(np.sin(2 * np.pi * pitch_hz * time * number * (1 + 0.05 * time)) / number for number in range(1, 25))
    sound = 0.2 * tones * np.exp(-(((time - 0.5) / 0.2) ** 2)) + rng.normal(0, noise, RATE_HZ)
    return np.round(np.clip(sound, -1, 1) * 32_767).astype(np.int16)


SOUNDS = {"low": _voice(110, 3e-3), "high": _voice(240, 1e-3), "noise": _voice(0, 0.05), "silence": _voice(0, 0)}


def _model(front: Frontend) -> Any:
    """A small keyword model with random weights: what is held against each other does not depend on them."""
    keras.utils.set_random_seed(5)
    frames, bands = front.features.shape[1:]
    x = layers.Reshape((frames, bands, 1))(front.features)
    x = layers.Conv2D(8, 5, strides=2, activation="relu")(x)
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.Dense(len(WORDS), activation="softmax", name="word")(layers.Flatten()(x))
    return keras.Model(front.input, x, name="words")


def _write(path: Path, samples: Any) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The model and its pack, both formats."""
    front = keyword(RATE_HZ, 1.0)
    model = _model(front)
    card = Card(FORMAT_VERSION, "words", steps=Steps(
        inputs=front.steps.inputs, outputs={"word": (Step("classify", {"labels": WORDS, "top": 3}),)}
    ))  # fmt: skip
    samples = np.stack(list(SOUNDS.values())).astype(np.float32) / 32_768
    path = tmp_path_factory.mktemp("words") / "words.edgepack"
    report = convert_model(model, path, card=card, lift_all=True, evaluation={"sound": samples})
    assert [one.variant for one in report.passed] == ["tflite-float32", "onnx-float32"]
    return model, path


def test_features_are_frames_of_bands_every_10_ms() -> None:
    assert keyword(RATE_HZ, 1.0, 40).features.shape == (None, 101, 40)
    assert keyword(8_000, 0.5, 20).features.shape == (None, 51, 20)


def test_features_lie_about_minus_one_to_one_and_silence_is_the_least() -> None:
    front = keyword(RATE_HZ, 1.0)
    samples = np.stack(list(SOUNDS.values())).astype(np.float32) / 32_768
    low, _, _, silence = np.asarray(keras.Model(front.input, front.features)(samples))
    np.testing.assert_allclose(silence, -1, atol=1e-6)
    assert 0.3 < low.max() < 1.2


def test_a_sound_has_the_same_features_whatever_else_is_in_the_batch() -> None:
    front = keyword(RATE_HZ, 1.0)
    model = keras.Model(front.input, front.features)
    quiet = _voice(110, 1e-3).astype(np.float32)[np.newaxis] / 32_768 / 100
    loud = np.sin(np.arange(RATE_HZ, dtype=np.float32))[np.newaxis]
    together = np.asarray(model(np.concatenate([quiet, loud])))[0]
    np.testing.assert_allclose(together, np.asarray(model(quiet))[0], atol=1e-5)


@pytest.mark.parametrize("variant", ["tflite-float32", "onnx-float32"])
def test_a_pack_answers_a_sound_as_keras_does(words: tuple[Any, Path], variant: str) -> None:
    model, path = words
    with edgepack.load(path, variant=variant) as session:
        for samples in SOUNDS.values():
            sound = samples.astype(np.float32) / 32_768
            [wanted] = np.asarray(model(sound[np.newaxis]))
            scores = {one.label: one.score for one in session.predict(sound)}
            np.testing.assert_allclose([scores[word] for word in WORDS], wanted, atol=1e-5)  # float32, 3 layers


@pytest.mark.parametrize("variant", ["tflite-float32", "onnx-float32"])
@pytest.mark.parametrize("length", [RATE_HZ, RATE_HZ // 2, 3 * RATE_HZ], ids=["whole", "short", "long"])
def test_a_pack_answers_a_wav_file_as_keras_does(
    words: tuple[Any, Path], tmp_path: Path, variant: str, length: int
) -> None:
    model, path = words
    with edgepack.load(path, variant=variant) as session:
        for name, samples in SOUNDS.items():
            recorded = np.tile(samples, 3)[:length]
            file = _write(tmp_path / f"{name}.wav", recorded)
            heard = np.zeros(RATE_HZ, np.float32)  # as a microphone gives it: cut, or silence behind it
            heard[: min(length, RATE_HZ)] = recorded[:RATE_HZ] / np.float32(32_768)
            [wanted] = np.asarray(model(heard[np.newaxis]))
            scores = {one.label: one.score for one in session.predict(file)}
            np.testing.assert_allclose([scores[word] for word in WORDS], wanted, atol=1e-5)  # float32, 3 layers


def test_the_features_of_the_steps_are_those_of_keras(words: tuple[Any, Path]) -> None:
    front = keyword(RATE_HZ, 1.0)
    scaled = keras.Model(front.input, keras.Model(front.input, front.features).get_layer("scaled").output)
    with edgepack.load(words[1]) as session:
        for samples in SOUNDS.values():
            sound = samples.astype(np.float32) / 32_768
            [found] = next(iter(session.prepare([sound]).values()))
            np.testing.assert_allclose(found, np.asarray(scaled(sound[np.newaxis]))[0], atol=1e-5)


@pytest.mark.parametrize(
    ("rate", "seconds", "bands", "message"),
    [
        (16_000, 0.01, 40, "160 samples at 16000 Hz"),
        (100, 1.0, 40, "at least 1,000 Hz"),
        (16_000, 1.0, 0, "in 0 bands"),
        (16_000, 1.0, 300, r"\d+ of 300 bands are too narrow .* ask for fewer"),
    ],
    ids=["short", "slow", "none", "narrow"],
)
def test_sounds_and_bands_that_cannot_be_are_refused(rate: int, seconds: float, bands: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        keyword(rate, seconds, bands)
