"""The limits of control groups, in trees as Linux lays them out."""

from pathlib import Path

import pytest

from edgepack.runtime import cgroup
from edgepack.runtime.device import memory_bytes, usable_cores

HUGE = "9223372036854771712"  # version 1 without a limit


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


OWN, TREE = "proc/self/cgroup", "sys/fs/cgroup"
CORES = {
    "nothing": ({}, None),
    "root": ({OWN: "0::/", f"{TREE}/cpu.max": "200000 100000"}, 2),
    "unlimited": ({OWN: "0::/a", f"{TREE}/a/cpu.max": "max 100000"}, None),
    "one-and-a-half": ({OWN: "0::/a", f"{TREE}/a/cpu.max": "150000 100000"}, 1.5),
    "nested-inner": (
        {OWN: "0::/a/b/c", f"{TREE}/a/cpu.max": "400000 100000", f"{TREE}/a/b/c/cpu.max": "100000 100000"}, 1,
    ),
    "nested-outer": (
        {OWN: "0::/a/b", f"{TREE}/a/cpu.max": "50000 100000", f"{TREE}/a/b/cpu.max": "300000 100000"}, 0.5,
    ),
    "another-group": ({OWN: "0::/a", f"{TREE}/b/cpu.max": "100000 100000"}, None),
    "container-with-the-hosts-path": ({OWN: "0::/docker/1234", f"{TREE}/cpu.max": "100000 50000"}, 2),
    "container-beside": ({OWN: "0::/../other", f"{TREE}/cpu.max": "100000 50000"}, 2),
    "version-1": (
        {OWN: "9:memory:/a\n4:cpu,cpuacct:/a",
         f"{TREE}/cpu,cpuacct/a/cpu.cfs_quota_us": "250000", f"{TREE}/cpu,cpuacct/a/cpu.cfs_period_us": "100000"}, 2.5,
    ),
    "version-1-nested": (
        {OWN: "4:cpu:/a/b", f"{TREE}/cpu/a/cpu.cfs_quota_us": "100000", f"{TREE}/cpu/a/cpu.cfs_period_us": "100000",
         f"{TREE}/cpu/a/b/cpu.cfs_quota_us": "-1", f"{TREE}/cpu/a/b/cpu.cfs_period_us": "100000"}, 1,
    ),
    "version-1-unlimited": (
        {OWN: "4:cpu:/", f"{TREE}/cpu/cpu.cfs_quota_us": "-1", f"{TREE}/cpu/cpu.cfs_period_us": "100000"}, None,
    ),
    "both": (
        {OWN: "4:cpu:/a\n0::/a", f"{TREE}/unified/a/cpu.max": "max 100000",
         f"{TREE}/cpu/a/cpu.cfs_quota_us": "300000", f"{TREE}/cpu/a/cpu.cfs_period_us": "100000"}, 3,
    ),
    "nonsense": ({OWN: "::::\n\nx\n0::/a", f"{TREE}/a/cpu.max": "lots 0"}, None),
    "no-period": ({OWN: "0::/a", f"{TREE}/a/cpu.max": "100000 0"}, None),
    "binary": ({OWN: "0::/a", f"{TREE}/a/cpu.max": "²5 ٣"}, None),
}  # fmt: skip


@pytest.mark.parametrize(("files", "wanted"), CORES.values(), ids=CORES)
def test_the_smallest_quota_on_the_way_up_counts(tmp_path: Path, files: dict[str, str], wanted: float | None) -> None:
    assert cgroup.cores(tree(tmp_path, files)) == wanted


MEMORY = {
    "nothing": ({}, None),
    "unlimited": ({OWN: "0::/a", f"{TREE}/a/memory.max": "max"}, None),
    "nested": ({OWN: "0::/a/b", f"{TREE}/a/memory.max": "4096", f"{TREE}/a/b/memory.max": "8192"}, 4096),
    "version-1": (
        {OWN: "9:memory:/a", f"{TREE}/memory/memory.limit_in_bytes": HUGE,
         f"{TREE}/memory/a/memory.limit_in_bytes": "8192"}, 8192,
    ),
    "another-resource": ({OWN: "4:cpu:/a", f"{TREE}/memory/a/memory.limit_in_bytes": "8192"}, None),
}  # fmt: skip


@pytest.mark.parametrize(("files", "wanted"), MEMORY.values(), ids=MEMORY)
def test_the_smallest_memory_on_the_way_up_counts(tmp_path: Path, files: dict[str, str], wanted: int | None) -> None:
    assert cgroup.memory_bytes(tree(tmp_path, files)) == wanted


@pytest.mark.parametrize("quota", [10_000, 100_000, 150_000, 199_999], ids=str)
def test_less_than_two_cores_are_one(tmp_path: Path, quota: int) -> None:
    assert usable_cores(tree(tmp_path, {OWN: "0::/", f"{TREE}/cpu.max": f"{quota} 100000"})) == 1


def test_a_quota_beyond_the_machine_gives_no_more_cores(tmp_path: Path) -> None:
    root = tree(tmp_path, {OWN: "0::/", f"{TREE}/cpu.max": "99900000 100000"})
    assert usable_cores(root) == usable_cores(tmp_path / "nothing")


def test_memory_is_the_smaller_of_the_machines_and_the_groups(tmp_path: Path) -> None:
    everything = memory_bytes(tmp_path / "nothing")
    assert memory_bytes(tree(tmp_path / "tight", {OWN: "0::/", f"{TREE}/memory.max": "8192"})) == 8192
    loose = tree(tmp_path / "loose", {OWN: "9:memory:/", f"{TREE}/memory/memory.limit_in_bytes": HUGE})
    assert memory_bytes(loose) == (everything or int(HUGE))
