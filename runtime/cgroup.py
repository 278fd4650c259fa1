"""What Linux lets this process use: the limits of its control group and of every group around it.

A container sees the whole machine's cores and memory and may have a share of them. Each group up to the root may set a
limit, and the smallest counts. Version 2 of the interface has one tree of groups, version 1 one for each resource; some
systems have both.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def cores(root: Path = ROOT) -> float | None:
    """How many cores' worth of time there is, as a fraction; None without a limit.

    Args:
        root: Where `proc` and `sys` lie.
    """
    found = [
        quota / period
        for group in _groups(root, "cpu")
        for quota, period in (_pair(group / "cpu.max"), _two(group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us"))
        if quota > 0 and period > 0
    ]
    return min(found, default=None)


def memory_bytes(root: Path = ROOT) -> int | None:
    """How much memory there is; None without a limit. Version 1 writes a number beyond any memory for none."""
    found = [
        limit
        for group in _groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _number(group / name)) > 0
    ]
    return min(found, default=None)


def _groups(root: Path, resource: str) -> Iterator[Path]:
    """Folders of this process's group and of those around it, in every tree that governs a resource."""
    trees = root / "sys" / "fs" / "cgroup"
    for line in _text(root / "proc" / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        resources, _, path = rest.partition(":")
        if not resources:
            places = {trees, trees / "unified"}
        elif resource in resources.split(","):
            places = {trees / resources, trees / resource}
        else:
            continue
        # A container may be told its path on the host, of which its own tree has nothing: its root is its group then.
        parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
        for place in places:
            yield from (place.joinpath(*parts[:depth]) for depth in range(len(parts) + 1))


def _pair(path: Path) -> tuple[int, int]:
    """Quota and period as version 2 writes them, on one line; 0 for none."""
    quota, _, period = _text(path).partition(" ")
    return _whole(quota), _whole(period)


def _two(quota: Path, period: Path) -> tuple[int, int]:
    return _number(quota), _number(period)


def _number(path: Path) -> int:
    return _whole(_text(path))


def _whole(text: str) -> int:
    """A number the kernel wrote; 0 for its words of there being none (`max`, -1)."""
    return int(text) if text.isascii() and text.isdigit() else 0


def _text(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8").strip()
    return ""
