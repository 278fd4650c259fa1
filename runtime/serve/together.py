"""Several requests in one run: their rows are joined, and each gets its own back, as arrays of its own."""

import contextlib
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from edgepack.runtime.errors import EngineError
from edgepack.runtime.tensor import Array

Feeds = dict[str, Array]
Run = Callable[[Feeds], dict[str, Array]]
Answer = dict[str, Array] | Exception


def group_of(feeds: Mapping[str, Array]) -> Hashable:
    """What requests have in common that share a run: names, element types and the shape of a row."""
    return tuple((name, array.dtype, array.shape[1:]) for name, array in feeds.items())


def run_together(run: Run, requests: Sequence[Feeds], rows: Sequence[int]) -> list[Answer]:
    """Run requests of one group at once; where that fails, one by one, so that only the bad ones fail.

    Args:
        run: Runs tensors with any number of rows.
        requests: Their tensors.
        rows: How many rows each has.

    Returns:
        For each request its outputs, or why it failed.
    """
    if len(requests) > 1:
        with contextlib.suppress(Exception):  # whatever it is: the requests that are to blame are told by themselves
            return _at_once(run, requests, rows)
    return [_alone(run, feeds) for feeds in requests]


def joined(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The outputs of a request whose rows ran in several parts."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _at_once(run: Run, requests: Sequence[Feeds], rows: Sequence[int]) -> list[Answer]:
    """The answers of one run; raises where it fails, or gives other than a row for each row."""
    joined = {name: np.concatenate([feeds[name] for feeds in requests]) for name in requests[0]}
    outputs = run(joined)
    if any(array.shape[:1] != (sum(rows),) for array in outputs.values()):
        raise EngineError("the model gives another number of rows than it was given")
    answers: list[Answer] = []
    start = 0
    for count in rows:
        answers.append({name: array[start : start + count].copy() for name, array in outputs.items()})
        start += count
    return answers


def _alone(run: Run, feeds: Feeds) -> Answer:
    try:
        return run(feeds)
    except Exception as error:  # noqa: BLE001 - whatever it is goes to the request that it is the answer of
        return error
