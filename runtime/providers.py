"""Where an engine executes: what was asked, what this machine has, and what to hand to the engine."""

from collections.abc import Sequence

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


def resolve(engine: str, asked: str | Sequence[str]) -> tuple[str, ...]:
    """The engine's own provider names for what was asked, best first.

    Args:
        engine: Which engine will run.
        asked: `"auto"`, a kind (`"cpu"`), an engine's own name, or several of them, best first.

    Raises:
        UnknownNameError: A name that is none of these.
        ProviderError: None of those asked for can run on this engine here.
    """
    wanted = (asked,) if isinstance(asked, str) else tuple(asked)
    for name in wanted:
        if name not in known():
            raise UnknownNameError("provider", name, known())
    table = _PROVIDERS[engine]
    found = [own for name in wanted for own, kind in table.items() if name in {"auto", kind, own}]
    if not found:
        raise ProviderError(", ".join(wanted), f"this release runs engine {engine!r} on the CPU only", table.values())
    return tuple(dict.fromkeys(found))


def of_engine(engine: str) -> dict[str, str]:
    """The provider names of an engine, each with its kind."""
    return dict(_PROVIDERS[engine])
