"""Where an engine executes: which of its providers fit what was asked."""

from collections.abc import Iterable, Sequence

from edgepack.runtime import engines
from edgepack.runtime.engines.base import Offer
from edgepack.runtime.errors import InputError, UnknownNameError

KINDS = ("cpu", "gpu", "npu")


def asked(provider: str | Sequence[str]) -> tuple[str, ...]:
    """The names that were asked for, best first.

    Args:
        provider: `"auto"`, a kind (`"gpu"`), an engine's own name, `"delegate:"` with the path of a library, or several
            of them, in a list or separated by commas.

    Raises:
        InputError: No names.
        UnknownNameError: A name that is none of these; the message lists those there are.
    """
    if isinstance(provider, str):
        wanted = tuple(part.strip() for part in provider.split(",")) if "/" not in provider else (provider,)
    elif isinstance(provider, Iterable) and all(isinstance(name, str) for name in provider):
        wanted = tuple(provider)
    else:
        raise InputError(f"provider is {provider!r}; it takes a name, or several, best first")
    if not wanted:
        raise InputError("provider is an empty list; it takes one name or more, or 'auto'")
    for name in wanted:
        if name in {"auto", *KINDS}:  # the usual case, and nothing is listed for it: plugins are looked for on the disk
            continue
        if any(engines.takes_delegate(engine, name) for engine in engines.known()):
            continue
        if name not in (every := known()):
            raise UnknownNameError("provider", name, every)
    return tuple(dict.fromkeys(wanted))


def known() -> tuple[str, ...]:
    """Every provider name that may be asked for."""
    own = dict.fromkeys(offer.name for engine in engines.known() for offer in engines.offers(engine))
    return ("auto", *KINDS, *own)


def fitting(engine: str, name: str) -> tuple[Offer, ...]:
    """The providers of an engine that fit a name, best first; `"auto"` is the engine's own CPU, unless measured."""
    own = engines.own_cpu(engine)
    if name in {"auto", "cpu", own}:
        return (Offer(own, "cpu"),)
    if engines.takes_delegate(engine, name):
        return (Offer(name, "npu"),)
    return tuple(offer for offer in engines.offers(engine) if name in {offer.name, offer.kind})


def of_engine(engine: str) -> dict[str, str]:
    """The provider names of an engine, each with its kind."""
    return {offer.name: offer.kind for offer in engines.offers(engine)}
