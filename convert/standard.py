"""Which ONNX a file is written in: its operator set and IR version, and the ONNX Runtime that reads them."""

import re
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edgepack.runtime.errors import InputError

# ONNX Runtime -> newest operator set and newest IR version it reads, from the compatibility table in its documentation
_READS = {
    (1, 8): (14, 7),
    (1, 9): (15, 8),
    (1, 11): (16, 8),
    (1, 12): (17, 8),
    (1, 14): (18, 8),
    (1, 15): (19, 8),
    (1, 17): (20, 9),
    (1, 18): (21, 10),
}
_TABLE_ENDS = (1, 20)  # newer releases read all that this one does
OPSETS = tuple(opset for opset, _ in _READS.values())
# operator of com.microsoft -> the first ONNX Runtime that runs it as it is written here: files were tried in 1.15.1,
# 1.16.3, 1.17.3, 1.20.1 and 1.31.1
_SINCE = {
    "MatMulNBits": (1, 17),
    "QuantizeLinear of 16 bits": (1, 17),
    "DequantizeLinear of 16 bits": (1, 17),
}
_SIXTEEN_BITS = {4, 5}  # uint16 and int16 as TensorProto numbers them
EXPORTED = 18  # the newest operator set that the exporter writes itself; later ones are converted from it


@dataclass(frozen=True, slots=True)
class Standard:
    """The versions in an ONNX file's head."""

    opset: int
    ir_version: int
    onnxruntime: str
    """The oldest ONNX Runtime that reads them."""
    asked: str | None = None
    """The oldest ONNX Runtime that was asked to read the file; None where none was."""

    def __str__(self) -> str:
        return f"opset {self.opset}, IR version {self.ir_version}"


def choose(opset: int | None, min_onnxruntime: str | None) -> Standard:
    """The standard for what was asked.

    Args:
        opset: The operator set; None takes the newest that is exported and that `min_onnxruntime` reads.
        min_onnxruntime: The oldest ONNX Runtime that must read the file, such as `"1.17"`; None asks nothing.

    Raises:
        InputError: An operator set or a version beyond those known, or two that contradict each other.
    """
    if opset is not None and (type(opset) is not int or opset not in OPSETS):
        raise InputError(f"opset is {opset!r}; it takes {OPSETS[0]} to {OPSETS[-1]}")
    newest = OPSETS[-1] if min_onnxruntime is None else _newest_opset(min_onnxruntime)
    if opset is None:
        return replace(_standard(min(EXPORTED, newest)), asked=min_onnxruntime)
    if opset > newest:
        raise InputError(
            f"ONNX Runtime {min_onnxruntime} reads operator sets up to {newest}, and opset {opset} was asked, which "
            f"needs {_standard(opset).onnxruntime}: leave one of the two out"
        )
    return replace(_standard(opset), asked=min_onnxruntime)


def too_new(model: Any, standard: Standard) -> str:
    """Why the ONNX Runtime that was asked for does not run a model of this standard; empty where it does."""
    asked = _parse(standard.asked) if standard.asked else None
    if asked is None:
        return ""
    wide = any(one.data_type in _SIXTEEN_BITS for one in model.graph.initializer)
    used = {f"{node.op_type} of 16 bits" if wide and "Quantize" in node.op_type else node.op_type
            for node in model.graph.node if node.domain == "com.microsoft"}  # fmt: skip
    newer = {kind: _SINCE[kind] for kind in sorted(used) if kind in _SINCE and _SINCE[kind] > asked}
    return "; ".join(
        f"com.microsoft's {kind} needs ONNX Runtime {_text(since)}, and {standard.asked} was asked to read the file"
        for kind, since in newer.items()
    )


def _newest_opset(runtime: str) -> int:
    """The newest operator set that a version of ONNX Runtime reads."""
    asked = _parse(runtime) if isinstance(runtime, str) else None
    first, last = min(_READS), max(_TABLE_ENDS, _installed())
    if asked is None or not first <= asked <= last:
        raise InputError(
            f"min_onnxruntime is {runtime!r}; it takes a version from {_text(first)} to {_text(last)}, such as '1.17'"
        )
    return _READS[max(known for known in _READS if known <= asked)][0]


def _standard(opset: int) -> Standard:
    """The standard with an operator set, in the oldest IR version that goes with it."""
    runtime, (_, ir_version) = next((key, reads) for key, reads in _READS.items() if reads[0] == opset)
    return Standard(opset, ir_version, _text(runtime))


def _installed() -> tuple[int, int]:
    try:
        return _parse(version("onnxruntime")) or _TABLE_ENDS
    except PackageNotFoundError:
        return _TABLE_ENDS


def _parse(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,4})\.(\d{1,4})(\.\d+)*", text.strip(), re.ASCII)
    return (int(found[1]), int(found[2])) if found else None


def _text(runtime: tuple[int, int]) -> str:
    return ".".join(map(str, runtime))
