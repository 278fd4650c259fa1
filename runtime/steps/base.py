"""A step as the manifest holds it: a name and plain options."""

from typing import Any

import msgspec


class Step(msgspec.Struct, frozen=True):
    """One piece of pre- or post-processing, written as data: `Step("resize", {"height": 28, "width": 28})`."""

    step: str
    options: dict[str, Any] = {}


class Steps(msgspec.Struct, frozen=True):
    """What happens to each input before the engine and to each output after it, by the model's names."""

    inputs: dict[str, tuple[Step, ...]] = {}
    outputs: dict[str, tuple[Step, ...]] = {}
