"""What batching brings: a model served with and without it in one process, clients in the same event loop, in turn.

`python -m edgepack.benchmarks.batching FILE [VARIANT [THREADS]]` prints one JSON document.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from edgepack.benchmarks.script import print_results
from edgepack.runtime.device import usable_cores
from edgepack.runtime.loading import load
from edgepack.runtime.serve.served import Served, can_share
from edgepack.runtime.serve.settings import ModelSettings
from edgepack.runtime.serve.tuning import tune
from edgepack.runtime.serve.warming import sample_of
from edgepack.runtime.tensor import Array
from edgepack.runtime.timing import Timing, measure

CLIENTS = 32
WAYS: tuple[int | str, ...] = (1, "auto", 4, 8)
"""Rows of a batch at most; 1 is no batching."""


class Batching(msgspec.Struct, frozen=True):
    """One way to serve one variant."""

    variant: str
    engine: str
    asked: int | str
    plan: str
    max_rows: int
    lanes: int
    clients: int
    per_second: float
    """The median of the rounds."""
    p50_ms: float
    """From asking to the answer, over all rounds."""
    p99_ms: float
    batch_rows: float
    """Of the runs that requests met, on average."""


class Added(msgspec.Struct, frozen=True):
    """What a request costs beyond the session, with one client that asks again and again."""

    session_us: float
    """`session.run` called by hand."""
    served_us: float
    """The same through `Served`: checked, and run in its turn."""


def measure_batching(
    path: Path,
    variant: str = "auto",
    threads: int | None = None,
    *,
    clients: int = CLIENTS,
    rounds: int = 5,
    seconds: float = 1.0,
) -> tuple[Added, tuple[Batching, ...]]:
    """Serve a pack in every way, in turn, and ask it from many clients at once.

    Args:
        path: A pack, or a bare file.
        variant: Which of its variants.
        threads: Of one run; None takes the cores there are.
        clients: How many ask, each again when it has its answer.
        rounds: How often the ways take turns.
        seconds: How long a way is asked in each turn.

    Raises:
        EdgepackError: It cannot be loaded.
    """
    return asyncio.run(_measure(path, variant, threads, clients, rounds, seconds))


async def _measure(
    path: Path, variant: str, threads: int | None, clients: int, rounds: int, seconds: float
) -> tuple[Added, tuple[Batching, ...]]:
    # One session for all ways: several in one process stand in each other's light.
    with load(path, variant=variant, threads=threads) as session:
        sample, _ = sample_of(path, session)
        plan = partial(tune, session.run_checked, sample, shares=can_share(session), cores=usable_cores())
        ways = [Served("measured", "1", session, ModelSettings(), plan(way), sample) for way in WAYS]
        feeds = {name: array[:1].copy() for name, array in sample.items()}
        return await _added(ways[0], feeds), await _in_turn(ways, feeds, clients, rounds, seconds)


async def _in_turn(
    ways: Sequence[Served], feeds: dict[str, Array], clients: int, rounds: int, seconds: float
) -> tuple[Batching, ...]:
    turns: list[list[_Turn]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, turn in zip(ways, turns, strict=True):
            turn.append(await _ask(way, feeds, clients, seconds))
    for way in ways:
        await way.close()
    return tuple(_told(way, asked, clients, turn) for way, asked, turn in zip(ways, WAYS, turns, strict=True))


class _Turn(msgspec.Struct):
    """What one turn of one way came to."""

    took_s: float
    ns: list[int]
    batch_rows: list[int]


async def _ask(way: Served, feeds: dict[str, Array], clients: int, seconds: float) -> _Turn:
    """Ask from many clients for a while."""
    start = time.perf_counter()
    turn = _Turn(0.0, [], [])

    async def client() -> None:
        while time.perf_counter() - start < seconds:
            begun = time.perf_counter_ns()
            await asyncio.sleep(0)  # a run on the event loop is waited for by all who would ask meanwhile
            _, spent = await way.infer(way.checked(feeds))
            turn.ns.append(time.perf_counter_ns() - begun)
            turn.batch_rows.append(spent.batch_rows)

    await asyncio.gather(*(client() for _ in range(clients)))
    turn.took_s = time.perf_counter() - start
    return turn


async def _added(way: Served, feeds: dict[str, Array], laps: int = 200, rounds: int = 15) -> Added:
    by_hand, served = [], []
    for _ in range(rounds):
        by_hand.append(measure(lambda: way.session.run(feeds), warmup=5, repeat=laps // rounds).p50_us)
        ns = []
        for _ in range(laps // rounds):
            begun = time.perf_counter_ns()
            await way.infer(way.checked(feeds))
            ns.append(time.perf_counter_ns() - begun)
        served.append(Timing(tuple(ns)).p50_us)
    return Added(float(np.median(by_hand)), float(np.median(served)))


def _told(way: Served, asked: int | str, clients: int, turns: Sequence[_Turn]) -> Batching:
    laps = Timing(tuple(ns for turn in turns for ns in turn.ns))
    return Batching(
        variant=way.session.variant,
        engine=way.session.engine.description,
        asked=asked,
        plan=way.plan.reason,
        max_rows=way.plan.max_rows,
        lanes=way.plan.lanes,
        clients=clients,
        per_second=float(np.median([len(turn.ns) / turn.took_s for turn in turns])),
        p50_ms=laps.p50_us / 1e3,
        p99_ms=laps.p99_us / 1e3,
        batch_rows=float(np.mean([rows for turn in turns for rows in turn.batch_rows])),
    )


def main(arguments: list[str]) -> int:
    """Measure the file named on the command line."""
    if len(arguments) not in {1, 2, 3} or not all(one.isdecimal() for one in arguments[2:]):
        sys.stderr.write("usage: python -m edgepack.benchmarks.batching FILE [VARIANT [THREADS]]\n")
        return 2
    variant = arguments[1] if len(arguments) > 1 else "auto"
    threads = int(arguments[2]) if len(arguments) > 2 else None
    return print_results(partial(measure_batching, Path(arguments[0]), variant, threads))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
