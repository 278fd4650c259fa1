"""What the system says of a process: its memory and its time."""

import contextlib
import os
from typing import NamedTuple


class Process(NamedTuple):
    """Facts of a process, read now."""

    resident_bytes: int
    cpu_s: float
    """Time of the processor it has used since its start, its own and the system's for it."""
    open_files: int


def process(pid: int) -> Process | None:
    """The facts of a process of this user; None where it is gone, or the system tells none (it is no Linux)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            behind_name = file.read().rpartition(")")[2].split()  # the name may hold anything, spaces too
        ticks = int(behind_name[11]) + int(behind_name[12])
        open_files = len(os.listdir(f"/proc/{pid}/fd"))
        return Process(pages * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK"), open_files)
    return None
