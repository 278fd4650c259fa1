"""From the version that a request names to the one that is meant, or why there is none."""

from edgepack.runtime.errors import NotReadyError, NotServedError, one_line
from edgepack.runtime.serve.models import Model, Slot
from edgepack.runtime.serve.state import LABELS


def answering(model: Model, version: str) -> Slot:
    """The slot that should answer, loaded or not.

    Args:
        model: The model.
        version: A version or a label; empty is the default.

    Raises:
        NotServedError: There is no such version or label, or it is not served; the message lists what is.
        NotReadyError: It is bad, was unloaded, or is still being copied.
    """
    if not version:
        slot = model.default()
        if slot is None:
            raise NotReadyError(f"model {model.name!r} is not ready: {_why_not(model)}")
        return slot
    slot = known(model, version)
    if slot.served is not None or (slot.version in model.wanted and not slot.is_bad):
        return slot
    entry = next(entry for entry in model.index() if entry.version == str(slot.version))
    told = f"version {slot.version} of model {model.name!r} is not ready: {entry.reason}"
    if slot.is_bad or model.state.unloaded or slot.version in model.state.out:
        raise NotReadyError(told)
    raise NotServedError(told)


def known(model: Model, version: str) -> Slot:
    """The slot of a version or a label, whatever its state; raises `NotServedError` that lists those there are."""
    slot = found(model, version)
    if slot is None:
        there = [*sorted(str(one) for one in model.slots), *model.state.labels]
        what = "label" if version in LABELS else "version"
        raise NotServedError(f"model {model.name!r} has no {what} {version[:40]!r} (there are: {', '.join(there)})")
    return slot


def found(model: Model, version: str) -> Slot | None:
    """The slot of a version or a label; None where there is none."""
    named = {str(number): slot for number, slot in model.slots.items() if not slot.expired}
    pointed = {label: named[str(at)] for label, at in model.state.labels.items() if str(at) in named}
    return (named | pointed).get(version)


def _why_not(model: Model) -> str:
    if model.state.unloaded:
        return "it was unloaded; load it to serve it again"
    reasons = [f"version {entry.version}: {entry.reason}" for entry in reversed(model.index()) if entry.reason]
    return one_line("; ".join(reasons)) or "none of its versions is served"
