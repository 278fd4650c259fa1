"""The table of precisions as text and as JSON."""

from typing import Any

import msgspec

from edgepack.convert.precisions import PRECISIONS, Precision

COLUMNS = ("precision", "weights", "activations", "in → out", "calibrated", "ONNX", "TFLite")


def rows() -> list[tuple[str, ...]]:
    """One row of text for each precision, as `COLUMNS` says."""
    return [
        (
            one.name, one.weights, one.activations, f"{one.inputs} → {one.outputs}",
            "yes" if one.needs_calibration else "no", _engines(one, "onnx"), _engines(one, "tflite"),
        )
        for one in PRECISIONS.values()
    ]  # fmt: skip


def limits() -> list[str]:
    """What is not to be had, one line each."""
    return [
        f"{one.name} in {name}: {text}"
        for one in PRECISIONS.values()
        for name, support in one.formats.items()
        for text in (
            *support.refused,
            *(f"{engine} {what}" for engine, what in support.but.items()),
            *support.unfit.values(),
        )
    ]


def as_json() -> dict[str, Any]:
    """Every fact, by the precision's name."""
    return {
        name: {
            "weights": one.weights,
            "activations": one.activations,
            "inputs": one.inputs,
            "outputs": one.outputs,
            "needs_calibration": one.needs_calibration,
            "options": sorted(one.options),
            "budget": msgspec.to_builtins(one.budget),
            "formats": msgspec.to_builtins(dict(one.formats)),
        }
        for name, one in PRECISIONS.items()
    }


def _engines(precision: Precision, file_format: str) -> str:
    support = precision.formats[file_format]
    return ", ".join(f"{engine} ≥ {since}" for engine, since in support.since.items())
