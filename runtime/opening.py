"""The first way that holds: files in engines on providers, tried in order until one opens and answers right."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from edgepack.runtime import engines, goldens, providers
from edgepack.runtime.engines import Engine, Offer
from edgepack.runtime.errors import EngineError, ProviderError
from edgepack.runtime.goldens import Golden
from edgepack.runtime.session import Session, is_any_open
from edgepack.runtime.ways import Way

_GOLDEN_SECONDS = 0.01  # of golden samples at load, beyond the first two; edgepack verify runs them all


class How(msgspec.Struct, frozen=True):
    """The part of a `load` that is the same for every candidate."""

    providers: tuple[str, ...]
    threads: int
    strict: bool
    reduced: bool = False
    options: Mapping[str, str] = {}
    states: Mapping[str, str] | None = None
    check: bool = True
    free: bool = False
    """Nothing was asked for: what was measured on this device is taken."""
    chosen: str = "as it was asked for"
    measured: Way | None = None
    """What `chosen` speaks of, where it was measured."""
    trusted: bool = False
    """This process is one that may be taken down."""


class File(msgspec.Struct, frozen=True):
    """What is opened, in one engine."""

    path: str
    name: str
    engine: str
    read: Callable[[], bytes]
    session: Callable[..., Session]
    """Makes the session of an opened engine."""
    goldens: Callable[[], Sequence[Golden]] | None = None
    """Reads the golden samples; None where there are none."""
    tolerance: float = 0.0

    def where(self, offer: Offer) -> str:
        """What a reason against it begins with."""
        own = offer.name == engines.own_cpu(self.engine)
        return f"{self.name} on {self.engine}" if own else f"{self.name} on {self.engine}, {offer.name}"


def open_first(files: Sequence[File], how: How) -> Session:
    """The first file that runs on the first provider, both in the order they were asked for.

    Raises:
        ProviderError: None of the engines has such a provider, or it cannot run here.
        EngineError: Every engine refuses its file; or the first one does, and stepping down is not allowed.
    """
    reasons: list[str] = []
    errors: list[EngineError | ProviderError] = []
    for place, name in enumerate(how.providers):
        # Options are of the provider that was asked for: a CPU that stands in for it is given none.
        stands_in = place > 0 and name in {"auto", "cpu"}
        fitting = [(file, offer) for file in files for offer in providers.fitting(file.engine, name)]
        found = [(file, offer) for file, offer in fitting if not offer.missing()]
        if not found:
            why = _missing(name, files, [offer for _, offer in fitting])
            errors.append(ProviderError(name, why, ["cpu"]))
            reasons.append(f"provider {name!r}: {why}")
        for file, offer in found:
            try:
                return _open(file, offer, how, tuple(reasons), {} if stands_in else how.options)
            except (EngineError, ProviderError) as error:
                if how.strict:
                    raise
                errors.append(error)
                reasons.append(f"{file.where(offer)}: {error.why if isinstance(error, ProviderError) else error}")
        if how.strict:
            break
    if len(errors) == 1:
        raise errors[0]
    if all(isinstance(error, ProviderError) for error in errors):
        raise ProviderError(", ".join(how.providers), "; ".join(reasons), ["cpu"]) from errors[0]
    raise EngineError(f"nothing in {files[0].path} runs here: {'; '.join(reasons)}") from errors[0]


def _missing(name: str, files: Sequence[File], offers: Sequence[Offer]) -> str:
    """Why no engine of the files has a provider of that name here."""
    tried = ", ".join(dict.fromkeys(file.engine for file in files))
    known = dict.fromkeys(offer.name for offer in offers)
    if not known:
        return f"engine {tried} has none"
    if len(known) == 1:
        return offers[0].missing()
    return f"engine {tried} has none here of {', '.join(known)}; edgepack devices says how to get them"


def _open(file: File, offer: Offer, how: How, before: tuple[str, ...], options: Mapping[str, str]) -> Session:
    """One file on one provider, proved on the golden samples.

    Raises:
        ProviderError: The provider cannot run here, or takes its process down.
        EngineError: The engine refuses the file, or gives other answers.
    """
    data = file.read()
    way = Way(file.name, file.engine, offer.name, how.threads, how.reduced, options)
    device = "" if how.trusted else _device_for(file, data, way)
    opening = engines.Opening(
        offer.name, how.threads, how.strict, how.reduced, spinning=not is_any_open(), options=options
    )
    opened = engines.open_file(file.engine, data, opening)
    try:
        partly = _elsewhere(opened, offer)
        if partly and how.strict:
            raise ProviderError(offer.name, partly, ["cpu"])
        reasons = (*before, partly) if partly else before
        session = file.session(opened, fallbacks=reasons, device=device, states=how.states, chosen=_chosen(how, way))
    except BaseException:
        opened.close()
        raise
    try:
        if how.check and file.goldens:
            _check_goldens(session, file, how)
    except BaseException:
        session.close()
        raise
    return session


def _chosen(how: How, way: Way) -> str:
    """Why this way is taken."""
    if how.measured is None or way == how.measured:
        return how.chosen
    return f"by default, as {how.measured}, which was measured here, does not run now"


def _device_for(file: File, data: bytes, way: Way) -> str:
    """What a way runs on, which is tried in a process of its own; an engine's own CPU is trusted with a proved file."""
    if file.goldens is not None and way.provider == engines.own_cpu(way.engine):
        return ""
    from pathlib import Path

    from edgepack.runtime import verdicts  # what processes need costs more than loading a small model

    return verdicts.device_for(Path(file.path), data, way)


def _elsewhere(opened: Engine, offer: Offer) -> str:
    """Which kinds of operators another provider runs than the one that was wanted; empty where none does."""
    others: Sequence[str] = getattr(opened, "elsewhere", ())
    if not others:
        return ""
    return f"{offer.name} leaves some operators to the CPU: {', '.join(dict.fromkeys(others))}"


def _check_goldens(session: Session, file: File, how: How) -> None:
    """Raise where the golden samples come out otherwise here."""
    assert file.goldens is not None
    seconds = _GOLDEN_SECONDS if session.takes_rows else None
    answer = goldens.check(session.run_plainly, file.goldens(), file.tolerance, reduced=how.reduced, seconds=seconds)
    if answer.reason:
        raise EngineError(f"{session.engine.description} is passed over: {answer.reason}")
