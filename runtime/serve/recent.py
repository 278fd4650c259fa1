"""The last minute of one version: how long each answered request took, second by second, in fine steps.

A row for each second holds the second itself and one count for each step of time; the steps grow by a ninth, from 8 µs
to 17 s, so that a percentile is right within that. A second's row is used again a minute later.
"""

from bisect import bisect_left
from typing import Any

import numpy as np
import numpy.typing as npt

SECONDS = 60
_BOUNDS_NS = tuple(round(2 ** (13 + eighth / 8)) for eighth in range(21 * 8 + 1))
_STEPS = len(_BOUNDS_NS) + 1
ROW = 1 + _STEPS
ROWS = 64  # more than are read: the second that runs now is written beside them
WORDS = ROWS * ROW
"""32-bit words of one version."""

_NOTHING = memoryview(bytes(4 * _STEPS)).cast("I")
_EDGES_US = np.array([0.0, *_BOUNDS_NS, 2 * _BOUNDS_NS[-1]]) / 1000

Window = npt.NDArray[np.int64]


def add(words: "memoryview[int]", second: int, taken_ns: int) -> None:
    """Count one answer that took so long in `second`."""
    row = second % ROWS * ROW
    if words[row] != second:
        words[row + 1 : row + ROW] = _NOTHING
        words[row] = second
    words[row + 1 + bisect_left(_BOUNDS_NS, taken_ns)] += 1


def window(words: npt.NDArray[np.uint32], now: int) -> Window:
    """Counts `(SECONDS, steps)` of the whole seconds before `now`, newest last; windows of several workers add up."""
    rows = words.reshape(ROWS, ROW)
    seconds = np.arange(now - SECONDS, now)
    found = rows[seconds % ROWS]
    found = np.where(found[:, :1] == seconds[:, None], found, 0)
    return found[:, 1:].astype(np.int64)


def figures(counts: Window) -> dict[str, Any]:
    """What a window comes to: percentiles of the minute, and each second's answers and median; None without any."""
    minute = counts.sum(axis=0)
    return {
        **{f"p{percent}_us": _percentile_us(minute, percent) for percent in (50, 90, 99)},
        "per_second": counts.sum(axis=1).tolist(),
        "latency_p50_us": [_percentile_us(second, 50) for second in counts],
    }


def _percentile_us(counts: npt.NDArray[np.int64], percent: float) -> float | None:
    """The time that `percent` of the answers did not exceed, as if they lay evenly inside their step."""
    up_to = counts.cumsum()
    if not up_to[-1]:
        return None
    rank = percent / 100 * up_to[-1]
    step = int(np.searchsorted(up_to, rank))
    before = up_to[step] - counts[step]
    share = (rank - before) / counts[step]
    return round(float(_EDGES_US[step] + share * (_EDGES_US[step + 1] - _EDGES_US[step])), 1)
