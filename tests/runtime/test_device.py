"""The facts of this machine."""

import json
import os
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from edgepack.runtime import engines
from edgepack.runtime.device import this_device, usable_cores
from tests.conftest import Child
from tests.zoo.packs import ZOO


def test_usable_cores_follow_the_affinity_of_the_process() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_the_device_is_read_without_an_error() -> None:
    device = this_device()
    assert device.machine
    assert device.usable_cores >= 1


def test_heat_and_load_do_not_change_the_fingerprint() -> None:
    device = this_device()
    assert replace(device, temperature_celsius=99.0, load_average=9.9).fingerprint == device.fingerprint


@pytest.mark.parametrize("change", [{"cpu": "another"}, {"usable_cores": 77}, {"governor": "powersave!"}], ids=str)
def test_what_changes_a_measurement_changes_the_fingerprint(change: dict[str, object]) -> None:
    device = this_device()
    assert replace(device, **change).fingerprint != device.fingerprint  # type: ignore[arg-type]


def test_the_fingerprint_is_twelve_hex_digits() -> None:
    assert len(bytes.fromhex(this_device().fingerprint)) == 6


def test_the_fingerprint_is_the_same_from_call_to_call_and_under_load() -> None:
    before = this_device().fingerprint
    done = threading.Event()
    spinner = threading.Thread(target=lambda: [None for _ in iter(done.is_set, True)])
    spinner.start()
    try:
        assert {this_device().fingerprint for _ in range(3)} == {before}
    finally:
        done.set()
        spinner.join()


# What numpy and the engine have started, after loading and after running.
_THREADS = """
import json, os, sys
import edgepack, numpy as np
if sys.argv[3] == "one":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
def count(): return len(os.listdir("/proc/self/task"))
def busy():
    ticks = {}
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/schedstat") as file: ticks[task] = int(file.read().split()[0])
    return ticks
counts = [count()]
session = edgepack.load(sys.argv[1], engine=sys.argv[2], threads=None if sys.argv[3] == "one" else 3)
counts.append(count())
x = np.ones((64, 4), np.float32)
session.run(x)
before = busy()
for _ in range(50): session.run(x)
spent = sorted((used - before.get(task, 0) for task, used in busy().items()), reverse=True)
print(json.dumps({"threads": [*counts, count()], "others": sum(spent[1:]) / max(1, sum(spent))}))
"""


# Threads that a library starts for itself, whatever it is told, and that compute nothing: the time they take shows it.
LIBRARYS_OWN = {"onnx": 1, "openvino": 2}


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system does not tell of its threads")
@pytest.mark.parametrize("engine", engines.known())
def test_on_one_core_an_engine_uses_one_thread(child: Child, engine: str) -> None:
    if engine not in engines.available():
        pytest.skip(f"engine {engine!r} is not installed")
    file = ZOO / ("mlp_free.tflite" if engine == "litert" else "mlp.onnx")
    one, three = (json.loads(child(_THREADS, file, engine, how).stdout) for how in ("one", "three"))
    before, loaded, ran = one["threads"]
    assert before <= loaded <= ran <= before + LIBRARYS_OWN.get(engine, 0)
    assert one["others"] < 0.02  # of the time that all threads together ran
    assert max(three["threads"]) > ran or three["others"] > 0.1, "with three threads the same look sees more"
