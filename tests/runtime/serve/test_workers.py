"""Several processes on one port: they start, die, start again and end together."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from edgepack.runtime.serve import settings as seam
from edgepack.runtime.serve.listening import bind
from edgepack.runtime.serve.telling import Event
from edgepack.runtime.serve.workers import divided, supervise
from tests.runtime.serve.running import BODY, Running, half_asked, wait_until_gone

pytest.importorskip("httptools")
MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, mlp_pack: Path) -> Path:
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(mlp_pack, folder / "mlp.edgepack")
    return folder


def test_workers_share_a_port_and_end_together(models: Path) -> None:
    with Running(models, "--workers", 2) as running:
        running.ready()
        pids = {event["pid"] for event in running.told if event["event"] == "worker"}
        assert len(pids) == 2
        assert [event["model"] for event in running.told if event["event"] == "model"] == ["mlp"], "told once"
        assert running.told[0]["workers"] == 2
        with half_asked(running) as client:
            running.send()
            client.sendall(BODY[10:])
            assert client.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
        assert running.code() == 0
        for pid in pids:
            wait_until_gone(pid)


def test_a_worker_that_dies_is_started_again_and_no_connection_is_lost(models: Path) -> None:
    with Running(models, "--workers", 2) as running:
        running.ready()
        killed = next(event["pid"] for event in running.told if event["event"] == "worker" and event["worker"] == 1)
        os.kill(killed, signal.SIGKILL)
        died = running.until("worker", worker=1, state="died")
        assert died["exit_code"] == -signal.SIGKILL
        assert [running.get("/v2/models/mlp")[0] for _ in range(50)] == [200] * 50
        assert running.until("worker", worker=1, state="ready")["pid"] != killed
        assert running.stop() == 0


def test_workers_end_when_the_process_above_them_is_killed_and_leave_nothing(models: Path) -> None:
    before = set(MEMORY.glob("edgepack-counts-*"))
    with Running(models, "--workers", 2) as running:
        running.ready()
        running.send(signal.SIGKILL)
        for event in running.told:
            if event["event"] == "worker":
                wait_until_gone(event["pid"])
    assert not set(MEMORY.glob("edgepack-counts-*")) - before


def test_workers_that_do_not_end_in_time_are_told_of(models: Path) -> None:
    with Running(models, "--workers", 2, "--drain-s", 0.2) as running, half_asked(running.ready()):
        assert running.stop() == 1
        assert running.until("late")


def test_workers_divide_the_cores_unless_threads_are_set() -> None:
    own = {"digits": seam.ModelSettings(threads=3), "words": seam.ModelSettings(variant="int8")}
    settings = divided(seam.Settings("models", workers=3, model=own), cores=8)
    assert (settings.default.threads, settings.of("digits").threads, settings.of("words").threads) == (2, 3, 2)
    assert settings.of("words").variant == "int8"
    assert divided(seam.Settings("models", workers=4), cores=2).default.threads == 1


def test_workers_that_are_stopped_while_they_start_cut_nothing_off(models: Path) -> None:
    with Running(models, "--workers", 2) as running:
        running.until("listening")
        assert running.stop() == 0
        assert running.until("stopped")["clean"]


def test_a_worker_that_cannot_be_started_again_is_tried_again(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready: list[int] = []
    python, failures = sys.executable, []

    def tell(event: Event) -> None:
        if event.name == "worker" and event.facts["state"] == "ready":
            ready.append(event.facts["pid"])
            if len(ready) == 2:
                monkeypatch.setattr(sys, "executable", "/nowhere/python")
                os.kill(ready[0], signal.SIGKILL)
            if len(ready) == 3:
                os.kill(os.getpid(), signal.SIGTERM)
        if event.name == "worker" and "cannot be started (No such file or directory)" in event.text:
            failures.append(event.facts["exit_code"])
            monkeypatch.setattr(sys, "executable", python)

    settings = seam.Settings(str(models), workers=2)
    assert asyncio.run(supervise(settings, "0", bind("127.0.0.1", 0), tell)) == 0
    assert failures == [None]
    assert len(ready) == 3
