"""Calibration samples come from many places, and look the same whatever that is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert.calibrate import Stream, open_stream
from edgepack.convert.samples import read_samples
from edgepack.convert.source import Source, open_source
from edgepack.runtime.errors import DataError, InputError
from tests.convert.conftest import Toy

_IMAGES = np.random.default_rng(0).random((30, 8, 8, 1)).astype(np.float32)
_LABELS = np.arange(30) % 4


@pytest.fixture(scope="module")
def source(toy: Toy) -> Source:
    return open_source(toy.model)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "images.npz"
    np.savez_compressed(path, image=_IMAGES, quadrant=_LABELS, more=np.zeros(3))
    return path


def _rows() -> Iterator[tuple[np.ndarray, int]]:
    yield from zip(_IMAGES, _LABELS.tolist(), strict=True)


def _batches() -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, 30, 7):
        yield {"image": _IMAGES[start : start + 7], "quadrant": _LABELS[start : start + 7]}


class _DataSet:
    """What can be iterated again and again, as tf.data's and PyTorch's data sets."""

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield _IMAGES[:16], _LABELS[:16]
        yield _IMAGES[16:], _LABELS[16:]


_SAME: dict[str, Any] = {
    "a dict": {"image": _IMAGES, "quadrant": _LABELS},
    "a pair": (_IMAGES, _LABELS),
    "rows": _rows,
    "batches": _batches,
    "a data set": _DataSet(),
    "lists": {"x": _IMAGES.tolist(), "y": _LABELS.tolist()},
}


@pytest.mark.parametrize("given", _SAME.values(), ids=_SAME.keys())
def test_every_source_gives_what_the_file_does(source: Source, file: Path, given: Any) -> None:
    stream, wanted = open_stream(given, source), read_samples(file, source, "calibration")
    assert (stream.count, stream.digest) == (30, wanted.digest)
    assert stream.survey.classes == {"quadrant": {0, 1, 2, 3}}


def test_a_file_streams_what_it_holds(source: Source, file: Path) -> None:
    stream = open_stream(file, source)
    assert stream.digest == read_samples(file, source, "calibration").digest
    assert (stream.origin, stream.drawn_from) == ("images.npz", None)


def _drawn(stream: Stream) -> list[float]:
    return [float(batch["image"][0, 0, 0, 0]) for batch in stream.batches(1)]


def test_some_are_drawn_with_a_seed_from_files_and_memory_alike(source: Source, file: Path) -> None:
    found = [_drawn(open_stream(given, source, most=6, seed=1)) for given in (file, {"image": _IMAGES}, file)]
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 6
    assert found[0] != _drawn(open_stream(file, source, most=6, seed=2))
    assert open_stream(file, source, most=6).drawn_from == 30


def test_of_a_function_the_first_are_taken_even_if_it_never_ends(source: Source) -> None:
    def endless() -> Iterator[np.ndarray]:
        while True:
            yield _IMAGES[:4]

    stream = open_stream(endless, source, most=6)
    assert (stream.count, stream.origin) == (6, "function endless")
    assert _drawn(stream) == [float(image[0, 0, 0]) for image in [*_IMAGES[:4], *_IMAGES[:2]]]


_ODD: list[tuple[Any, str]] = [
    ({"picture": _IMAGES}, r"holds 'picture'; the model's inputs are 'image'"),
    ({"image": _IMAGES[:0]}, "holds no samples"),
    ({"image": np.zeros((5, 9, 8, 1), np.float32)}, r"shape \(5, 9, 8, 1\); the model takes \(any, 8, 8, 1\)"),
    ({"image": np.full((2, 8, 8, 1), np.nan, np.float32)}, "holds NaN or infinity"),
    ({"image": _IMAGES, "quadrant": np.zeros(4, int)}, r"labels for 'quadrant' have shape \(4,\) for 30 samples"),
    ({"image": _IMAGES[:2], "quadrant": np.array(["a", "b"])}, "class numbers or values"),
    ({"image": np.float32(1)}, "does not fit"),
    (_rows(), "can be gone through once: give the function that makes it"),
    (7, "is a int; it takes a .npz file, a folder, arrays by input name, or a function"),
    (lambda: 7, "gave a int as calibration data; it returns an iterator"),
    (lambda: iter(()), "holds no samples"),
    (lambda: iter([1.5]), "a number for a batch"),
    (lambda: iter([_IMAGES[0, :4]]), "does not fit"),
]


@pytest.mark.parametrize(("given", "message"), _ODD, ids=[message[:24] for _, message in _ODD])
def test_an_odd_source_is_one_clear_line(source: Source, given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        assert open_stream(given, source).survey


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": _IMAGES[:0]}, "holds no samples"),
        ({"image": _IMAGES, "quadrant": np.zeros(4, int)}, r"labels for 'quadrant' have shape \(4,\) for 30 samples"),
        ({"image": _IMAGES.astype(np.uint8)}, "element type uint8"),
        ({"image": np.where(np.arange(30)[:, None, None, None] == 29, np.inf, _IMAGES)}, "NaN or infinity"),
    ],
    ids=["empty", "too few labels", "another type", "infinity at the end"],
)
def test_an_odd_file_is_one_clear_line(
    source: Source, tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    path = tmp_path / "odd.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=message):
        assert open_stream(path, source).survey


@pytest.mark.parametrize(("most", "seed"), [(0, 0), (5, -1)], ids=["no samples", "a seed below zero"])
def test_numbers_that_cannot_be_are_refused(source: Source, most: int, seed: int) -> None:
    with pytest.raises(InputError, match=r"it takes 1 or more|from 0 is taken"):
        open_stream(_IMAGES, source, most=most, seed=seed)


def test_a_list_of_arrays_is_one_for_each_input(source: Source) -> None:
    """As TFLite's own converter takes it."""
    stream = open_stream(lambda: ([image[np.newaxis]] for image in _IMAGES), source)
    assert stream.digest == open_stream(_rows, source).digest


def test_an_empty_batch_among_others_is_passed_over(source: Source) -> None:
    assert open_stream(lambda: iter([_IMAGES[:4], _IMAGES[:0], _IMAGES[4:]]), source).count == 30


def test_an_array_of_objects_that_nobody_asks_for_does_no_harm(source: Source, tmp_path: Path) -> None:
    np.savez(tmp_path / "more.npz", image=_IMAGES, names=np.array(["a", None], dtype=object))
    assert open_stream(tmp_path / "more.npz", source).count == 30


def test_an_iterator_that_is_used_up_is_told_of(source: Source) -> None:
    once = iter([_IMAGES])
    stream = open_stream(lambda: once, source)
    assert stream.count == 30
    with pytest.raises(DataError, match="30 samples the first time and 0 the next: return a new iterator"):
        stream.collect(5, 10**6)


def test_samples_in_another_order_are_told_of(source: Source) -> None:
    rng = np.random.default_rng(0)
    stream = open_stream(lambda: iter(_IMAGES[rng.permutation(30)]), source)
    assert stream.count == 30
    with pytest.raises(DataError, match=r"other samples the second time: .* switch shuffling off"):
        list(stream.batches(4))


@pytest.mark.parametrize("labelled", [0, 1], ids=["first", "second"])
def test_labels_for_some_of_the_samples_alone_are_told_of(source: Source, labelled: int) -> None:
    def batches() -> Iterator[Any]:
        for number in range(2):
            part = slice(15 * number, 15 * number + 15)
            yield (_IMAGES[part], _LABELS[part]) if number == labelled else _IMAGES[part]

    with pytest.raises(DataError, match="has labels for 'quadrant' and some has none: give all of it, or none"):
        open_stream(batches, source).survey  # noqa: B018 - that is the pass
