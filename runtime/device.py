"""Facts of this machine: processor, usable cores, memory, clock governor, heat; and a fingerprint of them."""

import contextlib
import os

import msgspec

from edgepack.runtime import cgroup
from edgepack.runtime.errors import InputError

_MOST_THREADS = 256  # beyond, engines take seconds to start threads, or crash where the system refuses one
_TELLING_FLAGS = (
    "sse4_1", "avx", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip


class Device(msgspec.Struct, frozen=True):
    """What a measurement must be read together with. Facts that this system does not tell are empty or None."""

    system: str
    machine: str
    cpu: str
    cpu_flags: tuple[str, ...]
    usable_cores: int
    memory_bytes: int | None
    governor: str
    temperature_celsius: float | None
    load_average: float | None

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that stay the same while the hardware and its limits do."""
        import hashlib  # who only asks for the cores of this machine needs none of it

        lasting = {
            k: v for k, v in msgspec.structs.asdict(self).items() if k not in {"temperature_celsius", "load_average"}
        }
        return hashlib.sha256(repr(sorted(lasting.items())).encode()).hexdigest()[:12]


def this_device() -> Device:
    """The facts of this machine, read now; nothing here raises where a system tells less."""
    import platform

    cpu, flags = _processor()
    return Device(
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        cpu=cpu,
        cpu_flags=flags,
        usable_cores=usable_cores(),
        memory_bytes=memory_bytes(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        temperature_celsius=_temperature(),
        load_average=_load_average(),
    )


def check_threads(threads: object) -> None:
    """Raise `InputError` for a number of threads that no call is given."""
    if not (isinstance(threads, int) and not isinstance(threads, bool) and 1 <= threads <= _MOST_THREADS):
        raise InputError(f"threads is {threads!r}; it takes 1 to {_MOST_THREADS}, or None for all usable cores")


def usable_cores(root: cgroup.Root = cgroup.ROOT) -> int:
    """How many cores this process may really use: by its affinity and its control groups' quotas, at least 1.

    Part of a core counts for nothing: a thread for it would be stopped in the middle of most calls.

    Args:
        root: Where `proc` and `sys` lie.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = cgroup.cores(root)
    return cores if quota is None else max(1, min(cores, int(quota)))


def _processor() -> tuple[str, tuple[str, ...]]:
    """Name and telling instruction sets of the first core."""
    import platform

    facts: dict[str, str] = {}
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip().lower(), value.strip())
    flags = set((facts.get("flags") or facts.get("features") or "").split())
    name = facts.get("model name") or facts.get("model") or platform.processor() or platform.machine()
    return name, tuple(flag for flag in _TELLING_FLAGS if flag in flags)


def memory_bytes(root: cgroup.Root = cgroup.ROOT) -> int | None:
    """How much memory this process may use: the machine's, or what its control groups leave it of that."""
    found = [cgroup.memory_bytes(root)]
    with contextlib.suppress(ValueError, OSError, AttributeError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min((limit for limit in found if limit is not None), default=None)


def _temperature() -> float | None:
    text = _read("/sys/class/thermal/thermal_zone0/temp")
    return int(text) / 1000 if text.lstrip("-").isdigit() else None


def _load_average() -> float | None:
    with contextlib.suppress(OSError, AttributeError):
        return round(os.getloadavg()[0], 2)
    return None


def _read(path: str) -> str:
    """The text of a file of the kernel, or nothing."""
    with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8") as file:
        return file.read().strip()
    return ""
