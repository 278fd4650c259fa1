"""Samples are checked against the model before anything is built on them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert.samples import random_samples, read_samples
from edgepack.convert.source import Source, open_source
from edgepack.runtime.errors import DataError, MissingFileError
from tests.convert.conftest import Toy

_IMAGES = np.zeros((5, 8, 8, 1), np.float32)


@pytest.fixture(scope="module")
def source(toy: Toy) -> Source:
    return open_source(toy.model)


def _saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("names", [("image", "quadrant"), ("x", "y")], ids=["the model's names", "x and y"])
def test_a_file_is_read_by_names(source: Source, tmp_path: Path, names: tuple[str, str]) -> None:
    path = _saved(tmp_path / "data.npz", **{names[0]: _IMAGES, names[1]: np.arange(5) % 4})
    samples = read_samples(path, source, "evaluation")
    assert len(samples) == 5
    assert samples.labels["quadrant"].tolist() == [0, 1, 2, 3, 0]
    assert samples.origin == "data.npz"


@pytest.mark.parametrize(
    "given", [_IMAGES, {"image": _IMAGES}, (_IMAGES, np.zeros(5, int))], ids=["array", "dict", "pair"]
)
def test_arrays_in_memory_are_taken(source: Source, given: Any) -> None:
    assert len(read_samples(given, source, "calibration")) == 5


def test_the_digest_tells_other_values_apart(source: Source) -> None:
    assert (
        read_samples(_IMAGES, source, "calibration").digest != read_samples(_IMAGES + 1, source, "calibration").digest
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image": np.zeros((5, 9, 8, 1), np.float32)}, r"shape \(5, 9, 8, 1\); the model takes \(any, 8, 8, 1\)"),
        ({"image": np.zeros((5, 8, 8), np.float32)}, r"add the missing axis: np.expand_dims\(x, -1\)"),
        ({"image": np.zeros((5, 8, 8, 1), np.uint8)}, "element type uint8; the model takes float32"),
        ({"picture": _IMAGES}, r"holds 'picture'; the model's inputs are 'image'"),
        ({}, r"holds nothing; the model's inputs are 'image'"),
        ({"image": _IMAGES[:0]}, "holds no samples"),
        ({"image": np.full((2, 8, 8, 1), np.nan, np.float32)}, "holds NaN or infinity"),
        ({"image": _IMAGES, "quadrant": np.zeros(4, int)}, r"labels for 'quadrant' have shape \(4,\) for 5 samples"),
        ({"image": _IMAGES, "quadrant": np.array(list("abcde"))}, "class numbers or values"),
    ],
    ids=[
        "another size",
        "an axis short",
        "pixels not scaled",
        "another name",
        "nothing",
        "no rows",
        "NaN",
        "too few labels",
        "words",
    ],
)
def test_samples_that_do_not_fit_are_refused(source: Source, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_samples(given, source, "calibration")


def test_a_missing_file_is_named(source: Source, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no calibration data at .*no.npz"):
        read_samples(tmp_path / "no.npz", source, "calibration")


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04 cut"], ids=["empty", "text", "cut zip"])
def test_a_file_that_is_no_npz_is_refused(source: Source, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "d.npz").write_bytes(data)
    with pytest.raises(DataError, match=r"d.npz is not a .npz file of plain arrays"):
        read_samples(tmp_path / "d.npz", source, "evaluation")


def test_pickled_arrays_are_never_executed(source: Source, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", image=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="plain arrays"):
        read_samples(tmp_path / "d.npz", source, "evaluation")


def test_random_samples_fit_the_model_and_say_what_they_are(source: Source) -> None:
    samples = random_samples(source, 7)
    assert samples.inputs["image"].shape == (7, 8, 8, 1)
    assert "random" in samples.origin
