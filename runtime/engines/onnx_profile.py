"""Which provider ran which operator, for releases of ONNX Runtime that do not tell it: from the profile of one run."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgepack.runtime.tensor import TensorSpec

_KERNEL = "_kernel_time"


class _Facts(msgspec.Struct, frozen=True):
    provider: str = ""
    op_name: str = ""


class _Event(msgspec.Struct, frozen=True):
    """What is read of an event; the file holds many others."""

    name: str
    cat: str = ""
    args: _Facts = _Facts()


def ran_where(open_profiled: Callable[[str], Any], inputs: Sequence[TensorSpec]) -> dict[str, list[str]] | None:
    """The types of the operators that each provider ran.

    Args:
        open_profiled: Opens the session with its profile written to files that begin with a path.
        inputs: What the file takes; zeros are run, with 1 for every axis that is free.

    Returns:
        None where the file does not run on zeros, so that nothing is known.
    """
    with tempfile.TemporaryDirectory(prefix="edgepack-profile-") as folder:
        session = open_profiled(str(Path(folder) / "run"))
        feeds = {spec.name: _zeros(spec) for spec in inputs}
        try:
            session.run(None, feeds)
        except Exception:  # noqa: BLE001 - whatever an engine raises, it only means that zeros tell nothing here
            return None
        finally:
            written = session.end_profiling()
        events = msgspec.json.decode(Path(written).read_bytes(), type=list[_Event])
    kernels = {event.name: event.args for event in events if event.cat == "Node" and event.name.endswith(_KERNEL)}
    found: dict[str, list[str]] = {}
    for facts in kernels.values():  # by the node's name: what a loop runs many times counts once
        found.setdefault(facts.provider, []).append(facts.op_name)
    return found


def _zeros(spec: TensorSpec) -> Any:
    shape = [size or 1 for size in spec.shape]
    return np.full(shape, "", object) if spec.dtype == "string" else np.zeros(shape, spec.numpy_dtype)
