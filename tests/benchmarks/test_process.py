"""The protocol between the parent and the process of a candidate."""

import io
import json
import os
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import psutil
import pytest

from edgepack.benchmarks.child import Worker, peak_memory, serve
from edgepack.benchmarks.process import Process
from edgepack.runtime.errors import EngineError
from tests.benchmarks.makers import candidate


def open_request(path: Path, **changes: object) -> dict[str, object]:
    request = {"do": "open", "path": str(path), "variant": "onnx-float32", "engine": "onnx", "provider": "cpu"}
    return {**request, "threads": 1, "batch": 1, **changes}


def process_of(code: str) -> Process:
    return Process(candidate(), "any.onnx", 1, command=(sys.executable, "-c", code))


def test_times_come_from_the_given_clock(pack: Path) -> None:
    worker = Worker(clock=count(0, 2_000_000).__next__)
    found = worker.answer(open_request(pack))
    assert (found["load_ms"], found["first_ms"], found["warm_us"]) == (2.0, 2.0, 2000.0)
    assert found["inputs"] == {"x": "float32 (1, 4)"}
    assert worker.answer({"do": "measure", "warmup": 2, "repeat": 3})["ns"] == (2_000_000,) * 3


def test_an_error_is_an_answer(pack: Path) -> None:
    answer = Worker().answer(open_request(pack, variant="onnx-int4"))
    assert list(answer) == ["error"]
    assert answer["error"].startswith("unknown variant 'onnx-int4'")
    assert Worker().answer({"do": "dance"}) == {"error": "KeyError: 'dance'"}


def test_each_request_is_answered_on_a_line_of_its_own() -> None:
    answers = io.StringIO()
    serve(Worker(), ['{"do": "a"}\n', '{"do": "b"}\n'], answers)
    assert [json.loads(line) for line in answers.getvalue().splitlines()] == [
        {"error": "KeyError: 'a'"},
        {"error": "KeyError: 'b'"},
    ]


def test_the_peak_of_memory_is_plausible_and_says_its_source() -> None:
    peak, source = peak_memory()
    assert psutil.Process().memory_info().rss * 0.5 < peak < 1e12
    assert source in {"VmHWM", "ru_maxrss"}


def test_what_an_engine_prints_does_not_disturb_the_protocol() -> None:
    code = (
        "import os; from edgepack.benchmarks import child\n"
        "class Loud:\n"
        "    def answer(self, request):\n"
        "        print('Falling back'); os.write(1, b'from C\\n'); return {'ns': [1], 'peak_bytes': 2}\n"
        "child.Worker = Loud\n"
        "child.main()"
    )
    process = process_of(code)
    try:
        assert process.measure(0, 1).ns == (1,)
    finally:
        process.stop()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os; os.abort()", "its process died with signal SIGABRT"),
        ("import sys; sys.exit('no such luck')", "its process died with exit code 1: no such luck"),
        ("print('{', end='')", "its process died with exit code 0"),
    ],
    ids=["crash", "exit", "half an answer"],
)
def test_a_process_that_dies_leaves_its_reason(code: str, says: str) -> None:
    process = process_of(code)
    try:
        with pytest.raises(EngineError, match=says):
            process.open()
    finally:
        process.stop()


def test_a_process_that_died_while_it_waited_is_told_at_the_next_request(pack: Path) -> None:
    process = Process(candidate(), pack, 1)
    try:
        process.open()
        process.pause()
        psutil.Process(process.pid).kill()
        process.resume()
        with pytest.raises(EngineError, match="SIGKILL"):
            process.measure(1, 1)
    finally:
        process.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="what becomes of orphans is Linux's promise")
def test_a_parent_that_is_killed_leaves_no_paused_process(pack: Path) -> None:
    code = (
        "import sys, time; from edgepack.benchmarks.candidates import plan\n"
        "from edgepack.benchmarks.process import Process\n"
        f"process = Process(plan({str(pack)!r}, variants=['float32'], threads=[1])[0], {str(pack)!r}, 1)\n"
        "process.open(); process.pause(); print(process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE, process_group=0) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        status = psutil.Process(pid).status()
        parent.kill()
    assert status == psutil.STATUS_STOPPED
    deadline = time.monotonic() + 20
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _lives(pid)


def test_the_modules_of_the_child_are_light_before_it_is_told_to_open() -> None:
    code = "import sys, edgepack.benchmarks.child; print(sorted({'numpy', 'msgspec', 'psutil'} & set(sys.modules)))"
    found = subprocess.run((sys.executable, "-P", "-c", code), capture_output=True, check=True, env=os.environ)
    assert found.stdout.strip() == b"[]"


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
