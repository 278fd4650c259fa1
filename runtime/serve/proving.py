"""A version from its file to ready: whole, right on this device, warm. All of it is blocking work for a thread."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from edgepack.runtime.errors import EngineError, PackError
from edgepack.runtime.loading import load
from edgepack.runtime.pack import Pack
from edgepack.runtime.serve.layout import Place
from edgepack.runtime.serve.served import Served
from edgepack.runtime.serve.settings import ModelSettings

Opener = Callable[[Path, str, str, ModelSettings], Served]
"""Path, name, version and settings to what answers; it checks the golden samples, as `edgepack.load` does."""


def prove(place: Place, settings: ModelSettings, opener: Opener) -> Served:
    """Return a version that has proved itself here and is warm.

    Raises:
        PackError: The pack is damaged, not whole yet, or holds nothing to prove it with.
        EdgepackError: As `edgepack.load` does.
    """
    with Pack(place.path) as pack:
        for ref in pack.references():
            pack.read(ref)
        if not pack.manifest.goldens:
            raise PackError(f"{place.path} holds no golden samples, so nothing proves it here; build the pack again")
        inputs, _ = pack.golden(pack.manifest.goldens[0])
    served = opener(place.path, place.name, str(place.version), settings)
    try:
        served.session.run(inputs)
    except BaseException:
        served.session.close()  # nothing is queued yet: the session is all there is
        raise
    return served


def is_golden(error: BaseException, place: Place, settings: ModelSettings) -> bool:
    """Whether a version failed by its golden answers: it opens where they are not asked for."""
    if not isinstance(error, EngineError):
        return False
    try:
        load(
            place.path, variant=settings.variant, engine=settings.engine, provider=settings.provider,
            threads=settings.threads, strict=settings.strict, check=False,
        ).close()  # fmt: skip
    except Exception:  # noqa: BLE001 - engines raise anything; it does not open
        return False
    return True


def give_back() -> None:
    """Return to the system what loading took and holds no more: files of packs, golden samples, tensors of tuning.

    The C library keeps freed memory for itself where it lies between pieces that are in use; glibc can be told not to.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # another C library
        return
    trim(0)


def resident_bytes() -> int:
    """What this process has in memory now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
