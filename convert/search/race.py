"""Files timed in turn, round after round, with float32 among them: a change of the machine's mood meets them all."""

import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from edgepack.quiet import quiet
from edgepack.runtime import engines
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array
from edgepack.runtime.timing import Timing, laps_for, measure_interleaved

_FEWEST_LAPS, _MOST_LAPS = 3, 400

Runs = Mapping[str, Callable[[], object]]
Rounds = dict[str, tuple[float, ...]]
"""The median of each round of each file, in microseconds."""
Timer = Callable[[Runs, int, float], Rounds]
"""Times calls by name in so many interleaved rounds, each about so many seconds a call."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that can be opened."""

    format: str
    data: bytes


def time_interleaved(runs: Runs, rounds: int, seconds: float) -> Rounds:
    """Time calls with `runtime.timing.measure_interleaved`; the slowest takes about `seconds` a round, or one lap."""
    laps = laps_for(runs.values(), seconds=seconds, fewest=_FEWEST_LAPS, most=_MOST_LAPS)
    timings = measure_interleaved(list(runs.values()), rounds=rounds, warmup=1, repeat=laps)
    return {
        name: tuple(Timing(timing.ns[start : start + laps]).p50_us for start in range(0, rounds * laps, laps))
        for name, timing in zip(runs, timings, strict=True)
    }


def race(
    files: Mapping[str, File],
    row: Mapping[str, Array],
    timer: Timer,
    *,
    threads: int = 1,
    openings: int = 1,
    rounds: int = 4,
    seconds: float = 0.1,
) -> Rounds:
    """Open files, and time one row through each of them in turn.

    Args:
        files: By name.
        row: One row of each input.
        timer: What times them.
        threads: How many threads a call may use.
        openings: How often all of them are opened anew: where its memory lies makes a small net faster or slower.
        rounds: How many rounds after each opening.
        seconds: What a call takes a round, about.
    """
    found: Rounds = dict.fromkeys(files, ())
    for _ in range(openings):
        with _opened(files, threads) as sessions:
            timed = timer({name: partial(one.run, dict(row)) for name, one in sessions.items()}, rounds, seconds)
        found = {name: found[name] + timed[name] for name in files}
    return found


def ratio(rounds: Rounds, name: str, base: str) -> float:
    """One file's latency over another's: the median of the rounds' own ratios."""
    return statistics.median(mine / other for mine, other in zip(rounds[name], rounds[base], strict=True))


def middle(values: Sequence[float]) -> float:
    """The median of the rounds, in microseconds."""
    return statistics.median(values)


@contextlib.contextmanager
def _opened(files: Mapping[str, File], threads: int) -> Iterator[dict[str, Session]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(_open(name, file, threads)) for name, file in files.items()}


def _open(name: str, file: File, threads: int) -> Session:
    engine = engines.for_format(file.format)[0]
    # Idle threads that wait busily would slow whatever is timed beside them.
    opening = engines.Opening(engines.own_cpu(engine), threads=threads, spinning=False)
    with quiet():
        return Session(engines.open_file(engine, file.data, opening), name)
