"""The weather of Seattle as windows, split by time. No TensorFlow is needed here."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from edgepack.runtime.errors import DataError, MissingExtraError
from edgepack.train.data import Data
from edgepack.train.datasets import weather

# The test split as it was first published: a change here would make every published figure incomparable.
TEST_SPLIT_SHA256 = "e42c544ec711c7ad2b8ae6fea4bd335cdd59d235e554df1f8c110c3f6a2f8d2d"


@pytest.fixture(scope="module")
def data() -> Data:
    return weather.load()


def write_days(path: Path, days: int) -> Path:
    """Days that are told apart by their temperature, their number."""
    rows = [f"{day},{day},{day - 10},0.5,3" for day in range(days)]
    path.write_text("\n".join(["date,temp_max,temp_min,precipitation,wind", *rows]))
    return path


def test_the_test_split_never_changes(data: Data) -> None:
    assert data.name == "vega-seattle-weather"
    assert data.train.values.shape == (1_062, 28, 4)
    assert data.test.values.shape == (359, 28, 4)
    assert data.test.labels.shape == (359, 7)
    digest = hashlib.sha256(data.test.values.tobytes() + data.test.labels.tobytes()).hexdigest()
    assert digest == TEST_SPLIT_SHA256


def test_no_day_of_the_test_year_is_seen_in_training(tmp_path: Path) -> None:
    data = weather.load(write_days(tmp_path / "days.csv", 1_000))
    assert data.train.labels.max() == data.train.labels[-1, -1] == 1_000 - 365 - 1
    assert data.train.values[..., 0].max() < 1_000 - 365
    assert data.test.labels.min() == data.test.labels[0, 0] == 1_000 - 365
    assert data.test.labels.max() == 999


def test_a_window_is_followed_by_its_days(tmp_path: Path) -> None:
    data = weather.load(write_days(tmp_path / "days.csv", 800))
    for samples in (data.train, data.test):
        np.testing.assert_array_equal(np.diff(samples.values[:, :, 0], axis=1), 1)
        np.testing.assert_array_equal(samples.labels[:, 0], samples.values[:, -1, 0] + 1)
        np.testing.assert_array_equal(np.diff(samples.labels, axis=1), 1)
        np.testing.assert_array_equal(np.diff(samples.labels[:, 0]), 1)  # in the order of time


def test_too_few_days_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 729 days; the last 365 test, and as many must come before them"):
        weather.load(write_days(tmp_path / "days.csv", 729))


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    """A package of that name before the real one, with that file in it."""
    (folder / "vega_datasets" / "_data").mkdir(parents=True)
    (folder / "vega_datasets" / "__init__.py").touch()
    if content is not None:
        (folder / "vega_datasets" / "_data" / "seattle-weather.csv").write_bytes(content)
    monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize("content", [None, b"", b"date,temp_max\n"], ids=["missing", "empty", "other"])
def test_another_file_than_the_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    package(tmp_path, monkeypatch, content)
    with pytest.raises(DataError, match=r"weather of the installed vega_datasets has the digest .*install the release"):
        weather.load()


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vega_datasets", None)
    with pytest.raises(MissingExtraError, match=r"vega_datasets, which carries the weather, .* 'edgepack\[train\]'"):
        weather.load()
