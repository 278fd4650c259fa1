"""The Pareto front: the files that no other beats in latency, size and quality at once."""

from collections.abc import Sequence
from dataclasses import dataclass

_LATENCY = 1.03  # times: closer than that, two files take the same time, as `choose` has it
_SIZE = 1.005
_QUALITY = 1e-6


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one file stands."""

    name: str
    latency_us: float
    size_bytes: int
    quality: float
    """More is better."""


def beats(one: Standing, other: Standing) -> bool:
    """Whether `one` is as good in all respects and clearly better in one."""
    as_good = (
        one.latency_us <= _LATENCY * other.latency_us
        and one.size_bytes <= _SIZE * other.size_bytes
        and one.quality >= other.quality - _QUALITY
    )
    better = (
        _LATENCY * one.latency_us < other.latency_us
        or _SIZE * one.size_bytes < other.size_bytes
        or one.quality > other.quality + _QUALITY
    )
    return as_good and better


def front(standings: Sequence[Standing]) -> list[Standing]:
    """Those that none beats, the fastest first.

    One joins, fastest first, where none of the front beats it, and sends away those that it beats: since figures that
    are close count as equal, three files may beat each other in a ring, and then one of them stays.
    """
    found: list[Standing] = []
    for one in sorted(standings, key=lambda each: (each.latency_us, each.size_bytes)):
        if not any(beats(other, one) for other in found):
            found = [other for other in found if not beats(one, other)] + [one]
    return found
