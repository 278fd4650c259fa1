"""Put a pack into a folder of models as a new version, or go back to an older one, with a server running or without."""

import os
import shutil
from functools import partial
from pathlib import Path

import msgspec

from edgepack.runtime.errors import (
    ConflictError,
    EdgepackError,
    EngineError,
    InputError,
    MissingFileError,
    NotServedError,
    OutputError,
    PackError,
    one_line,
)
from edgepack.runtime.loading import load
from edgepack.runtime.manifest import encode
from edgepack.runtime.pack import SUFFIX, Pack
from edgepack.runtime.serve import policy
from edgepack.runtime.serve.layout import check_name, check_version, highest, scan
from edgepack.runtime.serve.state import ModelState, StateFile, locked, sync_folder
from edgepack.runtime.verify import verify

_SCRATCH = ".edgepack-push"  # hidden: no server looks into it


class Pushed(msgspec.Struct, frozen=True):
    """What was pushed."""

    path: str
    """Where it lies."""
    runs: str
    """Which of its variants answers on this device, and where."""
    passed_over: tuple[str, ...] = ()
    """Variants that are wrong in an engine of this device, which would not be served, and why."""
    made_folder: bool = False
    """Whether the folder of models was made for it."""


def push(
    pack: str | os.PathLike[str], to: str | os.PathLike[str], name: str | None = None, version: int | str | None = None
) -> Pushed:
    """Put a pack into a folder of models, proved and in one step.

    It is verified first: every digest, the steps, and the variant that `edgepack.load` takes here against the golden
    samples. Another variant that is wrong in an engine of this device stops nothing, as it would not be served; it is
    told. A server that watches the folder sees the whole pack or nothing, also after a power cut.

    Args:
        pack: A pack, as a file or a folder.
        to: The folder of models; it is made where the folder it lies in exists.
        name: Which model it is a version of; None takes the name in the pack.
        version: Its version; None takes the one after the highest that is or was there.

    Raises:
        MissingFileError: There is no such pack, or no folder to make the folder of models in.
        MissingExtraError: No engine for the pack is installed.
        PackError: The pack is damaged, or answers wrongly here.
        InputError: The name or the version is none that is taken.
        OutputError: The version exists already, or the folder cannot be written.
    """
    folder = Path(to)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name the folder of models")
    if not folder.absolute().parent.is_dir():
        raise MissingFileError(folder, "folder of models")
    asked = None if version is None else check_version(version)
    with Pack(pack) as opened:
        name, said = check_name(name or opened.manifest.name), encode(opened.manifest)
    runs, passed_over = _proved(pack)
    scratch = folder / _SCRATCH
    try:
        is_new = not folder.exists()
        scratch.mkdir(parents=is_new, exist_ok=True)
        with locked(scratch / "lock"):
            for left in scratch.iterdir():  # nobody else holds the lock: a push that was cut short left it
                if left.name != "lock":
                    _remove(left)
            return Pushed(str(_put(Path(pack), folder, name, asked, said)), runs, passed_over, is_new)
    except OSError as error:
        if isinstance(error, EdgepackError):
            raise
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}; nothing was pushed") from error


def rollback(folder: str | os.PathLike[str], name: str) -> str:
    """Let the version before the one that answers by default answer again, and return it.

    It is written into the state of the folder, which a running server follows; another reads it when it starts.

    Raises:
        MissingFileError: There is no such folder.
        NotServedError: There is no such model in it.
        ConflictError: There is no sound version to go back to.
        OutputError: The folder cannot be written.
    """
    places = scan(folder).models
    if name not in places:
        there = ", ".join(places) or "none"
        raise NotServedError(f"no model {name[:80]!r} in {os.fspath(folder)} (there are: {there})")
    file = StateFile(folder)
    state = file.read().get(name, ModelState())
    kept_away, reasons, sound = {*state.away, *state.out}, [], []
    for version in policy.in_order(places[name].keys() - kept_away, state):
        try:
            check_whole(places[name][version].path)
        except EdgepackError as error:
            reasons.append(f"; version {version}: {one_line(error)}")
            continue
        sound.append(version)
        if back := policy.before(sound[0], sound, state):
            file.change(name, partial(ModelState.rolled_back, bad=sound[0], good=back[0]))
            return str(back[0])
    raise ConflictError(f"model {name!r} has no version to go back to{''.join(reasons)}")


def check_whole(path: Path) -> bytes:
    """Return the manifest of a pack whose members are all there and right; raises `PackError`."""
    with Pack(path) as pack:
        for ref in pack.references():
            pack.read(ref)
        return encode(pack.manifest)


def _proved(pack: str | os.PathLike[str]) -> tuple[str, tuple[str, ...]]:
    """What would be served of a pack here, and what else in it is wrong here; raises where the first is."""
    found = verify(pack)
    if found.steps:
        raise PackError(f"{os.fspath(pack)} is not pushed: steps: {found.steps}")
    try:
        with load(pack) as session:
            runs = f"{session.variant} on {session.engine.description}, {session.provider}"
    except EngineError as error:
        raise PackError(f"{os.fspath(pack)} is not pushed: {error}") from error
    return runs, tuple(f"{one.variant} on {one.engine}: {one.reason}" for one in found.checks if one.is_wrong)


def _put(pack: Path, folder: Path, name: str, version: int | None, said: bytes) -> Path:
    """Copy a pack beside, look whether all of it arrived, and rename it to its place."""
    file = StateFile(folder)
    if version is None:
        version = check_version(1 + max(highest(folder, name), file.read().get(name, ModelState()).highest))
    target = folder / name / (str(version) if pack.is_dir() else f"{version}{SUFFIX}")
    if target.parent.is_symlink():  # no server would look into it
        raise OutputError(f"{target.parent} is a link; make it a folder, or push under another name")
    if version in scan(folder).models.get(name, {}) or target.exists():
        raise OutputError(f"version {version} of {name!r} exists in {folder}; leave the version out to take the next")
    beside = folder / _SCRATCH / target.name
    try:
        _copy(pack, beside)
        if check_whole(beside) != said:
            raise InputError(f"{pack} changed while it was pushed; push it again")
        if not target.parent.exists():
            target.parent.mkdir()
            sync_folder(folder)
        file.change(name, lambda state: state.renewed(version))
        beside.rename(target)
    finally:
        _remove(beside)
    sync_folder(target.parent)
    return target


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, and flush all of it to the disk."""
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    for path in (*target.rglob("*"), target) if target.is_dir() else (target,):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
