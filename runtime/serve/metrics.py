"""What is counted while models are served: cheap where it happens, summed over all workers where it is read."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgepack.runtime.serve import count_slots as slots
from edgepack.runtime.serve.count_labels import Labels
from edgepack.runtime.serve.count_slots import ANSWERED, ROWS
from edgepack.runtime.serve.counts import Counts
from edgepack.runtime.serve.exposition import exposition
from edgepack.runtime.serve.messages import Spent
from edgepack.runtime.serve.recent import add
from edgepack.runtime.serve.totals import statistics, totals

# Plain tuples, in the order in which `answered` has the values; tensors are neither made of a sample nor made readable.
_OF_TENSORS = tuple((at, bounds) for at, bounds in (slots.TOTAL, slots.QUEUE, slots.INFER, slots.RESPONSE, slots.BATCH))
_OF_SAMPLES = (*_OF_TENSORS, *((at, bounds) for at, bounds in (slots.PRE, slots.POST)))


class Metrics:
    """Counts of this process, and sums over all workers of a server. It may be called from any thread.

    A request costs two or three microseconds. Names that clients send never become labels: what is asked of a model
    that nobody serves counts under an empty model, what is asked of an unknown version under an empty version.

    Args:
        folder: Where the workers of one server keep their counts, best in memory (`/dev/shm`), and new for each start
            of the server; None for a server of one worker. Make one `Metrics` in each process, behind the fork.
        worker: The number of this one; one that takes the place of another has its number.
        clock: Seconds that never go back, the same for all processes.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(
        self, folder: Path | None = None, worker: int = 0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._counts, self._clock, self._lock = Counts(folder, worker, clock), clock, threading.Lock()
        self._records = self._counts.records

    def answered(self, model: str, version: str, face: str, spent: Spent, response_bytes: int) -> None:
        """A request was answered; `face` is `rest` or `grpc`."""
        queue_ns, pre_ns, infer_ns, post_ns, rows, batch_rows = spent
        total_ns = queue_ns + pre_ns + infer_ns + post_ns
        values = (total_ns, queue_ns, infer_ns, response_bytes, batch_rows, pre_ns, post_ns)
        observed = zip(_OF_SAMPLES if pre_ns or post_ns else _OF_TENSORS, values)  # noqa: B905 - `strict` costs as a count
        with self._lock:
            _, counts, minute = self._records.get((model, version)) or self._counts.take(model, version)
            counts[ANSWERED[face]] += 1
            counts[ROWS] += rows
            for (at, bounds), value in observed:
                counts[at] += value
                counts[at + 1 + bisect_left(bounds, value)] += 1
            add(minute, int(self._clock()), total_ns)

    def failed(self, model: str, version: str, face: str, error: str) -> None:
        """A request was refused or failed with an error of this kind (the name of its class)."""
        with self._lock:
            self._counts.find(model, version).counts[slots.failed(face, error)] += 1

    def loaded(self, model: str, version: str, *, variant: str, engine: str, provider: str, load_s: float) -> None:
        """A version is ready; said again where another file of the same version takes its place."""
        with self._lock:
            record = self._counts.take(model, version)
            self._counts.describe(Labels(model, version, variant, engine, provider))
            record.counts[slots.LOADED] = 1
            load_ns = round(load_s * 1e9)
            record.counts[slots.LOAD.at] += load_ns
            record.counts[slots.LOAD.at + 1 + bisect_left(slots.LOAD.bounds, load_ns)] += 1

    def unloaded(self, model: str, version: str) -> None:
        """A version is gone."""
        with self._lock:
            counts = self._counts.take(model, version).counts
            counts[slots.LOADED] = counts[slots.QUEUED] = 0
            counts[slots.GONE] = int(self._clock())

    def load_failed(self, model: str, version: str, *, golden: bool) -> None:
        """A version was not taken; `golden` where it answered its golden samples wrongly here."""
        with self._lock:
            counts = self._counts.take(model, version).counts
            counts[slots.LOAD_FAILURES] += 1
            counts[slots.GOLDEN_FAILURES] += golden

    def fell_back(self, model: str, version: str) -> None:
        """A version runs on less than the best that was asked for."""
        with self._lock:
            self._counts.take(model, version).counts[slots.FALLBACKS] += 1

    def queued(self, model: str, version: str, rows: int) -> None:
        """So many rows wait now."""
        with self._lock:
            (self._records.get((model, version)) or self._counts.take(model, version)).counts[slots.QUEUED] = rows

    def exposition(self) -> bytes:
        """All counts of all workers in Prometheus's text format."""
        return self.expose()[0]

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """All counts of all workers, and the content type: OpenMetrics where `accept` names it, else plain text."""
        with self._lock:
            readings = self._counts.readings()
        return exposition(totals(readings, int(self._clock())), accept)

    def statistics(self) -> list[dict[str, Any]]:
        """Figures of all workers for a page, by model and version.

        Returns:
            A dict for each version that is ready or answered in the last minute: `model`, `version`, `requests`,
            `failures` and `rows` since the start; `p50_us`, `p90_us` and `p99_us` of the last 60 seconds, None without
            a request; `per_second`, the answers of each of the last 60 seconds, newest last, and `latency_p50_us`
            beside it, None where there were none. Failures from before a version was chosen stand under an empty
            version.
        """
        with self._lock:
            readings = self._counts.readings(minute=True)
        return statistics(readings, int(self._clock()))

    def close(self) -> None:
        """Let go of the counts at the end of the process; what was counted stays for the others."""
        with self._lock:
            self._counts.close()
