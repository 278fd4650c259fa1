"""Where an engine executes: what was asked, what this machine has, and what to hand to the engine."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgepack.runtime.errors import ProviderError, UnknownNameError

KINDS = ("cpu", "gpu", "npu")

# engine -> its own provider name -> kind; what edgepack drives today
_PROVIDERS: dict[str, dict[str, str]] = {
    "onnx": {"CPUExecutionProvider": "cpu"},
    "litert": {"XNNPACK": "cpu"},
}


def known() -> tuple[str, ...]:
    """Every provider name that may be asked for."""
    return ("auto", *KINDS, *(name for names in _PROVIDERS.values() for name in names))


@dataclass(frozen=True, slots=True)
class Resolved:
    """What to hand to the engine, and why better names were passed over."""

    names: tuple[str, ...]
    passed_over: tuple[str, ...]


def resolve(engine: str, asked: str | Sequence[str]) -> Resolved:
    """The engine's own provider names for what was asked, best first.

    Args:
        engine: Which engine will run.
        asked: `"auto"`, a kind (`"cpu"`), an engine's own name, or several of them, best first.

    Raises:
        UnknownNameError: A name that is none of these.
        ProviderError: None of those asked for can run on this engine here.
    """
    wanted = (asked,) if isinstance(asked, str) else tuple(asked)
    for name in wanted or ("",):
        if name not in known():
            raise UnknownNameError("provider", name, known())
    table = _PROVIDERS[engine]
    why = f"this release runs engine {engine!r} on the CPU only"
    found: dict[str, None] = {}
    passed_over = []
    for name in wanted:
        fitting = [own for own, kind in table.items() if name in {"auto", kind, own}]
        found |= dict.fromkeys(fitting)
        if not found:  # what comes behind one that runs is not missed
            passed_over.append(f"provider {name!r}: {why}")
    if not found:
        raise ProviderError(", ".join(wanted), why, dict.fromkeys(table.values()))
    return Resolved(tuple(found), tuple(passed_over))


def of_engine(engine: str) -> dict[str, str]:
    """The provider names of an engine, each with its kind."""
    return dict(_PROVIDERS[engine])
