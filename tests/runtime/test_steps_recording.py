"""Sounds: .wav files of every coding, mixed to one channel, at the rate and of the length a model takes."""

import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import EdgepackError, InputError, MissingFileError, StepError
from edgepack.runtime.steps import Step, prepare
from edgepack.runtime.steps.resampling import resample
from edgepack.runtime.steps.wav import read_wav
from edgepack.runtime.tensor import Array

RATE = 8000


def sound(rate: int = RATE, seconds: float | None = None) -> Callable[[Any], Array]:
    return prepare([Step("sound", {"rate": rate, "seconds": seconds})])


def tone(hertz: float, rate: int, seconds: float = 1.0) -> Array:
    return np.asarray(np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate))


def wav(samples: Array, *, rate: int = RATE, bits: int = 16, coding: int = 1, extensible: bool = False) -> bytes:
    """A .wav file of floats `(time, channels)`, written by hand from the format's description."""
    channels = samples[:, np.newaxis] if samples.ndim == 1 else samples
    scaled = (
        channels
        if coding == 3
        else np.clip(np.rint(channels * 2.0 ** (bits - 1)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    body = {
        (1, 8): lambda: (scaled + 128).astype("u1").tobytes(),
        (1, 16): lambda: scaled.astype("<i2").tobytes(),
        (1, 24): lambda: b"".join(int(one).to_bytes(3, "little", signed=True) for one in scaled.ravel()),
        (1, 32): lambda: scaled.astype("<i4").tobytes(),
        (3, 32): lambda: scaled.astype("<f4").tobytes(),
        (3, 64): lambda: scaled.astype("<f8").tobytes(),
    }[coding, bits]()  # fmt: skip
    frame = channels.shape[1] * bits // 8
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else coding, channels.shape[1], rate, rate * frame, frame, bits)
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 0, coding) + b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"  # a part of odd size, as taggers leave them
    parts = odd + b"fmt " + struct.pack("<I", len(form)) + form + odd + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(parts) + 4) + b"WAVE" + parts


CODINGS = {"8": (8, 1), "16": (16, 1), "24": (24, 1), "32": (32, 1), "float32": (32, 3), "float64": (64, 3)}


# reading


@pytest.mark.parametrize("extensible", [False, True], ids=["plain", "extensible"])
@pytest.mark.parametrize(("bits", "coding"), CODINGS.values(), ids=CODINGS)
def test_every_coding_is_read_within_its_own_step(bits: int, coding: int, extensible: bool) -> None:
    wanted = np.stack([tone(440, RATE, 0.1), -0.5 * tone(300, RATE, 0.1)], axis=1) * 0.9
    found = read_wav(wav(wanted, bits=bits, coding=coding, extensible=extensible), "x")
    assert (found.rate_hz, found.samples.shape) == (RATE, wanted.shape)
    step = 0.0 if coding == 3 else 2.0 ** -(bits - 1)
    np.testing.assert_allclose(found.samples, wanted, atol=step / 2 + 1e-7)  # half a step, and float32


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_what_the_standard_library_writes_is_read(tmp_path: Path, width: int) -> None:
    numbers = [-(2 ** (8 * width - 1)), -1, 0, 1, 2 ** (8 * width - 1) - 1]
    raw = b"".join(
        (one + 128).to_bytes(1, "little") if width == 1 else one.to_bytes(width, "little", signed=True)
        for one in numbers
    )
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setparams((1, width, RATE, 0, "NONE", ""))
        file.writeframes(raw)
    found = sound()(tmp_path / "x.wav")
    np.testing.assert_array_equal(found, (np.array(numbers) / 2.0 ** (8 * width - 1)).astype(np.float32))


def test_every_way_to_hand_over_a_sound_gives_the_same_samples(tmp_path: Path) -> None:
    data = wav(tone(440, RATE, 0.1) / 2)
    path = tmp_path / "x.wav"
    path.write_bytes(data)
    integers = np.frombuffer(data[-1600:], "<i2")
    ways: list[Any] = [path, str(path), data, bytearray(data), integers, integers / 2**15, integers[:, np.newaxis]]
    for way in ways:
        found = sound()(way)
        assert (found.dtype, found.shape) == (np.float32, (800,))
        np.testing.assert_array_equal(found, sound()(path))


def test_channels_are_mixed_to_their_mean() -> None:
    left, right = tone(440, RATE, 0.1) / 2, tone(300, RATE, 0.1) / 4
    both = np.stack([left, right], axis=1)
    wanted = ((left + right) / 2).astype(np.float32)
    np.testing.assert_allclose(sound()(both), wanted, atol=1e-7)  # float32
    np.testing.assert_allclose(sound()(wav(both, bits=32, coding=3)), wanted, atol=1e-7)


@pytest.mark.parametrize(("seconds", "kept"), [(0.05, 400), (0.1, 800), (0.2, 800)], ids=["cut", "same", "padded"])
@pytest.mark.parametrize("rate", [RATE, 11025], ids=["same-rate", "resampled"])
def test_a_sound_is_brought_to_its_length_at_the_end(seconds: float, kept: int, rate: int) -> None:
    found = sound(RATE, seconds)(wav(tone(440, rate, 0.1) / 2, rate=rate))
    assert found.shape == (round(seconds * RATE),)
    np.testing.assert_allclose(
        found[:kept], sound(RATE)(wav(tone(440, rate, 0.1) / 2, rate=rate))[:kept], atol=1e-6
    )  # sums in another order
    assert not found[kept:].any()


def test_values_a_little_beyond_one_are_clipped() -> None:
    assert sound()(np.array([1.5, -1.5, 0.5], np.float32)).tolist() == [1, -1, 0.5]


# resampling


@pytest.mark.parametrize(
    ("rate", "wanted"),
    [(44100, 16000), (48000, 16000), (8000, 16000), (22050, 16000), (11025, 8000), (16000, 44100), (16001, 16000)],
    ids=str,
)
def test_a_tone_is_the_same_tone_at_another_rate(rate: int, wanted: int) -> None:
    found = resample(tone(1000, rate), rate, wanted)
    assert (found.dtype, found.shape) == (np.float32, (wanted,))
    middle = slice(wanted // 8, -wanted // 8)  # silence lies around it
    np.testing.assert_allclose(found[middle], tone(1000, wanted)[middle], atol=1e-6)  # float32


def test_what_the_lower_rate_cannot_hold_is_taken_away() -> None:
    found = resample(tone(9000, 44100), 44100, 16000)  # would be heard as 7 kHz
    assert np.abs(found[2000:-2000]).max() < 1e-6


def test_a_constant_stays_as_loud_as_it_was() -> None:
    found = resample(np.ones(4000), 44100, 16000)
    np.testing.assert_allclose(found[200:-200], 1, atol=1e-5)  # the window's ripple


@pytest.mark.parametrize("count", [1, 2, 50])
def test_short_sounds_are_resampled_too(count: int) -> None:
    assert resample(np.ones(count), 44100, 16000).shape == (-(-count * 160 // 441),)
    assert resample(np.ones(count), 16000, 44100).shape == (-(-count * 441 // 160),)


# refusals


FLAT = np.zeros(8)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (b"", "what the bytes hold is not a .wav file; save the sound as WAV"),
        (b"ID3 an mp3 file", "is not a .wav file"),
        (b"RIFF\0\0\0\0AVI LIST", "is not a .wav file"),
        (b"RF64" + wav(FLAT)[4:], "is not a .wav file"),
        (wav(FLAT)[:24], "without a format and samples behind it"),
        (wav(FLAT)[:-3], "claims 16 bytes in a part of which 13 are there; it is cut short"),
        (wav(np.zeros(0)), "the sound holds no samples"),
        (wav(FLAT).replace(b"\x01\x00\x01\x00", b"\x06\x00\x01\x00"), "coded as format 6 with 16 bits"),
        (wav(FLAT, rate=50), "at 50 Hz, which no sound has"),
        (wav(np.array([np.nan]), bits=32, coding=3), "the sound reaches nan"),
        (wav(np.array([np.inf]), bits=64, coding=3), "the sound reaches inf"),
        (np.array([0, 32767.0]), "the sound reaches 32767; samples lie between -1 and 1: divide integers"),
        (np.zeros(0, np.float32), "the sound holds no samples"),
        (np.zeros((1, 8000)), r"shape \(time,\), or \(time, channels\) with at most 64; this one \(1, 8000\)"),
        (np.zeros((2, 2, 2)), r"this one \(2, 2, 2\): give several sounds as a list"),
        (np.zeros(3, np.int32), "holds floats from -1 to 1, or int16; this one holds int32"),
        (0.5, "this is float: a list is a batch of sounds"),
        ({"x": 1}, "this is dict"),
    ],
    ids=lambda value: "" if isinstance(value, str) else repr(value)[:30],
)
def test_what_is_no_sound_is_told(sample: Any, message: str) -> None:
    with pytest.raises(EdgepackError, match=message):
        sound()(sample)


def test_a_path_that_leads_to_no_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no sound at .*x\.wav"):
        sound()(tmp_path / "x.wav")
    with pytest.raises(InputError, match=r"is a folder, not a sound file"):
        sound()(tmp_path)


def test_a_sound_that_would_fill_the_memory_at_its_new_rate_is_refused() -> None:
    slow = wav(np.zeros(200_000), rate=1000, bits=8)
    with pytest.raises(StepError, match=r"lasts 200 s; at 768,000 Hz at most 78 s are taken: cut it"):
        sound(768_000)(slow)
    assert sound(768_000, 0.001)(slow).shape == (768,)
