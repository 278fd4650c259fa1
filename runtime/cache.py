"""What this machine remembers between runs: small records, and files made from models, in the user's cache directory.

Nothing depends on it. Where the directory cannot be read, nothing is remembered; where it cannot be written, nothing
is kept; what lies there damaged counts as absent. Several processes may use it at once, and a power cut leaves the old
file or the new one: each is written beside its place and renamed.
"""

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

import msgspec

from edgepack.runtime.cache_folder import folder

_FORMAT = 1  # of a record; those of another format are removed
_MOST_RECORD_BYTES = 2**20
_FRESH_SECONDS = 3600  # a use is noted at most this often, as flash memory wears; no writer takes longer
_SCRATCH = ".writing-"
_T = TypeVar("_T")


class _Shelf:
    """A folder of files that are named after their keys; the ones that were not used for longest make room."""

    def __init__(self, kind: str, ending: str, most_files: int, most_bytes: int) -> None:
        self._kind, self._ending, self._most_files, self._most_bytes = kind, ending, most_files, most_bytes
        self._own = re.compile(rf"[\w.+-]*-[0-9a-f]{{16}}(\.[0-9a-f]{{32}})?{re.escape(ending)}", re.ASCII)

    @property
    def folder(self) -> Path | None:
        """Where the files of this kind lie; the environment is asked each time."""
        said = folder()
        root = Path(said) if said else None
        return root / self._kind if root else None

    def clear(self) -> None:
        """Remove all that was kept of this kind, and nothing else that lies in the folder."""
        for path, _ in self._files():
            _remove(path)

    def _stem(self, key: str) -> str:
        """The beginning of a file's name: some of the key for people, its digest for the rest."""
        readable = re.sub(r"[^\w.+-]+", "-", key, flags=re.ASCII)[:40].strip("-.")
        return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        """Everything that carries a name of this kind, last used first."""
        found = [(path, facts) for path, facts in _listed(self.folder) if self._own.fullmatch(path.name)]
        return sorted(found, key=lambda file: (file[1].st_mtime_ns, file[0].name), reverse=True)

    @contextlib.contextmanager
    def _beside(self) -> Iterator[Path]:
        """A folder to write in, on the same disk; removed at the end. Raises `OSError` where that cannot be."""
        home = self.folder
        if home is None:
            raise FileNotFoundError("no home")
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=home))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _settle(self, made: Path, name: str) -> Path:
        """Flush a new file to the disk, rename it into place and make room for it; raises `OSError`."""
        path = made.parent.parent / name
        with made.open("rb+") as file:
            if os.fstat(file.fileno()).st_size > self._most_bytes:
                raise OSError("larger than the whole cache")
            os.fsync(file.fileno())
        now = time.time_ns()  # finer than what the system notes by itself
        os.utime(made, ns=(now, now))
        if path.is_dir() and not path.is_symlink():
            path.rmdir()  # one that holds something is nothing of ours, and stays
        made.replace(path)
        self._make_room(path)
        return path

    def _make_room(self, newest: Path) -> None:
        """Remove what was not used for longest until the rest fits, and what writers left that were killed."""
        places, room = self._most_files, self._most_bytes
        for path, facts in sorted(self._files(), key=lambda file: file[0] != newest):
            places, room = places - 1, room - facts.st_size
            if places < 0 or room < 0:
                _remove(path)
        for path, facts in _listed(self.folder):
            if path.name.startswith(_SCRATCH) and _age_seconds(facts) > _FRESH_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


class Store(_Shelf):
    """Small values by key, one readable JSON file each."""

    def __init__(self, kind: str, *, most_records: int = 500, most_bytes: int = 2**23) -> None:
        """Take the name of the folder, and how many records of what size together are kept."""
        super().__init__(kind, ".json", most_records, most_bytes)

    def get(self, key: str, of: type[_T]) -> _T | None:
        """The value that was put under a key, or None; a file in its place that holds no such value is removed.

        Args:
            key: What it was put under.
            of: Its type, for msgspec.
        """
        path = self._path(key)
        if path is None:
            return None
        try:
            with _opened(path) as file:
                record = msgspec.json.decode(file.read(_MOST_RECORD_BYTES), type=_Record)
                if (record.format, record.key) != (_FORMAT, key):
                    raise msgspec.ValidationError("of another time, or of another key")
                value = msgspec.json.decode(record.value, type=of)
                _note_use(path, os.fstat(file.fileno()))
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            _remove(path)
            return None
        return value

    def put(self, key: str, value: object) -> None:
        """Keep a value that msgspec can write, in place of the one before; where that cannot be, nothing happens."""
        record = _Record(_FORMAT, key, msgspec.Raw(msgspec.json.encode(value)))
        text = msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
        path = self._path(key)
        if path is None or len(text) > _MOST_RECORD_BYTES:
            return
        with contextlib.suppress(OSError), self._beside() as scratch:
            made = scratch / "made"
            made.write_bytes(text)
            self._settle(made, path.name)

    def _path(self, key: str) -> Path | None:
        home = self.folder
        return home / f"{self._stem(key)}{self._ending}" if home else None


class Blobs(_Shelf):
    """Files by key, each with the digest of its content in its name."""

    def __init__(self, kind: str, *, ending: str = ".bin", most_files: int = 100, most_bytes: int = 2**29) -> None:
        """Take the name of the folder, how its files end, and how many of what size together are kept."""
        super().__init__(kind, ending, most_files, most_bytes)

    def get(self, key: str) -> Path | None:
        """The file that was put under a key, whole; or None. One that was changed since is removed.

        Another process may remove it to make room: whoever opens it must be able to do without.
        """
        for path, facts in self._of(key):
            if _digest(path) == path.name.removesuffix(self._ending).rpartition(".")[2]:
                _note_use(path, facts)
                return path
            _remove(path)
        return None

    def put(self, key: str, writer: Callable[[Path], object]) -> Path | None:
        """Keep the file that `writer` makes in place of the one before; None where it cannot be kept.

        Args:
            key: What it can be had back by.
            writer: Makes the file at the path it is given, in a folder of its own. What it raises comes through,
                but for `OSError`.
        """
        try:
            with self._beside() as scratch:
                made = scratch / f"made{self._ending}"
                writer(made)
                path = self._settle(made, f"{self._stem(key)}.{_digest(made)}{self._ending}")
        except OSError:
            return None
        every = [other for other, _ in self._of(key)]
        for older in (
            every[every.index(path) + 1 :] if path in every else ()
        ):  # two writers must not remove each other's
            _remove(older)
        return path

    def _of(self, key: str) -> list[tuple[Path, os.stat_result]]:
        return [(path, facts) for path, facts in self._files() if path.name.startswith(f"{self._stem(key)}.")]


class _Record(msgspec.Struct, frozen=True):
    """What a file of a store holds."""

    format: int
    key: str
    value: msgspec.Raw


def _listed(place: Path | None) -> list[tuple[Path, os.stat_result]]:
    """What lies in a folder, with what the system says of it; links are not followed."""
    found: list[tuple[Path, os.stat_result]] = []
    with contextlib.suppress(OSError), os.scandir(place or os.devnull) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # another process removed it
                found.append((Path(entry.path), entry.stat(follow_symlinks=False)))
    return found


def _opened(path: Path) -> BufferedReader:
    """Open a plain file that this user or the system wrote; raises `OSError` for links, pipes and files of others."""
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for a writer
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | more))  # noqa: SIM115 - the caller closes
    facts = os.fstat(file.fileno())
    trusted = not hasattr(os, "getuid") or facts.st_uid in {0, os.getuid()}  # a native library may be fed with it
    if stat.S_ISREG(facts.st_mode) and trusted:
        return file
    file.close()
    raise PermissionError(f"{path} is no file of this user")


def _digest(path: Path) -> str:
    """The digest of a file's content, in 32 hex digits; empty where it cannot be read."""
    with contextlib.suppress(OSError), _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    return ""


def _note_use(path: Path, facts: os.stat_result) -> None:
    if _age_seconds(facts) > _FRESH_SECONDS:
        with contextlib.suppress(OSError):
            os.utime(path)


def _age_seconds(facts: os.stat_result) -> float:
    return time.time() - facts.st_mtime  # noqa: TID251 - compared with what file systems write down


def _remove(path: Path) -> None:
    """Remove a file, a link or an empty folder; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
