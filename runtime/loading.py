"""From a path to a session: the best candidate that loads, and why better ones did not."""

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edgepack.runtime import choose, engines, providers
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
from edgepack.runtime.manifest import FORMATS
from edgepack.runtime.pack import Pack, is_pack
from edgepack.runtime.session import Session

Providers = str | Sequence[str]

_LOG = logging.getLogger("edgepack")

_MOST_THREADS = 256  # beyond, engines take seconds to start threads, or crash where the system refuses one
_KERAS_ENDINGS = {".keras", ".h5", ".hdf5", ".pb"}


def load(
    path: str | os.PathLike[str],
    *,
    variant: str = "auto",
    engine: str | None = None,
    provider: Providers = "auto",
    threads: int | None = None,
    strict: bool = False,
) -> "Session":
    """Open a pack or a bare `.tflite` or `.onnx` file for running.

    Args:
        path: A `.edgepack` file, its folder form, or one converted file.
        variant: The name of a variant (`"onnx-int8"`), a precision (`"int8"`), or `"auto"`.
        engine: `"onnx"` or `"litert"`; None takes the first installed that reads the variant.
        provider: Where it runs: `"auto"`, `"cpu"`, an engine's own name, or several of them, best first.
        threads: Threads one call may use; None takes the cores this process may use.
        strict: Refuse to step down to another variant, engine or provider than the best one that was asked for.

    Raises:
        MissingFileError: Nothing is at `path`.
        PackError: The pack is damaged, hostile or of another format version.
        ModelError: The file is none that edgepack runs.
        UnknownNameError: No such variant, engine or provider; the message lists those there are.
        MissingExtraError: No engine for it is installed.
        EngineError: Every engine that could run it refused it.
        ProviderError: The provider is not available here.
    """
    target = Path(path)
    if not os.path.exists(target):  # Path.exists raises where a name is too long
        raise MissingFileError(target, "model")
    if not (target.is_file() or target.is_dir()):
        raise ModelError(f"{target} is a pipe or a device; edgepack runs files and folders")
    if threads is not None and not (isinstance(threads, int) and 1 <= threads <= _MOST_THREADS):
        raise InputError(f"threads is {threads!r}; it takes 1 to {_MOST_THREADS}, or None for all usable cores")
    how = _How(providers.asked(provider), threads or usable_cores(), strict)
    if target.suffix in _KERAS_ENDINGS:
        raise ModelError(
            f"{target} is a Keras model; convert it first: edgepack convert {target} -o {target.stem}.edgepack"
        )
    session = _load_pack(target, variant, engine, how) if is_pack(target) else _load_file(target, variant, engine, how)
    for reason in session.fallbacks:
        _LOG.warning("%s runs on %s (%s); passed over: %s", target, session.engine, session.provider, reason)
    return session


@dataclass(frozen=True, slots=True)
class _How:
    """The part of a `load` that is the same for every candidate."""

    providers: tuple[str, ...]
    threads: int
    strict: bool

    def open(self, engine: str, offer: Offer, data: bytes) -> Engine:
        """A file on one provider; raises `EngineError` where it does not run there."""
        if why := offer.missing():
            raise ProviderError(offer.name, why, ["cpu"])
        return engines.open_file(engine, data, engines.Opening(offer.name, self.threads, self.strict))


@dataclass(frozen=True, slots=True)
class _File:
    """What is opened, in one engine."""

    name: str
    engine: str
    read: Callable[[], bytes]


def _open_first(files: Sequence[_File], how: _How) -> tuple[_File, Engine, tuple[str, ...]]:
    """The first file that opens on the first provider, both in the order they were asked for, and why not a better one.

    Raises:
        ProviderError: None of the engines has such a provider, or it cannot run here.
        EngineError: Every engine refuses its file; or the first one does, and stepping down is not allowed.
    """
    reasons: list[str] = []
    errors: list[EngineError | ProviderError] = []
    for name in how.providers:
        found = [(file, offer) for file in files for offer in providers.fitting(file.engine, name)]
        if not found:
            tried = ", ".join(dict.fromkeys(file.engine for file in files))
            errors.append(ProviderError(name, f"engine {tried} has none", ["cpu"]))
            reasons.append(f"provider {name!r}: engine {tried} has none")
        for file, offer in found:
            where = file.engine if offer.name == engines.own_cpu(file.engine) else f"{file.engine}, {offer.name}"
            data = file.read()
            try:
                return file, how.open(file.engine, offer, data), tuple(reasons)
            except (EngineError, ProviderError) as error:
                if how.strict:
                    raise
                errors.append(error)
                reasons.append(f"{file.name} on {where}: {error}")
        if how.strict:
            raise errors[0]
    if isinstance(errors[0], ProviderError) or len(errors) == 1:
        raise errors[0]
    raise EngineError(f"nothing in it runs here: {'; '.join(reasons)}") from errors[0]


def _load_pack(path: Path, variant: str, engine: str | None, how: _How) -> Session:
    """Open the best candidate of a pack that loads; the reasons of those passed over are kept."""
    with Pack(path) as pack:
        steps = pack.steps()
        candidates = choose.candidates(pack.manifest.variants, variant, engine)
        files = [_File(one.variant.name, one.engine, partial(pack.read, one.variant.file)) for one in candidates]
        try:
            file, opened, reasons = _open_first(files, how)
        except EngineError as error:
            raise EngineError(f"{path}: {error}") from error
        return _session(opened, file.name, manifest=pack.manifest, steps=steps, fallbacks=reasons)


def _load_file(path: Path, variant: str, engine: str | None, how: _How) -> Session:
    """Open a bare file."""
    file_format = _format_of(path)
    if variant not in {"auto", path.name, path.stem}:
        raise UnknownNameError("variant", variant, ("auto", path.name), "a bare file is one variant: leave it out")
    if engine is not None and engine not in engines.for_format(file_format):
        if engine in engines.known():
            raise EngineError(f"engine {engine!r} does not read {file_format} files; leave the engine out")
        engines.library(engine)  # raises: it is unknown
    reading = [engine] if engine else engines.for_format(file_format)
    installed = [name for name in reading if engines.library(name)] or reading[:1]
    try:
        file, opened, reasons = _open_first([_File(path.name, name, path.read_bytes) for name in installed], how)
    except EngineError as error:
        raise EngineError(f"{path}: {error}") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    return _session(opened, file.name, fallbacks=reasons)


def _session(engine: Engine, variant: str, **others: Any) -> Session:
    try:
        return Session(engine, variant, **others)
    except BaseException:
        engine.close()
        raise


def _format_of(path: Path) -> str:
    """The format of a bare file, by its ending or, failing that, by its first bytes."""
    for name, ending in FORMATS.items():
        if path.suffix == ending:
            return name
    with contextlib.suppress(OSError), path.open("rb") as file:
        if file.read(8)[4:] == b"TFL3":
            return "tflite"
    raise ModelError(f"{path} is no file that edgepack runs; it takes .edgepack, .tflite and .onnx")
