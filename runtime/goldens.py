"""Does a file give the golden answers here? They are the Keras model's own, on a few real samples of the pack."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
import numpy as np

from edgepack.runtime.compare import Parity, compare
from edgepack.runtime.errors import EdgepackError
from edgepack.runtime.tensor import Array

Golden = tuple[Mapping[str, Array], Mapping[str, Array]]
"""Inputs and right outputs of a few rows, by name."""

_PIECE = 2
_REDUCED = 5e-2  # of the largest element: what bfloat16 and float16 make of a deep net, where that was allowed


class Answer(msgspec.Struct, frozen=True):
    """What came out."""

    reason: str
    """Why the file is not to be used; empty where it may."""
    parity: Parity | None = None
    """Of the golden batch that is farthest off; None where one could not be run."""


def check(
    run: Callable[[Mapping[str, Array]], Mapping[str, Array]],
    goldens: Sequence[Golden],
    tolerance: float,
    *,
    reduced: bool = False,
    seconds: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Answer:
    """Run golden samples and hold the answers against the right ones.

    Args:
        run: Takes inputs and gives outputs, by name.
        goldens: Batches of a few rows.
        tolerance: How far an element may be off, absolute.
        reduced: Whether float32 may be computed in fewer bits here.
        seconds: How long it may take, where rows can be run apart: the first two are run in any case, as one alone
            does not tell an answer from a constant. None runs them all.
        clock: Seconds from any beginning.
    """
    if any(not inputs or not wanted or not all(map(np.size, (*inputs.values(), *wanted.values())))
           for inputs, wanted in goldens):  # fmt: skip
        return Answer("the golden samples hold nothing to compare; build the pack again")
    parities: list[Parity] = []
    results: list[tuple[Mapping[str, Array], Mapping[str, Array]]] = []
    end = None if seconds is None else clock() + seconds
    for inputs, wanted in goldens if end is None else _in_pairs(goldens):
        if results and end is not None and clock() > end:
            break
        try:
            found = run(inputs)
            parities.append(compare(wanted, found))
        except (EdgepackError, ValueError) as error:
            return Answer(f"it fails on the golden samples here: {error}")
        results.append((wanted, found))
    worst = max(parities, key=lambda parity: parity.max_abs)
    if reduced:
        tolerance = max(tolerance, _REDUCED * _largest(wanted for _, wanted in goldens))
    return Answer("" if worst.max_abs <= tolerance else _reason(worst, tolerance, results), worst)


def _in_pairs(goldens: Sequence[Golden]) -> Iterator[Golden]:
    """The batches in pieces of two rows."""
    for inputs, wanted in goldens:
        lengths = {np.shape(array)[:1] for array in (*inputs.values(), *wanted.values())}
        if len(lengths) > 1 or () in lengths:  # no rows: they are run as they are
            yield inputs, wanted
            continue
        rows = len(next(iter(inputs.values())))
        for start in range(0, rows, _PIECE):
            yield _rows(inputs, start), _rows(wanted, start)


def _rows(arrays: Mapping[str, Array], start: int) -> dict[str, Array]:
    return {name: array[start : start + _PIECE] for name, array in arrays.items()}


def _reason(worst: Parity, tolerance: float, results: Sequence[tuple[Mapping[str, Array], Mapping[str, Array]]]) -> str:
    """What is wrong, in the words that help most."""
    floats = [array for _, found in results for array in found.values() if array.dtype.kind == "f"]
    if any(np.isnan(array).any() for array in floats):
        return "it gives NaN on the golden samples here"
    if not any(array.any() for _, found in results for array in found.values()):
        return "it gives nothing but zeros on the golden samples here"
    if all(_constant(found[name]) and not _constant(wanted[name]) for wanted, found in results for name in wanted):
        return "it gives the same answer to every golden sample here"
    return f"it is {worst.max_abs:.3g} away from the golden samples here, allowed {tolerance:.3g}"


def _constant(array: Array) -> bool:
    return bool(array.ndim) and bool((array == array[:1]).all())


def _largest(outputs: Iterable[Mapping[str, Array]]) -> float:
    arrays = [array for found in outputs for array in found.values() if array.dtype.kind == "f"]
    return max((float(np.abs(array).max(initial=0.0)) for array in arrays), default=0.0)
