"""The order of measuring, and what happens when a candidate fails or the user stops it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgepack.benchmarks.candidates import Candidate
from edgepack.benchmarks.latency import bench, interleave
from edgepack.benchmarks.process import Opened, Process, Round
from edgepack.runtime.errors import EngineError, InputError
from tests.benchmarks.makers import candidate, opened

A, B = candidate("onnx-float32"), candidate("onnx-int8")


class Machine:
    """Makes fake runners that write down what is done with them; `fail` names the call at which one fails."""

    def __init__(self, *, fail: dict[tuple[Candidate, str], BaseException] | None = None, warm_us: float = 100) -> None:
        self.log: list[tuple[str, str]] = []
        self.laps: list[tuple[int, int]] = []
        self.alive: set[Candidate] = set()
        self.running: set[Candidate] = set()
        self.fail = fail or {}
        self.warm_us = warm_us

    def start(self, what: Candidate) -> "Fake":
        self.alive.add(what)
        self.running.add(what)
        return Fake(self, what)


class Fake:
    def __init__(self, machine: Machine, what: Candidate) -> None:
        self.machine, self.what = machine, what

    def note(self, call: str) -> None:
        self.machine.log.append((call, self.what.variant))
        if (self.what, call) in self.machine.fail:
            raise self.machine.fail[self.what, call]

    def open(self) -> Opened:
        self.note("open")
        assert self.machine.running == {self.what}
        return opened(self.machine.warm_us)

    def measure(self, warmup: int, repeat: int) -> Round:
        self.note("measure")
        assert self.machine.running == {self.what}
        self.machine.laps.append((warmup, repeat))
        return Round(ns=(1000,) * repeat, peak_bytes=50)

    def pause(self) -> None:
        self.note("pause")
        self.machine.running.remove(self.what)

    def resume(self) -> None:
        self.note("resume")
        self.machine.running.add(self.what)

    def stop(self) -> None:
        self.machine.alive.remove(self.what)
        self.machine.running.discard(self.what)


def run(machine: Machine, candidates: Sequence[Candidate] = (A, B), **settings: Any) -> Any:
    return interleave(candidates, machine.start, **{"rounds": 2, "seconds": 0.01, **settings})


def test_rounds_go_over_all_candidates_forth_and_back_while_the_others_wait() -> None:
    machine = Machine()
    run(machine)
    assert [entry for entry in machine.log if entry[0] != "pause"] == [
        ("open", "onnx-float32"),
        ("open", "onnx-int8"),
        ("resume", "onnx-int8"),
        ("measure", "onnx-int8"),
        ("resume", "onnx-float32"),
        ("measure", "onnx-float32"),
        ("resume", "onnx-float32"),
        ("measure", "onnx-float32"),
        ("resume", "onnx-int8"),
        ("measure", "onnx-int8"),
    ]
    assert machine.alive == set()


@pytest.mark.parametrize(
    ("warm_us", "laps"),
    [(100, (5, 50)), (1e6, (1, 3)), (0.0, (5000, 5000))],
    ids=["fits the time", "slow ones get a few laps", "fast ones are bounded"],
)
def test_laps_fill_the_time_of_a_round(warm_us: float, laps: tuple[int, int]) -> None:
    machine = Machine(warm_us=warm_us)
    run(machine, [A], rounds=1, seconds=0.005)
    assert machine.laps == [laps]


@pytest.mark.parametrize("call", ["open", "measure", "resume", "pause"])
def test_a_candidate_that_fails_is_reported_and_the_others_go_on(call: str) -> None:
    machine = Machine(fail={(A, call): EngineError("it broke")})
    first, second = run(machine)
    assert (first.opened, first.reason) == (None, "it broke")
    assert (second.reason, len(second.rounds)) == ("", 2)
    assert machine.log.count((call, A.variant)) == 1
    assert machine.alive == set()


@pytest.mark.parametrize("stopped_at", ["open", "measure"])
def test_ctrl_c_leaves_no_candidate_running(stopped_at: str) -> None:
    machine = Machine(fail={(B, stopped_at): KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        run(machine)
    assert machine.alive == set()


def test_progress_counts_every_piece_of_work_and_ends_full() -> None:
    heard: list[tuple[int, int, str]] = []
    run(Machine(), progress=lambda *words: heard.append(words))
    assert [done for done, _, _ in heard] == [0, 1, 2, 3, 4, 5, 6]
    assert {total for _, total, _ in heard} == {6}
    assert heard[2][2] == "round 1 of 2: onnx-int8, onnx, 1 thread"


def test_ctrl_c_ends_real_processes_that_wait(pack: Path) -> None:
    started: list[Process] = []

    def start(what: Candidate) -> Process:
        started.append(Process(what, pack, 1))
        return started[-1]

    def stop_it(done: int, _: int, __: str) -> None:
        if done == 3:
            assert [psutil.Process(one.pid).status() for one in started] == [psutil.STATUS_STOPPED] * 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interleave([A, B], start, rounds=2, seconds=0.01, progress=stop_it)
    assert not [one.pid for one in started if psutil.pid_exists(one.pid)]


def test_a_pack_is_measured_and_its_broken_variant_is_reported(pack: Path) -> None:
    report = bench(pack, engines=["onnx"], threads=[1], rounds=2, seconds=0.01, batch=3)
    assert [result.variant for result in report.results] == ["onnx-float32", "onnx-int8"]
    assert [(one.variant, one.engine) for one in report.failures] == [("onnx-float16", "onnx")]
    assert "refuses the file" in report.failures[0].reason
    assert report.settings.inputs == {"x": "float32 (3, 4)"}
    assert report.subject.name == "tiny"
    for result in report.results:
        assert len(result.rounds) == 2
        assert all(len(laps) >= 3 for laps in result.rounds)
        assert result.provider == "cpu"
        assert result.library.startswith("ONNX Runtime")
        assert result.peak_bytes > result.beyond_bytes > 0
        assert result.load_ms > 0
    assert min(result.to_fastest for result in report.results) == 1.0
    assert report.results[0].to_float32 == 1.0


def test_a_bare_file_is_measured_on_random_values(bare_file: Path) -> None:
    report = bench(bare_file, engines=["onnx"], threads=[1], rounds=1, seconds=0.01)
    assert report.settings.input_source == "seeded random values"
    assert [(one.variant, one.precision, one.to_float32) for one in report.results] == [("tiny.onnx", "", None)]
    assert report.results[0].spread == 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"batch": 0}, "batch is 0; it takes 1 or more"),
        ({"rounds": -1}, "rounds is -1; it takes 1 or more"),
        ({"seconds": 0.0}, "seconds is 0.0; it takes more than 0"),
        ({"seconds": float("nan")}, "seconds is nan; it takes more than 0"),
    ],
    ids=["batch", "rounds", "seconds", "nan"],
)
def test_numbers_that_are_not_positive_are_refused(pack: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        bench(pack, **settings)
