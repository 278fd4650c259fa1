"""What lies in a folder of models: which packs are which versions, and why the rest is passed over.

A request never names a path: it names a model and a version, and both are looked up in the table that `scan` makes.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from edgepack.runtime.errors import InputError, MissingFileError
from edgepack.runtime.pack import MANIFEST, SUFFIX

HIDDEN = "hidden"

Mark = tuple[tuple[str, int, int, int, int], ...]
"""File, inode, bytes, time of change, in nanoseconds, and who may read it, of all files of a pack.

Another mark is another pack, or one that may be read now and could not before.
"""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_PARTIAL = (".part", ".tmp", ".partial", ".crdownload", ".filepart")


class Place(msgspec.Struct, frozen=True):
    """Where one version of one model lies."""

    name: str
    version: int
    path: Path
    mark: Mark

    @property
    def size_bytes(self) -> int:
        """The size of the pack."""
        return sum(size for _, _, size, _, _ in self.mark)


class Layout(msgspec.Struct, frozen=True):
    """A folder of models as it was found."""

    models: Mapping[str, Mapping[int, Place]]
    """Name → version → place."""
    ignored: Mapping[str, str]
    """What was passed over, relative to the folder, and why."""


def check_name(name: str) -> str:
    """Return `name` if a model can have it; raises `InputError`."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"model name {name[:80]!r} is not taken; names are 1 to 100 letters (A to z), digits and _ . - "
            "and begin with a letter, a digit or _"
        )
    return name


def check_version(version: int | str) -> int:
    """Return a version as a number; raises `InputError` unless it is a positive whole number without zeros ahead."""
    if not _VERSION.fullmatch(str(version)):
        raise InputError(f"version {str(version)[:40]!r} is not taken; versions are whole numbers from 1")
    return int(version)


def scan(folder: str | os.PathLike[str]) -> Layout:
    """Look through a folder of models.

    Taken are `NAME.edgepack` (version 1), `NAME/VERSION.edgepack`, and `NAME/VERSION/` that is a pack in folder form
    or holds one `.edgepack`. Nothing is opened.

    Raises:
        MissingFileError: There is no such folder.
        OSError: It, or what is in it, cannot be read now: nothing is known of what lies there.
    """
    root = Path(folder)
    if not root.is_dir():
        raise MissingFileError(root, "folder of models")
    models: dict[str, dict[int, Place]] = {}
    ignored: dict[str, str] = {}
    for name, version, path in _found(root, ignored):
        told = path.relative_to(root).as_posix()
        versions = models.setdefault(name, {})
        if version in versions:
            first = versions[version].path.relative_to(root).as_posix()
            ignored[told] = f"{first} is version {version} of {name} already"
            continue
        mark = _mark(path)
        if mark:  # else it went away meanwhile
            versions[version] = Place(name, version, path, mark)
    return Layout({name: versions for name, versions in models.items() if versions}, ignored)


def highest(folder: str | os.PathLike[str], name: str) -> int:
    """The highest version whose number anything in a folder of models has, whole or not; 0 where nothing has one."""
    root = Path(folder)
    numbers = [1] if (root / f"{name}{SUFFIX}").exists() else []
    if (root / name).is_dir():
        stems = [entry.name.removesuffix(SUFFIX) for entry in os.scandir(root / name)]
        numbers += [int(stem) for stem in stems if _VERSION.fullmatch(stem)]
    return max(numbers, default=0)


def _found(root: Path, ignored: dict[str, str]) -> Iterator[tuple[str, int, Path]]:
    """Name, version and path of everything that may be a pack."""
    for path in _entries(root, root, ignored):
        told = path.name
        stem = told.removesuffix(SUFFIX)
        if not _NAME.fullmatch(stem):
            ignored[told] = "its name is none a model can have (letters, digits, _ . -)"
        elif told != stem:
            yield stem, 1, path
        elif not path.is_dir():
            ignored[told] = f"no {SUFFIX} file and no folder"
        elif os.path.lexists(path / MANIFEST):
            ignored[told] = f"a pack in folder form without a version; move it to {told}/1"
        else:
            yield from ((stem, version, pack) for version, pack in _versions(path, root, ignored))


def _versions(model: Path, root: Path, ignored: dict[str, str]) -> Iterator[tuple[int, Path]]:
    """The versions in the folder of one model."""
    for path in _entries(model, root, ignored):
        told = path.relative_to(root).as_posix()
        stem = path.name.removesuffix(SUFFIX)
        if not _VERSION.fullmatch(stem):
            ignored[told] = "its name is no version; versions are whole numbers from 1, without zeros ahead"
        elif path.name != stem or os.path.isfile(path / MANIFEST):
            yield int(stem), path
        elif not os.path.isdir(path):
            ignored[told] = f"no {SUFFIX} file and no folder"
        else:
            packs = [inner for inner in _entries(path, root, ignored) if inner.name.endswith(SUFFIX)]
            if len(packs) == 1:
                yield int(stem), packs[0]
            else:
                ignored[told] = f"it holds {len(packs)} packs; a version is one"


def _entries(folder: Path, root: Path, ignored: dict[str, str]) -> list[Path]:
    """What is no link, not hidden and no partial copy, in the order of its names."""
    found: list[Path] = []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        # Too many open files or a disk that fails would look like a folder that was emptied.
        if folder == root or not isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
            raise
        ignored[folder.relative_to(root).as_posix()] = f"it cannot be read: {error.strerror}"
        return found
    for entry in entries:
        path = folder / entry.name
        if why := _unwanted(entry):
            ignored[path.relative_to(root).as_posix()] = why
        else:
            found.append(path)
    return found


def _unwanted(entry: "os.DirEntry[str]") -> str:
    """Why an entry is no part of a model, whatever its name says otherwise; empty where it may be."""
    if entry.name.startswith("."):
        return HIDDEN
    if entry.name.endswith(_PARTIAL):
        return "a copy that is not finished"
    if entry.is_symlink():
        return "a link; put the pack itself here"
    if not (entry.is_file() or entry.is_dir()):
        return "neither a file nor a folder"
    return ""


def _mark(path: Path) -> Mark:
    """The mark of a pack; empty where it is not there any more."""
    inside = sorted(path.rglob("*")) if os.path.isdir(path) else [path]
    found = []
    for file in inside:
        try:
            facts = file.stat(follow_symlinks=False)
        except OSError:  # it is being copied or removed; the next look tells
            continue
        if not stat.S_ISDIR(facts.st_mode):
            told = file.relative_to(path).as_posix()
            found.append((told, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_mode))
    return tuple(found)
