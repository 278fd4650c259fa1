"""From a path to a session: the best candidate that loads, and why better ones did not."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from edgepack.runtime import cache_folder, candidates, engines, providers
from edgepack.runtime.candidates import Candidate
from edgepack.runtime.device import check_threads, usable_cores
from edgepack.runtime.errors import (
    EngineError,
    InputError,
    MissingFileError,
    ModelError,
    UnknownNameError,
)
from edgepack.runtime.manifest import FORMATS, Manifest
from edgepack.runtime.opening import File, How, open_first
from edgepack.runtime.pack import Pack, is_pack
from edgepack.runtime.session import Session
from edgepack.runtime.ways import Way

if TYPE_CHECKING:
    from edgepack.runtime.choices import Choice

Providers = str | Sequence[str]

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
    if threads is not None:
        check_threads(threads)
    for name, pairs in (("options", options), ("states", states)):
        if not isinstance(pairs, Mapping | None):
            raise InputError(f"{name} is {pairs!r}; it takes a dict of text to text")
    wanted = providers.asked(provider)
    how = How(
        wanted, threads or usable_cores(), strict, reduced, options or {}, states, check=check,
        free=(variant, engine, wanted, threads) == ("auto", None, ("auto",), None) and not (options or reduced),
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
    how = How((way.provider,), way.threads, strict=False, reduced=way.reduced, options=way.options, states=states,
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


def _open_pack(path: str, variant: str, engine: str | None, how: How) -> Session:
    """Open the best candidate of a pack that loads; the reasons of those passed over are kept."""
    with Pack(path) as pack:
        steps = pack.steps()
        found = candidates.rank(pack.manifest.variants, variant, engine)
        if how.free:
            found, how = _measured(pack.manifest, found, how)
        files = [
            File(
                path, one.variant.name, one.engine, partial(pack.read, one.variant.file),
                partial(Session, variant=one.variant.name, manifest=pack.manifest, steps=steps),
                (lambda: [pack.golden(golden) for golden in pack.manifest.goldens]) if pack.manifest.goldens else None,
                one.variant.golden_tolerance,
            )
            for one in found
        ]  # fmt: skip
        return open_first(files, how)


def _remembered(manifest: Manifest) -> "Choice | None":
    """The choice that was made for a pack here."""
    root = cache_folder.folder()
    if root is None or not os.path.isdir(f"{root}/choices"):  # nothing was ever chosen here, and nothing is paid for it
        return None
    from edgepack.runtime import choices

    return choices.remembered(manifest)


def _measured(manifest: Manifest, found: tuple[Candidate, ...], how: How) -> tuple[tuple[Candidate, ...], How]:
    """What was measured on this device first, where anything was; else the sound order, and why it is taken."""
    choice = _remembered(manifest)
    if choice is None:
        reason = f"by default, as nothing was measured here: edgepack choose {manifest.name}"
        return found, msgspec.structs.replace(how, chosen=reason)
    way = choice.way
    best = [one for one in found if (one.variant.name, one.engine) == (way.variant, way.engine)]
    if not best:
        reason = f"by default, as {way}, which was measured here, is not at hand"
        return found, msgspec.structs.replace(how, chosen=reason)
    told = f"measured on {choice.measured[:10]}: {choice.best.p50_us or 0:,.1f} µs"
    return (
        (*best, *(one for one in found if one not in best)),
        msgspec.structs.replace(how, providers=(way.provider, "auto"), threads=way.threads, chosen=told, measured=way),
    )


def _open_bare(path: str, variant: str, engine: str | None, how: How) -> Session:
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
        File(path, own, name, partial(_whole, path), partial(Session, variant=own)) for name in installed
    ]  # fmt: skip
    try:
        return open_first(files, how)
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
