"""A stream gives the same samples again and again, a few at a time."""

from collections.abc import Iterator

import numpy as np
import pytest

from edgepack.convert.calibrate import Stream
from edgepack.convert.samples import Samples
from edgepack.runtime.errors import DataError


def _samples(count: int, first: int = 0, length: int = 3) -> Samples:
    rows = np.arange(first, first + count, dtype=np.float32)
    return Samples({"x": np.repeat(rows[:, None], length, axis=1)}, {"y": np.arange(count) % 4}, "memory")


def _in_pieces(*sizes: int) -> Stream:
    starts = np.cumsum([0, *sizes])

    def pieces() -> Iterator[Samples]:
        for start, size in zip(starts, sizes, strict=False):
            yield _samples(size, int(start))

    return Stream(pieces, "pieces")


def test_batches_have_the_size_that_was_asked() -> None:
    batches = [batch["x"][:, 0].tolist() for batch in _in_pieces(3, 1, 4).batches(3)]
    assert batches == [[0, 1, 2], [3, 4, 5], [6, 7, 7]]
    assert [len(batch["x"]) for batch in _in_pieces(3, 1, 4).batches(3, fill=False)] == [3, 3, 2]


def test_rows_of_other_sizes_are_never_in_one_batch() -> None:
    stream = Stream(lambda: iter([_samples(3), _samples(2, 3, length=5)]), "two lengths")
    assert [batch["x"].shape for batch in stream.batches(2)] == [(2, 3), (2, 3), (2, 5)]


@pytest.mark.parametrize("sizes", [(10,), (1, 9), (3, 3, 4)], ids=str)
def test_the_digest_is_that_of_the_samples_together(sizes: tuple[int, ...]) -> None:
    together = Stream.of(_samples(10))
    stream = _in_pieces(*sizes)
    assert (stream.count, stream.digest) == (10, _samples(10).digest)
    assert stream.digest == together.digest


def test_a_survey_finds_ranges_and_classes() -> None:
    survey = _in_pieces(4, 2).survey
    assert (survey.lowest, survey.highest) == ({"x": 0.0}, {"x": 5.0})
    assert survey.classes == {"y": {0, 1, 2, 3}}


def test_rows_that_are_among_them_are_counted() -> None:
    assert _in_pieces(5, 5).repeats(_samples(4, 8)) == 2


def test_some_of_the_samples_are_collected_with_a_seed() -> None:
    stream = _in_pieces(50, 50)
    some = stream.collect(10, 1_000_000, seed=3)
    assert len(some) == 10
    assert some.origin == "10 of the 100 samples of pieces"
    assert some.digest == stream.collect(10, 1_000_000, seed=3).digest != stream.collect(10, 1_000_000, seed=4).digest
    assert len(stream.collect(50, 12 * 7)) == 7  # of 12 bytes each
    assert stream.collect(1_000, 1_000_000).digest == stream.digest


def test_whoever_asks_is_told_how_far_it_is() -> None:
    told: list[int] = []
    list(_in_pieces(3, 4).telling(told.append).batches(2))
    assert told == [3, 7]


def test_samples_that_run_out_the_second_time_are_refused() -> None:
    once = iter([_samples(3)])
    stream = Stream(lambda: once, "an iterator")
    assert stream.count == 3
    with pytest.raises(DataError, match="gave 3 samples the first time and 0 the next: return a new iterator"):
        list(stream.batches(1))


def test_no_samples_are_refused() -> None:
    with pytest.raises(DataError, match="holds no samples"):
        assert Stream(lambda: iter(()), "nothing").survey


def test_of_rows_of_different_sizes_those_of_one_size_are_collected() -> None:
    def pieces() -> Iterator[Samples]:
        for size in (4, 6, 4, 4):
            yield Samples({"x": np.full((2, size), size, np.float32)}, {}, "memory")

    found = Stream(pieces, "memory").collect(8, 10**6)
    assert found.inputs["x"].shape == (6, 4)
    assert found.origin == "6 of the 8 samples of memory"
