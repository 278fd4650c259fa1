"""One candidate in a process of its own: opened, run once, then measured whenever it is told to.

Started as `python -m edgepack.benchmarks.child`. A request is one line of JSON on stdin, its answer one line of JSON on
what stdout was at the start; whatever an engine prints goes to stderr. Nothing of edgepack is imported before the
memory of the bare interpreter was read.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from edgepack import Session

_STATUS = "/proc/self/status"


class Worker:
    """Answers the requests of one candidate; `clock` gives monotonic nanoseconds."""

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock = clock
        self._baseline_bytes, self._memory_source = peak_memory()
        self._session: Session | None = None
        self._inputs: dict[str, Any] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what `request["do"]` names with the rest of it; an error is an answer too."""
        known: dict[str, Callable[..., dict[str, Any]]] = {"open": self.open, "measure": self.measure}
        arguments = dict(request)
        try:
            answer: dict[str, Any] = known[arguments.pop("do")](**arguments)
            return answer
        except Exception as error:  # noqa: BLE001 - whatever an engine raises, the other candidates must go on
            from edgepack.runtime.errors import EdgepackError

            kind = "" if isinstance(error, EdgepackError) else f"{type(error).__name__}: "
            return {"error": " ".join(f"{kind}{error}".split())}

    def open(self, path: str, variant: str, engine: str, provider: str, threads: int, batch: int) -> dict[str, Any]:
        """Load the candidate, imports included, and run it for the first time."""
        start = self._clock()
        from edgepack import load

        session = load(path, variant=variant, engine=engine, provider=provider, threads=threads, strict=True)
        loaded = self._clock()
        from edgepack.benchmarks.samples import sample_inputs
        from edgepack.runtime.tensor import describe
        from edgepack.runtime.timing import measure

        inputs, source = sample_inputs(path, session.inputs, batch)
        self._session, self._inputs = session, inputs
        first = measure(self._call, warmup=0, repeat=1, clock=self._clock)
        warm = measure(self._call, warmup=1, repeat=3, clock=self._clock)
        return {
            "library": session.engine.description,
            "provider": session.provider,
            "placement": dict(session.placement),
            "load_ms": (loaded - start) / 1e6,
            "first_ms": first.p50_us / 1e3,
            "warm_us": warm.p50_us,
            "inputs": {name: describe(array.shape, str(array.dtype)) for name, array in inputs.items()},
            "input_source": source,
            "baseline_bytes": self._baseline_bytes,
            "peak_bytes": peak_memory()[0],
            "memory_source": self._memory_source,
        }

    def measure(self, warmup: int, repeat: int) -> dict[str, Any]:
        """One round: every lap in nanoseconds, and the peak of memory until now."""
        from edgepack.runtime.timing import measure

        laps = measure(self._call, warmup=warmup, repeat=repeat, clock=self._clock)
        return {"ns": laps.ns, "peak_bytes": peak_memory()[0]}

    def _call(self) -> object:
        assert self._session is not None, "measured before it was opened"
        return self._session.run(self._inputs)


def peak_memory() -> tuple[int, str]:
    """The most memory that was resident in this process, in bytes, and where that figure comes from.

    Linux counts `ru_maxrss` over the process that started this one too, so its `VmHWM` is preferred.
    """
    try:
        with open(_STATUS, encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024, "VmHWM"
    except OSError:
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "ru_maxrss"


def serve(worker: Worker, requests: Iterable[str], answers: TextIO) -> None:
    """Answer each line of `requests` with one line, until there are no more."""
    for line in requests:
        answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        answers.flush()


def main() -> None:
    """Keep stdout for the answers alone, and serve."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(Worker(), sys.stdin, answers)


if __name__ == "__main__":
    main()
