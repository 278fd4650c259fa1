"""Where ONNX Runtime can execute: its own CPU, and what its builds and plugins bring."""

from edgepack.runtime.engines.base import Offer

CPU = "CPUExecutionProvider"


def offers() -> tuple[Offer, ...]:
    """Every provider of ONNX Runtime, best first of each kind."""
    return (Offer(CPU, "cpu"),)
