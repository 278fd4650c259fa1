"""The facts of this machine."""

import os

import pytest
from msgspec.structs import replace

from edgepack.runtime.device import this_device, usable_cores


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
