"""A server that is killed at any moment, while it serves, loads and pushes, comes back with the last good version."""

import asyncio
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runtime.serve.folders import Server, put

ROOT = Path(__file__).parents[3]

# Serves a folder and changes it without rest: pushes, plain copies as `cp` makes them, and bad packs. Good versions
# have even numbers and bad ones odd ones, so that a number that a kill left unused is never one of the other kind.
_BUSY = """
import asyncio, random, sys
from pathlib import Path
from edgepack.runtime.serve.layout import highest
from edgepack.runtime.serve.push import push
from tests.runtime.serve.folders import BAD, Server, sound

folder, rng = Path(sys.argv[1]), random.Random(int(sys.argv[2]))

def say(*words):
    print(*words, flush=True)

def copy(version, data):
    with (folder / "m" / f"{version}.edgepack").open("wb", buffering=0) as file:
        for start in range(0, len(data), 700):
            file.write(data[start : start + 700])

def change():
    kind = rng.choice(["push", "push", "copy", *BAD])
    version = 1 + highest(folder, "m")
    version += version % 2 != (kind in BAD)
    if kind == "push":
        source = folder / "source.tmp"
        source.write_bytes(sound(version))
        push(source, folder, "m", version)
        say("good", version)
    elif kind == "copy":
        copy(version, sound(version))
        say("good", version)
    else:
        copy(version, BAD[kind](version))
        say("bad", version)

async def main():
    async with Server(folder) as server:
        say("serves", await server.ask())
        while True:
            await asyncio.to_thread(change)
            for _ in range(3):
                say("answers", await server.ask())
                await asyncio.sleep(0.001)

asyncio.run(main())
"""


def _run_until_killed(folder: Path, seed: int, lines: int, seconds: float) -> str:
    """What a busy server said before it was killed: so long after so many lines, whatever it was at then."""
    busy = subprocess.Popen(
        [sys.executable, "-c", _BUSY, str(folder), str(seed)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert busy.stdout is not None
    said = [busy.stdout.readline() for _ in range(lines)]
    time.sleep(seconds)
    busy.send_signal(signal.SIGKILL)
    rest, complaints = busy.communicate(timeout=30)
    assert busy.returncode == -signal.SIGKILL, complaints
    return "".join(said) + rest


async def _answers(folder: Path) -> int:
    """The version that a new server of the folder answers with."""
    async with Server(folder, watch=False) as server:
        assert server.plane.ready()
        return int(await server.ask())


def _kill_again_and_again(folder: Path, times: int, seed: int) -> None:
    rng = random.Random(seed)
    put(folder, "m", 2)
    good, bad = {2}, 0
    for turn in range(times):
        lines, seconds = (rng.randrange(1, 16), rng.uniform(0, 0.02)) if turn % 4 else (0, rng.uniform(0, 0.8))
        said = _run_until_killed(folder, seed + turn, lines, seconds)
        good |= {int(version) for version in re.findall(r"^good (\d+)$", said, re.MULTILINE)}
        bad += said.count("bad ")
        seen = {int(version) for version in re.findall(r"^(?:answers|serves) (\d+)$", said, re.MULTILINE)}
        assert all(version % 2 == 0 for version in seen), "a bad version answered"
        answered = asyncio.run(_answers(folder))
        assert answered >= max(good), "a version whose push was told to have ended is never lost"
        assert answered % 2 == 0, "a bad version answered"
        good.add(answered)
    assert min(len(good), bad) > times // 4, "too little happened between the kills to prove anything"


def test_after_ten_kills_the_last_good_version_answers_each_time(tmp_path: Path) -> None:
    _kill_again_and_again(tmp_path, 10, seed=0)


@pytest.mark.slow
def test_after_fifty_kills_the_last_good_version_answers_each_time(tmp_path: Path) -> None:
    _kill_again_and_again(tmp_path, 50, seed=1000)
