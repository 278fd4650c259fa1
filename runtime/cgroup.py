"""What Linux lets this process use: the limits of its control group and of every group around it.

A container sees the whole machine's cores and memory and may have a share of them. Each group up to the root may set a
limit, and the smallest counts. Version 2 of the interface has one tree of groups, version 1 one for each resource; some
systems have both.
"""

import contextlib
import os
from collections.abc import Iterator

Root = str | os.PathLike[str]

ROOT = "/"


def cores(root: Root = ROOT) -> float | None:
    """How many cores' worth of time there is, as a fraction; None without a limit.

    Args:
        root: Where `proc` and `sys` lie.
    """
    found = [
        quota / period
        for group in _groups(root, "cpu")
        for quota, period in (
            _pair(f"{group}/cpu.max"),
            _two(f"{group}/cpu.cfs_quota_us", f"{group}/cpu.cfs_period_us"),
        )
        if quota > 0 and period > 0
    ]
    return min(found, default=None)


def memory_bytes(root: Root = ROOT) -> int | None:
    """How much memory there is; None without a limit. Version 1 writes a number beyond any memory for none."""
    found = [
        limit
        for group in _groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (limit := _number(f"{group}/{name}")) > 0
    ]
    return min(found, default=None)


def _groups(root: Root, resource: str) -> Iterator[str]:
    """Folders of this process's group and of those around it, in every tree that governs a resource."""
    trees = os.path.join(root, "sys", "fs", "cgroup")
    for line in _text(os.path.join(root, "proc", "self", "cgroup")).splitlines():
        _, _, rest = line.partition(":")
        resources, _, path = rest.partition(":")
        if not resources:
            places = {trees, f"{trees}/unified"}
        elif resource in resources.split(","):
            places = {f"{trees}/{resources}", f"{trees}/{resource}"}
        else:
            continue
        # A container may be told its path on the host, of which its own tree has nothing: its root is its group then.
        parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
        for place in places:
            yield from (os.path.join(place, *parts[:depth]) for depth in range(len(parts) + 1))


def _pair(path: str) -> tuple[int, int]:
    """Quota and period as version 2 writes them, on one line; 0 for none."""
    quota, _, period = _text(path).partition(" ")
    return _whole(quota), _whole(period)


def _two(quota: str, period: str) -> tuple[int, int]:
    return _number(quota), _number(period)


def _number(path: str) -> int:
    return _whole(_text(path))


def _whole(text: str) -> int:
    """A number the kernel wrote; 0 for its words of there being none (`max`, -1)."""
    return int(text) if text.isascii() and text.isdigit() else 0


def _text(path: str) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8") as file:
        return file.read().strip()
    return ""
