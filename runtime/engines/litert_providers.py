"""Where LiteRT can execute: the interpreter with XNNPACK, its accelerators, and delegates of others."""

from edgepack.runtime.engines.base import Offer
from edgepack.runtime.engines.litert_library import CPU


def offers() -> tuple[Offer, ...]:
    """Every provider of LiteRT, best first of each kind."""
    return (Offer(CPU, "cpu"),)
