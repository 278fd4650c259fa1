"""Calibration samples as they come: a few rows at a time, by input name, as often as they are asked for."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgepack.convert.samples import Samples, digest_of, joined, layout_of, row_hashes
from edgepack.runtime.errors import DataError
from edgepack.runtime.tensor import Array

Rows = Mapping[str, Array]

_SHORT_HASH = 8  # bytes that tell rows apart


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over all samples finds."""

    count: int
    digest: str
    """The SHA-256 that `Samples.digest` gives for the same samples."""
    rows: frozenset[bytes]
    """The beginning of each row's own SHA-256."""
    lowest: Mapping[str, float]
    """By input that holds numbers."""
    highest: Mapping[str, float]
    classes: Mapping[str, frozenset[int]]
    """The class numbers among the labels, by output that has such labels."""
    first: bytes
    """The SHA-256 of the first row as it came, by which a later pass is known to give the same samples."""


class Stream:
    """Samples that can be gone through again, in the same order.

    Args:
        open_pieces: Opens them from the start: some rows at a time, of any number.
        origin: Where they come from, for the report.
        lift: What is done to each piece first, such as preprocessing that is no part of the model any more.
        drawn_from: How many samples there were to draw these from; None where they are all.
    """

    def __init__(
        self,
        open_pieces: Callable[[], Iterator[Samples]],
        origin: str,
        *,
        lift: Callable[[Samples], Samples] | None = None,
        drawn_from: int | None = None,
    ) -> None:
        self._open_pieces = open_pieces
        self._lift = lift or (lambda samples: samples)
        self._tell: Callable[[int], None] = lambda seen: None
        self.origin = origin
        self.drawn_from = drawn_from

    @classmethod
    def of(cls, samples: Samples) -> "Stream":
        """Samples that are in memory."""
        size = samples.rows_at_once

        def pieces() -> Iterator[Samples]:
            for start in range(0, len(samples), size):
                yield samples.take(slice(start, start + size))

        return cls(pieces, samples.origin)

    def telling(self, tell: Callable[[int], None]) -> "Stream":
        """The same samples; `tell` is called with how many there were so far, while they are gone through."""
        told = copy.copy(self)
        told._tell = tell
        return told

    def pieces(self) -> Iterator[Samples]:
        """All samples, as many rows at a time as they come in."""
        return map(self._lift, self._open_pieces())

    def batches(self, rows: int, *, fill: bool = True) -> Iterator[Rows]:
        """All samples, `rows` at a time; rows of different sizes are never in one batch.

        Args:
            rows: How many make a batch.
            fill: Whether a batch that would be smaller is filled up with its last row, for what takes so many alone.

        Raises:
            DataError: Another pass gave another number of samples.
        """
        seen = 0
        waiting: dict[str, Array] = {}
        for piece in map(self._lift, self._again()):
            if waiting and not _alike(waiting, piece.inputs):
                yield _filled(waiting, rows) if fill else waiting
                waiting = {}
            waiting = _appended(waiting, piece.inputs)
            held = _held(waiting)
            for start in range(0, held - rows + 1, rows):
                yield {name: array[start : start + rows] for name, array in waiting.items()}
            left = held % rows
            waiting = {name: array[held - left :] for name, array in waiting.items()} if left else {}
            seen += len(piece)
            self._tell(seen)
        if waiting:
            yield _filled(waiting, rows) if fill else waiting
        if "survey" in vars(self):
            self._check_count(seen)

    @cached_property
    def survey(self) -> Survey:
        """Count, digest, ranges of inputs and classes of labels, from one pass that is made when this is first asked.

        Raises:
            DataError: A sample does not fit the model, or there are none.
        """
        hashes: list[bytes] = []
        lowest: dict[str, float] = {}
        highest: dict[str, float] = {}
        classes: dict[str, set[int]] = {}
        layout, labelled, first = "", None, b""
        for raw in self._open_pieces():
            first = first or _first_hash(raw)
            piece = self._lift(raw)
            layout = layout or layout_of(piece.inputs)
            labelled = _same_labels(labelled, piece)
            hashes += row_hashes(piece.inputs)
            for name, array in piece.inputs.items():
                if array.dtype.kind in "fiu" and array.size:
                    lowest[name] = min(lowest.get(name, np.inf), float(array.min()))
                    highest[name] = max(highest.get(name, -np.inf), float(array.max()))
            for name, labels in piece.labels.items():
                if labels.dtype.kind in "iu" and labels.size == len(piece):
                    classes.setdefault(name, set()).update(map(int, np.unique(labels)))
            self._tell(len(hashes))
        if not hashes:
            raise DataError("the calibration data holds no samples; give at least one, better a few hundred")
        return Survey(
            len(hashes), digest_of(layout, hashes), frozenset(one[:_SHORT_HASH] for one in hashes), lowest, highest,
            {name: frozenset(found) for name, found in classes.items()}, first,
        )  # fmt: skip

    @property
    def count(self) -> int:
        """How many samples there are."""
        return self.survey.count

    @property
    def digest(self) -> str:
        """A SHA-256 over names, dtypes, shapes and values of the inputs."""
        return self.survey.digest

    def repeats(self, samples: Samples) -> int:
        """How many rows of other samples are among these."""
        return sum(one[:_SHORT_HASH] in self.survey.rows for one in row_hashes(samples.inputs))

    def collect(self, most: int, most_bytes: int, seed: int = 0) -> Samples:
        """Some of the samples, in memory; where their rows have different sizes, those of one size.

        Args:
            most: At most so many.
            most_bytes: At most so large, but one.
            seed: Which of them, where they are not all.

        Raises:
            DataError: Another pass gave other samples.
        """
        count = self.count
        first = self._lift(next(self._again()))
        row_bytes = sum(array.nbytes for array in first.inputs.values()) // len(first)
        size = max(1, min(most, count, most_bytes // max(1, row_bytes)))
        chosen = np.sort(np.random.default_rng(seed).choice(count, size, replace=False))
        found: list[Samples] = []
        start = 0
        for piece in self._again():
            here = chosen[(chosen >= start) & (chosen < start + len(piece))] - start
            if len(here) and (not found or _alike(found[0].inputs, piece.inputs)):
                found.append(piece.take(here))
            start += len(piece)
        self._check_count(start)
        taken = sum(map(len, found))
        part = "" if taken == count else f"{taken:,} of the {count:,} samples of "
        return self._lift(joined(found, part + self.origin))

    def _again(self) -> Iterator[Samples]:
        """All samples as they come; raises `DataError` where these are others than those of the survey."""
        is_checked = "survey" not in vars(self)
        for piece in self._open_pieces():
            if not is_checked and _first_hash(piece) != self.survey.first:
                raise DataError(
                    "the calibration data gave other samples the second time: give the same at each call, and switch "
                    "shuffling off"
                )
            is_checked = True
            yield piece
        if not is_checked:
            self._check_count(0)

    def _check_count(self, seen: int) -> None:
        if seen != self.survey.count:
            raise DataError(
                f"the calibration data gave {self.survey.count:,} samples the first time and {seen:,} the next: "
                "return a new iterator at each call"
            )


def _first_hash(piece: Samples) -> bytes:
    return row_hashes(piece.take(slice(0, 1)).inputs)[0]


def _same_labels(before: frozenset[str] | None, piece: Samples) -> frozenset[str]:
    """The outputs that a piece has labels for; raises `DataError` where they are not those of the pieces before."""
    here = frozenset(piece.labels)
    if before is not None and here != before:
        odd = ", ".join(map(repr, sorted(here ^ before)))
        raise DataError(f"some of the calibration data has labels for {odd} and some has none: give all of it, or none")
    return here


def _held(waiting: Rows) -> int:
    return len(next(iter(waiting.values())))


def _alike(waiting: Rows, piece: Rows) -> bool:
    return all(array.shape[1:] == piece[name].shape[1:] for name, array in waiting.items())


def _appended(waiting: Rows, piece: Rows) -> dict[str, Array]:
    if not waiting:
        return dict(piece)
    return {name: np.concatenate([waiting[name], array]) for name, array in piece.items()}


def _filled(waiting: Rows, rows: int) -> Rows:
    left = rows - _held(waiting)
    return {name: np.concatenate([array, np.repeat(array[-1:], left, axis=0)]) for name, array in waiting.items()}
