"""What was found fastest for a pack on this device, remembered until the pack, the device or an engine changes."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from edgepack.runtime import engines
from edgepack.runtime.cache import Store
from edgepack.runtime.device import check_threads, this_device
from edgepack.runtime.errors import InputError
from edgepack.runtime.manifest import Manifest, encode
from edgepack.runtime.verdicts import library_mark
from edgepack.runtime.ways import Way

OBJECTIVES = ("latency", "p90", "throughput", "memory", "size")


class Measurement(msgspec.Struct, frozen=True):
    """One way that was looked at."""

    way: Way
    reason: str = ""
    """Why it is no candidate, or was not measured; empty where it was."""
    p50_us: float | None = None
    p90_us: float | None = None
    rows_per_second: float | None = None
    """With as many rows at once as were asked for."""
    memory_bytes: int | None = None
    """What the process grew by while the model was opened and run once."""
    size_bytes: int = 0
    load_us: float | None = None
    device: str = ""
    software: bool = False
    """Whether an accelerator is a program on the CPU."""
    placement: Mapping[str, int] = {}
    rounds_us: tuple[float, ...] = ()
    """The median of each round."""


class Choice(msgspec.Struct, frozen=True):
    """What was chosen, and all that it was chosen from, best first."""

    pack: str
    objective: str
    way: Way
    measured: str
    """When, in ISO 8601 and UTC."""
    device: str
    """Fingerprint of the device."""
    rows: int
    measurements: tuple[Measurement, ...]
    noise: float
    """How far the rounds of the fastest way are apart, as a share of its median."""
    warnings: tuple[str, ...] = ()

    @property
    def best(self) -> Measurement:
        """The chosen one."""
        return self.measurements[0]


def key(manifest: Manifest, objective: str) -> str:
    """What a choice holds for: this pack, this device, these libraries, this aim."""
    return _keys(manifest, [objective])[0]


def _keys(manifest: Manifest, objectives: Sequence[str]) -> list[str]:
    """The keys of several objectives: what they share is worked out once, as each load asks."""
    marks = [f"{name} {library_mark(name)}" for name in engines.available()]
    digest = hashlib.sha256(encode(manifest)).hexdigest()
    shared = [digest, this_device().fingerprint, *marks]
    return [" ".join([manifest.name, objective, *shared]) for objective in objectives]


def remember(manifest: Manifest, choice: Choice) -> None:
    """Keep a choice; the one before is forgotten."""
    Store("choices").put(key(manifest, choice.objective), choice)


def remembered(manifest: Manifest, objective: str | None = None) -> Choice | None:
    """The choice that was made for a pack here, the latest of all objectives where none is named.

    None where none was made, something changed since, or what is kept cannot be one.
    """
    store = Store("choices")
    found = [store.get(one, Choice) for one in _keys(manifest, [objective] if objective else OBJECTIVES)]
    sound = [one for one in found if one is not None and _is_sound(one, manifest)]
    return max(sound, key=lambda choice: choice.measured, default=None)


def _is_sound(choice: Choice, manifest: Manifest) -> bool:
    """Whether a choice that anybody may have edited can be followed."""
    with contextlib.suppress(InputError):
        check_threads(choice.way.threads)
        known = any(one.name == choice.way.variant for one in manifest.variants)
        return known and bool(choice.measurements)
    return False
