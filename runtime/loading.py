"""From a path to a session: the best candidate that loads, and why better ones did not."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from edgepack.runtime import cache_folder, candidates, engines, goldens, providers
from edgepack.runtime.candidates import Candidate
from edgepack.runtime.device import usable_cores
from edgepack.runtime.engines import Engine, Offer
from edgepack.runtime.errors import (
    EngineError,
    InputError,
    MissingFileError,
    ModelError,
    ProviderError,
    UnknownNameError,
)
from edgepack.runtime.goldens import Golden
from edgepack.runtime.manifest import FORMATS, Manifest
from edgepack.runtime.pack import Pack, is_pack
from edgepack.runtime.session import Session, is_any_open
from edgepack.runtime.ways import Way

if TYPE_CHECKING:
    from edgepack.runtime.choices import Choice

Providers = str | Sequence[str]

_MOST_THREADS = 256  # beyond, engines take seconds to start threads, or crash where the system refuses one
_GOLDEN_SECONDS = 0.01  # of golden samples at load, beyond the first two; edgepack verify runs them all
_KERAS_ENDINGS = {".keras", ".h5", ".hdf5", ".pb"}


def load(  # noqa: PLR0913 - keyword-only, each an independent choice of the user
    path: str | os.PathLike[str],
    *,
    variant: str = "auto",
    engine: str | None = None,
    provider: Providers = "auto",
    threads: int | None = None,
    strict: bool = False,
    reduced: bool = False,
    options: Mapping[str, str] | None = None,
    states: Mapping[str, str] | None = None,
    check: bool = True,
) -> "Session":
    """Open a pack or a bare `.tflite` or `.onnx` file for running.

    A provider other than an engine's own CPU, and a bare file that nobody proved, is first tried in a process of its
    own, once: some take the process down. What comes from a pack answers its golden samples before it is used.

    Args:
        path: A `.edgepack` file, its folder form, or one converted file.
        variant: The name of a variant (`"onnx-int8"`), a precision (`"int8"`), or `"auto"`: what `edgepack choose`
            found on this device, or the closest to Keras where nothing was measured.
        engine: `"onnx"`, `"litert"` or `"openvino"`; None takes the first installed that reads the variant.
        provider: Where it runs: `"auto"`, `"cpu"`, `"gpu"`, `"npu"`, an engine's own name, or several, best first.
        threads: Threads one call may use; None takes the cores this process may use.
        strict: Refuse to step down to another variant, engine or provider than the best one that was asked for, and a
            provider that does not take every operator.
        reduced: Let a provider compute float32 in bfloat16 or float16.
        options: Options of the provider, under its own names.
        states: For a model that is given its own state back: the name of each such input, and of the output that
            is its next value. None takes what the pack says.
        check: Run the golden samples of a pack before it is used.

    Raises:
        MissingFileError: Nothing is at `path`.
        PackError: The pack is damaged, hostile or of another format version.
        ModelError: The file is none that edgepack runs.
        UnknownNameError: No such variant, engine or provider; the message lists those there are.
        MissingExtraError: No engine for it is installed.
        EngineError: Every engine that could run it refused it, or gives other answers than the golden samples.
        ProviderError: The provider is not available here.
        InputError: An argument is not what is taken.
    """
    target = _checked_path(path)
    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= _MOST_THREADS):
        raise InputError(f"threads is {threads!r}; it takes 1 to {_MOST_THREADS}, or None for all usable cores")
    how = _How(
        providers.asked(provider), threads or usable_cores(), strict, reduced, options or {}, states, check=check,
        free=(variant, engine, provider, threads) == ("auto", None, "auto", None),
    )  # fmt: skip
    open_model = _open_pack if is_pack(target) else _open_bare
    session = open_model(target, variant, engine, how)
    if session.fallbacks:
        _tell(target, session)
    return session


def _tell(path: str, session: Session) -> None:
    """Say once why something better was passed over."""
    import logging  # it costs what loading a small model does, and is mostly not needed

    log = logging.getLogger("edgepack")
    for reason in session.fallbacks:
        log.warning("%s runs on %s (%s); passed over: %s", path, session.engine, session.provider, reason)


def open_way(path: str | os.PathLike[str], way: Way, *, states: Mapping[str, str] | None = None) -> Session:
    """Open a model one way and no other, in this process; raises as `load` does."""
    how = _How((way.provider,), way.threads, strict=False, reduced=way.reduced, options=way.options, states=states,
               trusted=True)  # fmt: skip
    return (_open_pack if is_pack(path) else _open_bare)(os.fspath(path), way.variant, way.engine, how)


def _checked_path(path: str | os.PathLike[str]) -> str:
    """The path, if a model may lie there; strings from here on, as pathlib takes long to import."""
    target = os.fspath(path)
    if not os.path.exists(target):
        raise MissingFileError(target, "model")
    if not (os.path.isfile(target) or os.path.isdir(target)):
        raise ModelError(f"{target} is a pipe or a device; edgepack runs files and folders")
    stem, ending = os.path.splitext(os.path.basename(target))
    if ending in _KERAS_ENDINGS:
        raise ModelError(f"{target} is a Keras model; convert it first: edgepack convert {target} -o {stem}.edgepack")
    return target


class _How(msgspec.Struct, frozen=True):
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
    trusted: bool = False
    """This process is one that may be taken down."""


class _File(msgspec.Struct, frozen=True):
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


def _open_first(files: Sequence[_File], how: _How) -> Session:
    """The first file that runs on the first provider, both in the order they were asked for.

    Raises:
        ProviderError: None of the engines has such a provider, or it cannot run here.
        EngineError: Every engine refuses its file; or the first one does, and stepping down is not allowed.
    """
    reasons: list[str] = []
    errors: list[EngineError | ProviderError] = []
    for name in how.providers:
        fitting = [(file, offer) for file in files for offer in providers.fitting(file.engine, name)]
        found = [(file, offer) for file, offer in fitting if not offer.missing()]
        if not found:
            why = _missing(name, files, [offer for _, offer in fitting])
            errors.append(ProviderError(name, why, ["cpu"]))
            reasons.append(f"provider {name!r}: {why}")
        for file, offer in found:
            try:
                return _open(file, offer, how, tuple(reasons))
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


def _missing(name: str, files: Sequence[_File], offers: Sequence[Offer]) -> str:
    """Why no engine of the files has a provider of that name here."""
    tried = ", ".join(dict.fromkeys(file.engine for file in files))
    known = dict.fromkeys(offer.name for offer in offers)
    if not known:
        return f"engine {tried} has none"
    if len(known) == 1:
        return offers[0].missing()
    return f"engine {tried} has none here of {', '.join(known)}; edgepack devices says how to get them"


def _open(file: _File, offer: Offer, how: _How, before: tuple[str, ...]) -> Session:
    """One file on one provider, proved on the golden samples.

    Raises:
        ProviderError: The provider cannot run here, or takes its process down.
        EngineError: The engine refuses the file, or gives other answers.
    """
    data = file.read()
    way = Way(file.name, file.engine, offer.name, how.threads, how.reduced, how.options)
    device = "" if how.trusted else _device_for(file, data, way)
    opening = engines.Opening(
        offer.name, how.threads, how.strict, how.reduced, spinning=not is_any_open(), options=how.options
    )
    opened = engines.open_file(file.engine, data, opening)
    try:
        partly = _elsewhere(opened, offer)
        if partly and how.strict:
            raise ProviderError(offer.name, partly, ["cpu"])
        reasons = (*before, partly) if partly else before
        session = file.session(opened, fallbacks=reasons, device=device, states=how.states, chosen=how.chosen)
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


def _device_for(file: _File, data: bytes, way: Way) -> str:
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


def _check_goldens(session: Session, file: _File, how: _How) -> None:
    """Raise where the golden samples come out otherwise here."""
    assert file.goldens is not None
    seconds = _GOLDEN_SECONDS if session.takes_rows else None
    answer = goldens.check(session.run_plainly, file.goldens(), file.tolerance, reduced=how.reduced, seconds=seconds)
    if answer.reason:
        raise EngineError(f"{session.engine.description} is passed over: {answer.reason}")


def _open_pack(path: str, variant: str, engine: str | None, how: _How) -> Session:
    """Open the best candidate of a pack that loads; the reasons of those passed over are kept."""
    with Pack(path) as pack:
        steps = pack.steps()
        found = candidates.rank(pack.manifest.variants, variant, engine)
        if how.free:
            found, how = _measured(pack.manifest, found, how)
        files = [
            _File(
                path, one.variant.name, one.engine, partial(pack.read, one.variant.file),
                partial(Session, variant=one.variant.name, manifest=pack.manifest, steps=steps),
                (lambda: [pack.golden(golden) for golden in pack.manifest.goldens]) if pack.manifest.goldens else None,
                one.variant.golden_tolerance,
            )
            for one in found
        ]  # fmt: skip
        return _open_first(files, how)


def _remembered(manifest: Manifest) -> "Choice | None":
    """The choice that was made for a pack here."""
    root = cache_folder.folder()
    if root is None or not os.path.isdir(f"{root}/choices"):  # nothing was ever chosen here, and nothing is paid for it
        return None
    from edgepack.runtime import choices

    return choices.remembered(manifest)


def _measured(manifest: Manifest, found: tuple[Candidate, ...], how: _How) -> tuple[tuple[Candidate, ...], _How]:
    """What was measured on this device first, where anything was; else the sound order, and why it is taken."""
    choice = _remembered(manifest)
    if choice is None:
        reason = f"by default, as nothing was measured here: edgepack choose {manifest.name}"
        return found, msgspec.structs.replace(how, chosen=reason)
    way = choice.way
    best = [one for one in found if (one.variant.name, one.engine) == (way.variant, way.engine)]
    told = f"measured on {choice.measured[:10]}: {choice.best.p50_us or 0:,.1f} µs"
    return (
        (*best, *(one for one in found if one not in best)),
        msgspec.structs.replace(how, providers=(way.provider, "auto"), threads=way.threads, chosen=told),
    )


def _open_bare(path: str, variant: str, engine: str | None, how: _How) -> Session:
    """Open a bare file."""
    file_format, own = _format_of(path), os.path.basename(path)
    if variant not in {"auto", own, os.path.splitext(own)[0]}:
        raise UnknownNameError("variant", variant, ("auto", own), "a bare file is one variant: leave it out")
    if engine is not None and engine not in engines.for_format(file_format):
        if engine in engines.known():
            raise EngineError(f"engine {engine!r} does not read {file_format} files; leave the engine out")
        engines.library(engine)  # raises: it is unknown
    reading = [engine] if engine else engines.for_format(file_format)
    installed = [name for name in reading if engines.library(name)] or reading[:1]
    files = [
        _File(path, own, name, partial(_whole, path), partial(Session, variant=own)) for name in installed
    ]  # fmt: skip
    try:
        return _open_first(files, how)
    except EngineError as error:
        raise EngineError(f"{path}: {error}") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


def _whole(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _format_of(path: str) -> str:
    """The format of a bare file, by its ending or, failing that, by its first bytes."""
    for name, ending in FORMATS.items():
        if path.endswith(ending):
            return name
    with contextlib.suppress(OSError), open(path, "rb") as file:
        if file.read(8)[4:] == b"TFL3":
            return "tflite"
    raise ModelError(f"{path} is no file that edgepack runs; it takes .edgepack, .tflite and .onnx")
