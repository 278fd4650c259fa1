"""All workers' counts as one: sums by model and version, what runs where, and which processes live."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgepack.runtime.serve import count_slots as slots
from edgepack.runtime.serve import recent
from edgepack.runtime.serve.count_labels import Key, Labels
from edgepack.runtime.serve.counts import GONE_S, Reading


class Totals(NamedTuple):
    """Sums over all workers."""

    counts: dict[Key, npt.NDArray[np.int64]]
    """Every slot, by model and version."""
    running: list[Labels]
    """What is ready in a living worker, and on what it runs there."""
    living: dict[int, Reading]
    """Workers by their number; where an old one ends beside its successor, the successor."""


def totals(readings: list[Reading], now: int) -> Totals:
    """Sum readings; gauges of processes that live no more count nothing, and versions long gone are left out.

    They are left out of all workers at once: a sum that falls would be read as a restart.
    """
    counts: dict[Key, npt.NDArray[np.int64]] = {}
    running: set[Labels] = set()
    for reading in readings:
        for record in reading.records:
            found = record.counts.copy()
            if not reading.alive:
                found[slots.GAUGES] = 0
            elif found[slots.LOADED]:
                running.add(record.labels)
            key = (record.labels.model, record.labels.version)
            if key in counts:
                gone = max(found[slots.GONE], counts[key][slots.GONE])
                found += counts[key]
                found[slots.GONE] = gone
            counts[key] = found
    told = {key: found for key, found in counts.items() if not key[1] or _is_told(found, now)}
    oldest_first = sorted((reading for reading in readings if reading.alive), key=lambda reading: reading.started_s)
    return Totals(told, sorted(running), {reading.worker: reading for reading in oldest_first})


def _is_told(counts: npt.NDArray[np.int64], now: int) -> bool:
    return bool(counts[slots.LOADED]) or int(counts[slots.GONE]) >= now - GONE_S


def statistics(readings: list[Reading], now: int) -> list[dict[str, Any]]:
    """Figures of each version that is ready or was just asked, and of what failed before a version was chosen."""
    minutes: dict[Key, recent.Window] = {}
    for reading in readings:
        for record in reading.records:
            key = (record.labels.model, record.labels.version)
            minutes[key] = minutes.get(key, 0) + recent.window(record.recent, now)
    found = []
    for (model, version), counts in sorted(totals(readings, now).counts.items()):
        minute = minutes[model, version]
        failures = int(counts[slots.FAILED : slots.ROWS].sum())
        if counts[slots.LOADED] or minute.any() or (failures and not version):
            found.append(
                {
                    "model": model,
                    "version": version,
                    "requests": int(counts[: slots.FAILED].sum()) + failures,
                    "failures": failures,
                    "rows": int(counts[slots.ROWS]),
                    **recent.figures(minute),
                }
            )
    return found
