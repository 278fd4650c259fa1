"""Hostile sample files, and packs that would turn samples or results against their user: each ends in plain words."""

import contextlib
import os
import pickle
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgepack
from edgepack.runtime.errors import EdgepackError, InputError, StepError
from edgepack.runtime.manifest import Step, Steps
from edgepack.runtime.pictures import picture_places
from edgepack.runtime.sample_files import read
from edgepack.runtime.steps import prepare
from edgepack.runtime.steps.raw import RawValue
from tests.runtime.test_steps_recording import CODINGS, wav
from tests.zoo import packs

SOUND = prepare([Step("sound", {"rate": 16000, "seconds": 1.0})])
SERIES = prepare([Step("series", {"length": 10, "channels": 2})])
ROW = RawValue("x", Step("row", {"columns": ["a", "b"]}))
SAMPLES = np.sin(np.arange(200) / 9)


def with_field(data: bytes, part: bytes, place: int, kind: str, value: int) -> bytes:
    """The file with one number of a part changed; the place counts from the part's name."""
    changed = bytearray(data)
    struct.pack_into(kind, changed, data.index(part) + place, value)
    return bytes(changed)


# sounds


@pytest.mark.parametrize("claim", [401, 2**20, 2**31, 2**32 - 2, 2**32 - 1], ids=str)
@pytest.mark.parametrize("part", [b"data", b"fmt ", b"LIST"], ids=str)
def test_a_part_that_claims_more_than_is_there_takes_no_memory(part: bytes, claim: int) -> None:
    data = with_field(wav(SAMPLES), part, 4, "<I", claim)
    tracemalloc.start()
    try:
        with pytest.raises(StepError, match=r"claims .* it is cut short or damaged"):
            SOUND(data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("place", "kind", "value"),
    [
        (8, "<H", 0), (8, "<H", 0xFFFE), (8, "<H", 85), (10, "<H", 0), (10, "<H", 65535), (12, "<I", 0), (12, "<I", 1),
        (12, "<I", 2**32 - 1), (20, "<H", 0), (20, "<H", 65535), (22, "<H", 0), (22, "<H", 7), (22, "<H", 64),
    ],
    ids=str,
)  # fmt: skip
def test_a_format_that_no_sound_has_is_refused(place: int, kind: str, value: int) -> None:
    with pytest.raises(StepError, match=r"is coded as format|which no sound has"):
        SOUND(with_field(wav(SAMPLES), b"fmt ", place, kind, value))


def test_a_sound_cut_anywhere_is_refused() -> None:
    data = wav(SAMPLES)
    for end in range(len(data)):
        with pytest.raises(StepError):
            SOUND(data[:end])


@pytest.mark.parametrize(("bits", "coding"), CODINGS.values(), ids=CODINGS)
def test_a_sound_of_any_damage_is_heard_or_refused(bits: int, coding: int) -> None:
    data = wav(SAMPLES[:20], bits=bits, coding=coding)
    heard = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(data))] = rng.integers(256)
        with contextlib.suppress(EdgepackError):
            found = SOUND(bytes(damaged))
            assert found.shape == (16000,)
            assert np.abs(found).max() <= 1
            heard += 1
    assert 0 < heard < 300


def test_parts_without_end_end() -> None:
    empty = b"LIST" + bytes(4)
    began = time.perf_counter()
    with pytest.raises(StepError, match="without a format and samples"):
        SOUND(b"RIFF" + bytes(4) + b"WAVE" + empty * 200_000)
    assert time.perf_counter() - began < 10


def test_a_slow_rate_does_not_become_hours_of_samples() -> None:
    began = time.perf_counter()
    assert SOUND(wav(np.zeros(1_000_000), rate=1000, bits=8)).shape == (16000,)
    assert time.perf_counter() - began < 10


# tables and series


@pytest.mark.parametrize(
    "text", ["," * 5_000_000, "1" * 5_000_000, '"\n",' * 1_500_000], ids=["cells", "digits", "quoted"]
)
def test_a_line_without_end_is_refused_before_it_is_cut(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    for reader in (SERIES, lambda file: read((ROW,), file)):
        with pytest.raises(StepError, match=r"holds a line of more than 4,000,000 characters|cannot be read as CSV"):
            reader(path)


def test_a_million_columns_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(",".join(["1"] * 1_000_000), encoding="utf-8")
    with pytest.raises(StepError, match="has 1,000,000 values, separated by commas; a row has 2"):
        read((ROW,), tmp_path / "x.csv")
    with pytest.raises(StepError, match="has 1,000,000 values; a step of the series has 2"):
        SERIES(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("name", "size"),
    [("x.csv", 64_000_001), ("x.npy", 80_001_001), ("x.wav", 128_000_001)],
    ids=str,
)
def test_a_file_that_is_too_large_is_never_read(tmp_path: Path, name: str, size: int) -> None:
    path = tmp_path / name
    path.touch()
    os.truncate(path, size)  # holes: nothing is written
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"bytes; a (series|sound) file of at most .* is read"):
            (SOUND if name.endswith("wav") else SERIES)(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


class Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, ("pwned",)


def test_nothing_in_an_array_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.array([[Bomb(), 1]], object), allow_pickle=True)
    Path("b.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("a.npy", "b.npy"):
        with pytest.raises(StepError, match=r"is no \.npy file of plain numbers"):
            SERIES(name)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("text", ["=1+1,2\n", "1,@SUM(A1)\n", "__import__('os'),1\n", "1_0,2\n", "0x10,2\n"], ids=repr)
def test_what_a_spreadsheet_would_reckon_is_no_number(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    with pytest.raises(StepError, match=r"x\.csv:1"):
        read((ROW,), tmp_path / "x.csv")


def test_tables_of_any_bytes_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for seed in range(200):
        rng = np.random.default_rng(seed)
        path.write_bytes(bytes(rng.choice(np.frombuffer(b'0123456789.,,,"\n\n\r\0\xffe-;ab', np.uint8), 60)))
        for reader in (SERIES, lambda file: read((ROW,), file)):
            with contextlib.suppress(EdgepackError):
                reader(path)


# packs


def hostile(folder: Path, inputs: list[Any], outputs: list[Any]) -> Path:
    manifest, files = packs.mlp()
    steps = msgspec.convert({"inputs": {"x": inputs}, "outputs": {"y": outputs}}, Steps)
    return packs.write(folder / "p.edgepack", (msgspec.structs.replace(manifest, steps=steps), files))


@pytest.mark.parametrize(
    "step",
    [
        {"step": "row", "options": {"columns": {"asset": "../outside"}}},
        {"step": "row", "options": {"columns": [["a"] * 4]}},
        {"step": "sound", "options": {"rate": 10**12, "seconds": 10**12}},
        {"step": "series", "options": {"length": 10**12, "channels": 10**12}},
        {"step": "row", "options": {"__class__": ["a"]}},
        {"step": "sound", "options": {"rate": 16000, "path": "/etc/passwd"}},
        {"step": "picture", "options": {"height": 10**9, "width": 10**9}},
    ],
    ids=lambda value: str(value["options"])[:40],
)  # fmt: skip
def test_options_that_ask_for_too_much_are_refused_when_the_pack_is_opened(tmp_path: Path, step: Any) -> None:
    with pytest.raises(EdgepackError):
        edgepack.load(hostile(tmp_path, [step], []))


@pytest.mark.parametrize(
    "step",
    [
        {"step": "sound", "options": {"rate": 16000, "seconds": 3600}},
        {"step": "series", "options": {"length": 10**7, "channels": 1}},
        {"step": "row", "options": {"columns": ["a"]}},
        {"step": "picture", "options": {"height": 8000, "width": 8000}},
    ],
    ids=lambda value: value["step"],
)  # fmt: skip
def test_a_sample_that_the_model_cannot_take_is_refused(tmp_path: Path, step: Any) -> None:
    with edgepack.load(hostile(tmp_path, [step], [])) as session, pytest.raises(EdgepackError):
        session.predict(np.zeros(1, np.float32))


def test_a_picture_of_a_hostile_output_replaces_no_link_that_leads_elsewhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    os.symlink(secret, tmp_path / "out" / "s-secret.png")
    with pytest.raises(EdgepackError, match="exists already"):
        picture_places(["s"], ["secret"], tmp_path / "out", force=False)
    (place,) = picture_places(["s"], ["../../secret"], tmp_path / "out", force=True)
    assert place["../../secret"] == tmp_path / "out" / "s-secret.png"
