"""Where a session of ONNX Runtime is to run, in its own terms; light, for the CPU needs nothing more."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

CPU = "CPUExecutionProvider"


class Place(NamedTuple):
    """One provider, made ready."""

    kind: str
    names: frozenset[str]
    """The names that its operators are counted under."""
    listed: tuple[tuple[str, dict[str, str]], ...] = ()
    """What `InferenceSession` takes as `providers`; empty for a plugin."""
    devices: tuple[Any, ...] = ()
    """What `SessionOptions.add_provider_for_devices` takes; empty for what is compiled in."""
    options: Mapping[str, str] = {}
    version: str = ""
    turn: AbstractContextManager[object] | None = None
    """What is held while anything of a session runs, is opened or closed; None where that needs nothing."""
