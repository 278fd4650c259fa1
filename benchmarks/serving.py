"""What serving costs: requests a second against other servers, what a request adds to a run, two workers, overload.

`python -m edgepack.benchmarks.serving digits.edgepack --mlserver PYTHON --litserve PYTHON` prints one JSON document.
All servers run the same ONNX file with one thread, are asked for the same row, and take turns; those that wait are
stopped in place. The first processor is the servers', the second the generator's.
"""

import argparse
import os
import socket
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from edgepack.benchmarks import serving_servers
from edgepack.benchmarks.script import print_results
from edgepack.benchmarks.serving_load import Load, Request, answer_end, generator, load, pinned
from edgepack.benchmarks.serving_overload import Crowd, crowd
from edgepack.benchmarks.serving_requests import BINARY, JSON, OF_RIVALS, Form, Subject, check, subject
from edgepack.benchmarks.serving_servers import RIVALS, Plan, Server
from edgepack.runtime.errors import EngineError
from edgepack.runtime.timing import measure

_OVER = 10  # times as many clients as are the normal load, which takes all that the server can do
_MEDIANS = ("requests_per_s", "p50_us", "p99_us")


class Settings(NamedTuple):
    """How it is measured."""

    rounds: int = 5
    seconds: float = 5.0
    """Of a turn."""
    connections: int = 8
    laps: int = 500
    """Requests of a turn over one connection."""
    wrk: bool = True
    """Whether `wrk` sends the load, where it is installed."""
    server_cpus: tuple[int, ...] = ()
    """None is any."""
    load_cpus: tuple[int, ...] = ()


class Candidate(msgspec.Struct, frozen=True):
    """One server asked in one form: medians over its turns."""

    name: str
    requests_per_s: float
    p50_us: float
    p99_us: float
    failed: int
    ours_over: float
    """Requests a second of edgepack's JSON over this one's, the median of the rounds' own ratios."""
    turns: tuple[Load, ...]


class Added(msgspec.Struct, frozen=True):
    """One connection, binary: medians of the rounds' medians."""

    session_run_us: float
    served_us: float
    added_us: float
    """The median of the rounds' own differences."""


class Workers(msgspec.Struct, frozen=True):
    """JSON; servers and generator share all processors."""

    processors: int
    one_per_s: float
    two_per_s: float
    gain: float
    """The median of the rounds' own ratios."""


class Overloaded(msgspec.Struct, frozen=True):
    """A server as it is set up by default, asked by so many clients as it can answer, and by ten times as many."""

    pack: str
    normal: Crowd
    over: Crowd
    times_normal: float
    """The 99th percentile of what was accepted over that of the normal load."""


class Serving(msgspec.Struct, frozen=True):
    """Everything of one run."""

    variant: str
    generator: str
    settings: dict[str, Any]
    candidates: tuple[Candidate, ...]
    added: Added
    workers: Workers
    overloaded: Overloaded


def measure_serving(
    pack: Path, settings: Settings, *, rivals: Mapping[str, Path] = {}, overload_pack: Path | None = None
) -> Serving:
    """Measure a pack.

    Args:
        pack: A pack with an ONNX file in float32 and golden samples; their first row is what is asked for.
        settings: How.
        rivals: Name of a rival → the interpreter of the environment that it is installed in.
        overload_pack: What is overloaded: best a model that takes much longer to run than a request to read.

    Raises:
        InputError: The pack holds no such file or no golden samples.
        EngineError: A server does not start, or answers otherwise than a session.
    """
    small, large = subject(pack), subject(overload_pack or pack)
    with tempfile.TemporaryDirectory(prefix="edgepack-serving-") as folder:
        bench = _Bench(Path(folder), settings)
        return Serving(
            variant=small.variant,
            generator=generator() if settings.wrk else "asyncio",
            settings=settings._asdict(),
            candidates=bench.candidates(small, rivals),
            added=bench.added(small),
            workers=bench.workers(small),
            overloaded=bench.overloaded(large),
        )


class _Bench:
    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder, self._settings, self._plans = folder, settings, 0

    def candidates(self, subject: Subject, rivals: Mapping[str, Path]) -> tuple[Candidate, ...]:
        with ExitStack() as stack:
            own = stack.enter_context(serving_servers.edgepack(self._plan(subject)))
            asked: dict[str, tuple[Server, Form]] = {"edgepack, JSON": (own, JSON), "edgepack, binary": (own, BINARY)}
            for name, python in rivals.items():
                server = stack.enter_context(RIVALS[name](self._plan(subject), python))
                asked[f"{name}, JSON"] = (server, OF_RIVALS[name])
            for name, (server, form) in asked.items():
                check(name, subject, form, server.port)
            targets = {name: (server, form.write(subject, server.port)) for name, (server, form) in asked.items()}
            turns = _turns(targets, self._settings)
        ours = turns["edgepack, JSON"]
        return tuple(_candidate(name, found, ours) for name, found in turns.items())

    def added(self, subject: Subject) -> Added:
        """A request over a socket that stays open, against the run alone, in turns."""
        runs, served = [], []
        laps = self._settings.laps
        with (
            serving_servers.edgepack(self._plan(subject)) as server,
            pinned(self._settings.load_cpus),
            subject.session() as session,
            socket.create_connection(("127.0.0.1", server.port)) as connection,
        ):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = BINARY.write(subject, server.port).encoded()
            for _ in range(self._settings.rounds):
                runs.append(measure(lambda: session.run(subject.row), warmup=10, repeat=laps).p50_us)
                served.append(measure(partial(_ask, connection, data), warmup=10, repeat=laps).p50_us)
        added = statistics.median(there - here for here, there in zip(runs, served, strict=True))
        return Added(statistics.median(runs), statistics.median(served), added)

    def workers(self, subject: Subject) -> Workers:
        """Wherever there are more than two processors, the generator finds one that is free by itself."""
        free = self._settings._replace(server_cpus=(), load_cpus=())
        with ExitStack() as stack:
            targets = {}
            for count in (1, 2):
                plan = self._plan(subject)._replace(workers=count, cpus=())
                server = stack.enter_context(serving_servers.edgepack(plan))
                targets[str(count)] = (server, JSON.write(subject, server.port))
            turns = _turns(targets, free)
        one, two = ([load.requests_per_s for load in turns[count]] for count in ("1", "2"))
        gain = _ratio(turns["2"], turns["1"])
        return Workers(len(os.sched_getaffinity(0)), statistics.median(one), statistics.median(two), gain)

    def overloaded(self, subject: Subject) -> Overloaded:
        settings = self._settings
        with serving_servers.edgepack(self._plan(subject)) as server:
            request = BINARY.write(subject, server.port)  # reading long JSON would be the load
            normal, over = (
                crowd(
                    request, clients=times * settings.connections, seconds=settings.seconds, memory_mb=server.memory_mb,
                    cpus=settings.load_cpus,
                )
                for times in (1, _OVER)
            )  # fmt: skip
        return Overloaded(subject.pack.name, normal, over, over.accepted_p99_ms / (normal.accepted_p99_ms or 1.0))

    def _plan(self, subject: Subject) -> Plan:
        self._plans += 1
        folder = self._folder / f"{id(self)}-{self._plans}"
        folder.mkdir()
        onnx = folder / "model.onnx"
        onnx.write_bytes(subject.onnx)
        return Plan(folder, subject.pack, subject.variant, onnx, self._settings.server_cpus)


def _turns(targets: Mapping[str, tuple[Server, Request]], settings: Settings) -> dict[str, list[Load]]:
    """A turn of each in each round, beginning with another one each time."""
    turns: dict[str, list[Load]] = {name: [] for name in targets}
    names = list(targets)
    for server, _ in targets.values():
        server.pause()
    for number in range(settings.rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            server, request = targets[name]
            server.go_on()
            turns[name].append(_load(request, settings))
            server.pause()
    return turns


def _load(request: Request, settings: Settings) -> Load:
    return load(
        request, connections=settings.connections, seconds=settings.seconds, cpus=settings.load_cpus, wrk=settings.wrk
    )


def _candidate(name: str, turns: Sequence[Load], ours: Sequence[Load]) -> Candidate:
    middle = {field: statistics.median(getattr(one, field) for one in turns) for field in _MEDIANS}
    failed = sum(one.failed for one in turns)
    return Candidate(name, **middle, failed=failed, ours_over=_ratio(ours, turns), turns=tuple(turns))


def _ratio(above: Sequence[Load], below: Sequence[Load]) -> float:
    return statistics.median(a.requests_per_s / b.requests_per_s for a, b in zip(above, below, strict=True))


def _ask(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data)
    answer = b""
    while answer_end(answer) is None:
        piece = connection.recv(65_536)
        if not piece:
            raise EngineError("the server closed the connection")
        answer += piece


def main(arguments: list[str]) -> int:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m edgepack.benchmarks.serving", allow_abbrev=False)
    parser.add_argument("pack", type=Path)
    for name in RIVALS:
        parser.add_argument(f"--{name}", type=Path, metavar="PYTHON", help=f"of the environment that holds {name}")
    parser.add_argument("--overload-pack", type=Path, metavar="PACK", help="a larger model, for the overload")
    parser.add_argument("--rounds", type=int, default=Settings().rounds)
    parser.add_argument("--seconds", type=float, default=Settings().seconds, help="of a turn")
    parser.add_argument("--connections", type=int, default=Settings().connections)
    parser.add_argument("--laps", type=int, default=Settings().laps)
    parser.add_argument("--no-wrk", action="store_true", help="send the load from this process")
    given = parser.parse_args(arguments)
    rivals = {name: path.absolute() for name in RIVALS if (path := getattr(given, name)) is not None}
    servers, generators = _apart()
    settings = Settings(
        given.rounds, given.seconds, given.connections, given.laps, not given.no_wrk, servers, generators
    )
    return print_results(
        partial(measure_serving, given.pack, settings, rivals=rivals, overload_pack=given.overload_pack)
    )


def _apart() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A processor for the servers and one for the generator; any where there is only one."""
    found = sorted(os.sched_getaffinity(0))
    return ((found[0],), (found[1],)) if len(found) > 1 else ((), ())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
