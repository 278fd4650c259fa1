"""Where a pack comes from, for its manifest and the report."""

import datetime as dt
import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgepack.convert.calibrate import Stream
from edgepack.convert.lift import Lifted
from edgepack.convert.plan import Plan
from edgepack.convert.samples import Samples
from edgepack.convert.subject import Subject
from edgepack.runtime.device import this_device

_LIBRARIES = (
    "edgepack",
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "litert-quantizer",
    "numpy",
)


def provenance_of(
    plan: Plan, subject: Subject, calibration: Stream | None, judged: Samples, seed: int
) -> dict[str, Any]:
    """Where a pack comes from: the model, the samples, the libraries, the machine it was proved on.

    Args:
        plan: What was asked for.
        subject: What is converted.
        calibration: The calibration samples; None where there are none.
        judged: The samples every file is judged on.
        seed: Which calibration samples were drawn.
    """
    facts: dict[str, Any] = {
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
        "proved_on": {"cpu": (device := this_device()).cpu, "fingerprint": device.fingerprint},
        "evaluation": {"origin": judged.origin, "samples": len(judged), "sha256": judged.digest},
    }
    if "onnx" in plan.targets:
        facts["onnx"] = {"standard": str(plan.standard), "min_onnxruntime": plan.standard.onnxruntime}
    if calibration:
        drawn = {"drawn_from": calibration.drawn_from, "seed": seed} if calibration.drawn_from else {}
        facts["calibration"] = {
            "origin": calibration.origin, "samples": calibration.count, "sha256": calibration.digest, **drawn
        }  # fmt: skip
    if subject.card and subject.card.recipe:
        facts["recipe"] = subject.card.recipe
    return facts | _origin(subject.model, subject.lifted)


def _origin(model: Any, lifted: Lifted | None) -> dict[str, Any]:
    """What the pack was made of: the name of the model's file, without its folder, and what became steps."""
    facts: dict[str, Any] = {"lifted": lifted.layers} if lifted else {}
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        facts["model"] = {"file": path.name} | ({"sha256": digest} if digest else {})
    return facts


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
