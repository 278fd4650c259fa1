"""What is known to work with which model on this device: found out in a process of its own, and remembered."""

import datetime as dt
import hashlib
import os
from importlib.util import find_spec
from pathlib import Path

import msgspec

from edgepack.runtime import engines, trials
from edgepack.runtime.cache import Store
from edgepack.runtime.device import this_device
from edgepack.runtime.errors import EngineError, ProviderError
from edgepack.runtime.trials import Opened
from edgepack.runtime.ways import Way

_DOUBT_DAYS = 1  # then what failed is tried again: drivers are mended


class Verdict(msgspec.Struct, frozen=True):
    """What one trial found, and when."""

    found: Opened
    tried: str
    """When, in ISO 8601 and UTC."""

    @property
    def lasting(self) -> bool:
        """Whether it is believed without trying again."""
        age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(self.tried)
        return not self.found.reason or age < dt.timedelta(days=_DOUBT_DAYS)


def device_for(path: Path, data: bytes, way: Way) -> str:
    """Make sure that a way to run a model does not take this process down.

    It is tried once in a process of its own.

    Args:
        path: The pack or the file.
        data: The file itself.
        way: How it is to run.

    Returns:
        What the provider runs on, where it is not the CPU itself; software is named so.

    Raises:
        ProviderError: The provider fails, or takes its process down.
        EngineError: The engine's own CPU takes its process down with this file.
    """
    own = way.provider == engines.own_cpu(way.engine)
    verdict = _verdict(path, data, way)
    found = verdict.found
    if found.reason and own:
        if found.died:
            raise EngineError(f"{way.engine} was tried with this file on {verdict.tried[:10]}: {found.reason}")
        return ""  # the engine says so itself, in its own kind of error
    if found.reason:
        raise ProviderError(way.provider, found.reason, ["cpu"])
    return f"{found.device} (software)" if found.software else found.device


def _verdict(path: Path, data: bytes, way: Way) -> Verdict:
    store = Store("verdicts")
    key = key_of(data, way)
    known = store.get(key, Verdict)
    if known is not None and known.lasting:
        return known
    made = Verdict(trials.try_once(path, way), dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
    store.put(key, made)
    return made


def key_of(data: bytes, way: Way) -> str:
    """What a verdict holds for: the file, the way, the library and the device."""
    return " ".join(
        (hashlib.sha256(data).hexdigest(), str(way), f"reduced={way.reduced}", str(sorted(way.options.items())),
         library_mark(way.engine), this_device().fingerprint)
    )  # fmt: skip


def library_mark(engine: str) -> str:
    """What changes when the library behind an engine is installed anew."""
    module = engines.library(engine)
    spec = find_spec(module) if module else None
    if spec is None or spec.origin is None:
        return "none"
    return f"{module}@{os.stat(spec.origin).st_mtime_ns}"
