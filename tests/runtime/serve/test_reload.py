"""A server under load takes each new version and no bad one, and comes back from any kill with the last good one."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgepack.runtime.serve.layout import scan
from tests.runtime.serve.folders import BAD, SAMPLE, put
from tests.runtime.serve.running import PATIENCE_S, Running

httpx = pytest.importorskip("httpx")
pytest.importorskip("httptools")

ROOT = Path(__file__).parents[3]
CLIENTS = 8
X = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": SAMPLE}]}


class Load:
    """Clients that ask one model without rest, by `predict` and by `infer`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._done = asyncio.Event()
        self.answers: Counter[int] = Counter()
        self.faults: list[str] = []

    async def __aenter__(self) -> "Load":
        self._clients = [asyncio.create_task(self._client(place % 2 == 0)) for place in range(CLIENTS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._done.set()
        await asyncio.gather(*self._clients)

    async def _client(self, by_sample: bool) -> None:
        path, body = ("predict", {"sample": SAMPLE}) if by_sample else ("infer", X)
        async with httpx.AsyncClient(base_url=self._url, timeout=PATIENCE_S) as client:
            while not self._done.is_set():
                try:
                    reply = await client.post(f"/v2/models/m/{path}", json=body)
                    answer = reply.json()
                    version = answer["model_version"]
                    if by_sample and f"@{version}" not in answer["results"][0][0]["label"]:
                        self.faults.append(reply.text)
                    self.answers[int(version)] += 1
                except Exception as error:  # noqa: BLE001 - whatever it is, the request failed
                    self.faults.append(f"{error!r} {reply.text if 'reply' in locals() else ''}")
                await asyncio.sleep(0)

    async def until(self, version: int) -> None:
        """Wait until a version has answered."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.answers[version]:
                await asyncio.sleep(0.01)


def _reload(folder: Path, turns: int, pause_s: float) -> None:
    """Put a good version, an even number, and a bad one above it into the folder, again and again, under load."""

    async def story(url: str) -> Load:
        async with Load(url) as load:
            await load.until(2)
            for turn in range(turns):
                await asyncio.sleep(pause_s)
                bad = list(BAD.values())[turn % len(BAD)]
                (folder / "m" / f"{2 * turn + 5}.edgepack").write_bytes(bad(2 * turn + 5))
                put(folder, "m", 2 * turn + 4)
                await load.until(2 * turn + 4)
        return load

    put(folder, "m", 2)
    with Running(folder) as running:
        load = asyncio.run(story(running.ready().url))
        assert running.stop() == 0
    assert not load.faults, (len(load.faults), load.faults[:3])
    assert set(load.answers) == {2 * turn + 2 for turn in range(turns + 1)}
    assert load.answers.total() > 20 * turns


def test_a_new_version_under_load_fails_no_request(tmp_path: Path) -> None:
    _reload(tmp_path, turns=5, pause_s=0.2)


@pytest.mark.slow
def test_a_new_version_each_second_for_two_minutes_fails_no_request(tmp_path: Path) -> None:
    _reload(tmp_path, turns=120, pause_s=1.0)


# Puts versions without rest: pushes, plain copies, and bad packs, which have odd numbers.
_BUSY = """
import random, sys
from pathlib import Path
from edgepack.runtime.serve.layout import highest
from edgepack.runtime.serve.push import push
from tests.runtime.serve.folders import BAD, sound

folder, rng = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
while True:
    kind = rng.choice(["push", "push", "copy", *BAD])
    version = 1 + highest(folder, "m")
    version += version % 2 != (kind in BAD)
    if kind == "push":
        source = folder / "source.tmp"
        source.write_bytes(sound(version))
        push(source, folder, "m", version)
    else:
        data = sound(version) if kind == "copy" else BAD[kind](version)
        with (folder / "m" / f"{version}.edgepack").open("wb", buffering=0) as file:
            for start in range(0, len(data), 700):
                file.write(data[start : start + 700])
    if kind not in BAD:
        print(version, flush=True)
"""


def _ask(running: Running) -> int:
    reply = httpx.post(f"{running.url}/v2/models/m/predict", json={"sample": SAMPLE}, timeout=PATIENCE_S)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    assert f"@{answer['model_version']}" in answer["results"][0][0]["label"]
    return int(answer["model_version"])


def _kill_again_and_again(folder: Path, times: int, seed: int) -> None:
    """Kill a server, and what changes its folder, at any moment of their lives, from the first one on."""
    rng = random.Random(seed)
    put(folder, "m", 2)
    good = 2
    for turn in range(times):
        with Running(folder) as running:
            busy = subprocess.Popen(
                [sys.executable, "-c", _BUSY, str(folder), str(seed + turn)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            if turn % 4:  # else it is killed while it starts
                answered = _ask(running.ready())
                assert answered % 2 == 0, "a bad version answered"
            end = time.monotonic() + rng.uniform(0, 1)
            while turn % 4 and time.monotonic() < end:
                answered = _ask(running)
                assert answered % 2 == 0, "a bad version answered"
            time.sleep(max(0.0, end - time.monotonic()))
            running.send(signal.SIGKILL)
            busy.kill()
            told = busy.communicate(timeout=PATIENCE_S)[0].split()
            assert running.code() == -signal.SIGKILL, running.errors
        good = max([good, *map(int, told)])
        with Running(folder) as running:
            answered = _ask(running.ready())
            assert running.stop() == 0
        assert answered % 2 == 0, "a bad version answered"
        assert answered >= good, "a version whose coming was told is never lost"
        good = answered
    assert max(scan(folder).models["m"]) > times, "too little happened between the kills to prove anything"


def test_a_server_that_is_killed_serves_the_last_good_version_again(tmp_path: Path) -> None:
    _kill_again_and_again(tmp_path, 2, seed=0)


@pytest.mark.slow
def test_after_fifty_kills_a_server_serves_the_last_good_version_each_time(tmp_path: Path) -> None:
    _kill_again_and_again(tmp_path, 50, seed=1000)
