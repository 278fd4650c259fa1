"""What is measured: every variant in every engine that reads it, with one thread and with all."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgepack.runtime import engines as engine_table
from edgepack.runtime.device import usable_cores
from edgepack.runtime.errors import InputError, MissingExtraError, MissingFileError, ModelError, UnknownNameError
from edgepack.runtime.manifest import FORMATS
from edgepack.runtime.pack import Pack, is_pack


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a model; `variant` is the file's name and `precision` is empty for a bare file."""

    variant: str
    format: str
    precision: str
    file_bytes: int
    engine: str
    threads: int

    @property
    def name(self) -> str:
        """How it is called in progress, tables and plots."""
        return f"{self.variant}, {self.engine}, {self.threads} thread{'' if self.threads == 1 else 's'}"


def plan(
    path: str | os.PathLike[str],
    *,
    variants: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
    threads: Sequence[int] | None = None,
) -> tuple[Candidate, ...]:
    """Every candidate, in the order of the pack.

    Args:
        path: A pack, or a bare `.tflite` or `.onnx` file.
        variants: Names of variants or precisions; None is all of them.
        engines: Names of engines; None is every installed one that reads a variant.
        threads: How many threads a call may use; None is one, and all usable cores.

    Raises:
        MissingFileError: Nothing is at `path`.
        ModelError: The file is none that edgepack runs.
        UnknownNameError: No such variant or engine; the message lists those there are.
        MissingExtraError: An asked engine, or every engine for these variants, is not installed.
        InputError: A number of threads below one, or engines that read none of the variants.
    """
    counts = _thread_counts(threads)
    _check_engines(engines)
    files = _chosen(_files(Path(path)), variants)
    pairs = [
        (file, engine)
        for file in files
        for engine in engine_table.for_format(file.format)
        if engines is None or engine in engines
    ]
    if not pairs:
        formats = ", ".join(dict.fromkeys(file.format for file in files))
        raise InputError(f"engine {', '.join(engines or ())} does not read {formats} files; leave the engine out")
    installed = [(file, engine) for file, engine in pairs if engine in engine_table.available()]
    if not installed:
        missing = list(dict.fromkeys(engine for _, engine in pairs))
        raise MissingExtraError(f"engine {' or '.join(missing)}", engine_table.extra(missing[0]))
    return tuple(
        Candidate(file.name, file.format, file.precision, file.size_bytes, engine, count)
        for file, engine in installed
        for count in counts
    )


@dataclass(frozen=True, slots=True)
class _File:
    """What there is to run."""

    name: str
    format: str
    precision: str
    size_bytes: int


def _thread_counts(asked: Sequence[int] | None) -> tuple[int, ...]:
    wrong = [count for count in asked or () if count < 1]
    if wrong:
        raise InputError(f"threads is {wrong[0]}; it takes 1 or more")
    return tuple(dict.fromkeys(asked if asked else (1, usable_cores())))


def _check_engines(asked: Iterable[str] | None) -> None:
    for name in asked or ():
        if engine_table.library(name) is None:  # raises where no engine has that name
            raise MissingExtraError(f"engine {name!r}", engine_table.extra(name))


def _files(path: Path) -> tuple[_File, ...]:
    """The variants of a pack, or the one bare file."""
    if not path.exists():
        raise MissingFileError(path, "model")
    if is_pack(path):
        with Pack(path) as pack:
            found = pack.manifest.variants
        return tuple(_File(one.name, one.format, one.precision, one.file.size_bytes) for one in found)
    for name, ending in FORMATS.items():
        if path.suffix == ending:
            return (_File(path.name, name, "", path.stat().st_size),)
    raise ModelError(f"{path} is no file that edgepack runs; it takes .edgepack, .tflite and .onnx")


def _chosen(files: tuple[_File, ...], asked: Sequence[str] | None) -> tuple[_File, ...]:
    """Those whose name or precision was asked for; a name that fits none is an error."""
    for name in asked or ():
        if not any(name in {file.name, file.precision} for file in files):
            known = [*(file.name for file in files), *(file.precision for file in files if file.precision)]
            raise UnknownNameError("variant", name, dict.fromkeys(known))
    return tuple(file for file in files if not asked or {file.name, file.precision} & set(asked))
