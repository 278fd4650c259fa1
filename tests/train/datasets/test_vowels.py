"""The Japanese vowels that sktime ships. No TensorFlow is needed here."""

import hashlib
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgepack.runtime.errors import DataError, InputError, MissingExtraError
from edgepack.train.data import Data
from edgepack.train.datasets.vowels import load_vowels, read_recordings

# The test part as it was first published: a change here would make every published accuracy incomparable.
TEST_PART_SHA256 = "4aafe40c04b18eb8d2704d3ded52b2677e6e15b9aed4b493bd787b3fb46bdd59"


@pytest.fixture(scope="module")
def vowels() -> Data:
    return load_vowels()


def _files() -> list[bytes]:
    spec = find_spec("sktime")
    assert spec is not None
    [place] = spec.submodule_search_locations or ()
    folder = Path(place, "datasets", "data", "JapaneseVowels")
    return [(folder / f"JapaneseVowels_{part}.ts").read_bytes() for part in ("TRAIN", "TEST")]


def test_recordings_are_in_the_parts_that_uci_published(vowels: Data) -> None:
    assert vowels.train.values.shape == (270, 29, 12)
    assert vowels.test.values.shape == (370, 29, 12)
    assert vowels.train.values.dtype == np.float32
    assert np.bincount(vowels.train.labels).tolist() == [30] * 9
    assert np.bincount(vowels.test.labels).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]


def test_the_test_part_never_changes(vowels: Data) -> None:
    found = hashlib.sha256(vowels.test.values.tobytes() + vowels.test.labels.tobytes()).hexdigest()
    assert found == TEST_PART_SHA256


def test_frames_come_first_and_padding_after_them(vowels: Data) -> None:
    for part in (vowels.train, vowels.test):
        is_frame = part.values.any(axis=2)
        lengths = is_frame.sum(axis=1)
        assert (lengths.min(), lengths.max()) == (7, 29) or part is vowels.train
        np.testing.assert_array_equal(is_frame, np.arange(29) < lengths[:, np.newaxis])


def test_a_recording_is_what_its_line_says(vowels: Data) -> None:
    line = _files()[0].decode().split("@data\n")[1].splitlines()[0]
    channels = [[float(number) for number in channel.split(",")] for channel in line.split(":")[:-1]]
    wanted = np.array(channels, np.float32).T
    np.testing.assert_array_equal(vowels.train.values[0, : len(wanted)], wanted)
    assert not vowels.train.values[0, len(wanted) :].any()


def test_sktime_itself_is_not_imported(vowels: Data) -> None:
    assert "sktime" not in sys.modules


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text.replace(b"1.860936", b"1.860937", 1)])
def test_other_recordings_than_the_known_are_refused(change: object) -> None:
    train, test = _files()
    with pytest.raises(DataError, match=r"digest .*…, not c755c99a2ac2…; install the release"):
        read_recordings(change(train), test)  # type: ignore[operator]


def test_a_missing_sktime_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(MissingExtraError, match=r"sktime, which carries the Japanese vowels, .* 'edgepack\[train\]'"):
        load_vowels()


def test_a_sktime_without_the_recordings_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sktime").mkdir()
    (tmp_path / "sktime" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"no Japanese vowels .*pip install sktime=="):
        load_vowels()


def test_a_file_of_the_user_is_refused() -> None:
    with pytest.raises(InputError, match=r"mine\.npz cannot be taken: .* leave it out"):
        load_vowels(Path("mine.npz"))
