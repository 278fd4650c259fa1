"""What lasts: memory over many runs and many loads, and what several threads on one session gain.

`python -m edgepack.benchmarks.soak PACK` prints one JSON document for every variant in its first engine.
"""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from edgepack.benchmarks.script import print_results
from edgepack.runtime.errors import InputError
from edgepack.runtime.loading import load
from edgepack.runtime.pack import Pack
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array

RUNS = 200_000
CYCLES = 500
THREADS = 8
RUNS_A_THREAD = 2_000
_WARM_SHARE = 0.1  # of the runs or cycles, before memory is first read
_SECONDS = 60.0  # of runs of one variant at most: large models get fewer


class Soak(msgspec.Struct, frozen=True):
    """One variant."""

    variant: str
    engine: str
    runs: int
    growth_by_runs: float
    """Resident memory after the runs over that after a tenth of them, less one."""
    cycles: int
    growth_by_cycles: float
    """The same over loads and closes."""
    one_thread_per_second: float
    threads_per_second: float
    """All threads together, on one session of one thread a call; answers are compared in a pass of their own."""
    gain: float
    wrong: int
    """Answers to one thread's inputs that were another's."""


def soak(pack: Path, *, runs: int = RUNS, cycles: int = CYCLES) -> tuple[Soak, ...]:
    """Run every variant of a pack for long.

    Args:
        pack: A pack with golden samples.
        runs: Runs of one session.
        cycles: Loads and closes.

    Raises:
        InputError: It holds no golden samples.
    """
    with Pack(pack) as opened:
        if not opened.manifest.goldens:
            raise InputError(f"{pack} holds no golden samples to run; build the pack again")
        golden, _ = opened.golden(opened.manifest.goldens[0])
        names = [one.name for one in opened.manifest.variants]
    return tuple(_soak(pack, name, golden, runs, cycles) for name in names)


def _soak(pack: Path, variant: str, golden: dict[str, Array], runs: int, cycles: int) -> Soak:
    rows = [{name: array[row : row + 1].copy() for name, array in golden.items()} for row in range(len(_first(golden)))]
    with load(pack, variant=variant, threads=1) as session:
        engine = session.engine.description
        done, by_runs = _growth(partial(_next_row, session, rows), runs, _SECONDS)
        alone, together, wrong = _threads(session, rows)

    def cycle(_: int) -> None:
        with load(pack, variant=variant, threads=1) as opened:
            opened.run(rows[0])

    cycled, by_cycles = _growth(cycle, cycles, _SECONDS * 3)
    return Soak(variant, engine, done, by_runs, cycled, by_cycles, alone, together, together / alone, wrong)


def _first(arrays: dict[str, Array]) -> Array:
    return next(iter(arrays.values()))


def _next_row(session: Session, rows: list[dict[str, Array]], number: int) -> None:
    session.run(rows[number % len(rows)])


def _growth(call: Callable[[int], None], count: int, seconds: float) -> tuple[int, float]:
    """How often it was called, and how memory grew after the first tenth of that."""
    end = time.monotonic() + seconds
    warm = max(1, int(count * _WARM_SHARE))
    before = done = 0
    for number in range(count):
        call(number)
        done = number + 1
        if done == warm or (not before and time.monotonic() > end - seconds * (1 - _WARM_SHARE)):
            before = _resident()
        if not number % 100 and time.monotonic() > end:
            break
    return done, _resident() / before - 1 if before else 0.0


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _threads(session: Session, rows: list[dict[str, Array]]) -> tuple[float, float, int]:
    """Runs a second of one thread and of many, and how many answers were not those of their inputs."""
    wanted = [session.run(row) for row in rows]
    wrong = [0] * THREADS

    def compare(number: int) -> None:
        row, right = rows[number % len(rows)], wanted[number % len(rows)]
        for _ in range(RUNS_A_THREAD):
            found = session.run(row)
            wrong[number] += any(not np.array_equal(found[name], array) for name, array in right.items())

    def run(number: int) -> None:
        row = rows[number % len(rows)]
        for _ in range(RUNS_A_THREAD):
            session.run(row)

    _together(compare)
    began = time.perf_counter()
    run(0)
    alone = RUNS_A_THREAD / (time.perf_counter() - began)
    return alone, THREADS * RUNS_A_THREAD / _together(run), sum(wrong)


def _together(work: Callable[[int], None]) -> float:
    """Seconds that all threads take."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    began = time.perf_counter()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return time.perf_counter() - began


def main(arguments: list[str]) -> int:
    """Measure the pack named on the command line."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m edgepack.benchmarks.soak PACK\n")
        return 2
    return print_results(partial(soak, Path(arguments[0])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
