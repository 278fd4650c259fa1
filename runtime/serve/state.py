"""What must outlive a server: labels, rollbacks, what was unloaded, and which version was good last.

It lies as one small JSON file in the folder of models itself: it speaks of that folder alone, moves with it, and is
where several workers and `edgepack rollback` find it without knowing of each other.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from edgepack.runtime.errors import OutputError
from edgepack.runtime.writing import write_bytes

FILE = ".edgepack-serve.json"
STABLE, CANARY = "stable", "canary"
LABELS = (STABLE, CANARY)

_LOCK = ".edgepack-serve.lock"
_MOST_BYTES = 2**20
_NOTHING = (0, 0, 0)
_LOG = logging.getLogger("edgepack.serve")

Version = Annotated[int, msgspec.Meta(ge=1)]


class ModelState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was decided about one model."""

    labels: dict[str, Version] = {}
    away: tuple[Version, ...] = ()
    """Rolled back: they do not answer by default any more."""
    out: tuple[Version, ...] = ()
    """Unloaded by name: they stay so until they are loaded by name, or the whole model is."""
    asked: tuple[Version, ...] = ()
    """Loaded by name: they are served whatever the version policy says."""
    unloaded: bool = False
    """The whole model is."""
    good: Version | None = None
    """The version that answered by default last."""
    trying: dict[Version, int] = {}
    """How often a version was begun to be loaded and that did not end: it may have taken the process down."""

    @property
    def highest(self) -> int:
        """The highest version that anything was decided about."""
        return max((*self.labels.values(), *self.away, *self.out, *self.asked, self.good or 0), default=0)

    def loaded(self, version: int) -> "ModelState":
        """It was asked for by name: whatever kept it away is forgotten."""
        return msgspec.structs.replace(
            self, away=_without(self.away, version), out=_without(self.out, version),
            asked=_with(self.asked, version), unloaded=False,
        )  # fmt: skip

    def renewed(self, version: int) -> "ModelState":
        """Another pack has this version from now on: what was decided about the one before is forgotten."""
        if version not in {*self.away, *self.out, *self.trying}:
            return self
        return msgspec.structs.replace(
            self, away=_without(self.away, version), out=_without(self.out, version),
            trying=_rest(self.trying, version),
        )  # fmt: skip

    def forgiven(self) -> "ModelState":
        """The whole model is served again."""
        return msgspec.structs.replace(self, out=(), unloaded=False, trying={})

    def without(self, version: int) -> "ModelState":
        """A version was unloaded by name."""
        return msgspec.structs.replace(self, out=_with(self.out, version), asked=_without(self.asked, version))

    def rolled_back(self, bad: int, good: int) -> "ModelState":
        """`good` answers instead of `bad`."""
        labels = {STABLE: good} if STABLE in self.labels else {}
        return msgspec.structs.replace(
            self, labels=self.labels | labels, away=_without(_with(self.away, bad), good),
            out=_without(self.out, good), asked=_without(self.asked, bad), unloaded=False, good=good,
        )  # fmt: skip

    def labelled(self, label: str, version: int | None) -> "ModelState":
        """A label points to a version, or to none any more; the default never stays away."""
        labels = {name: at for name, at in self.labels.items() if name != label}
        if version is None:
            return msgspec.structs.replace(self, labels=labels)
        away = _without(self.away, version) if label == STABLE else self.away
        return msgspec.structs.replace(self, labels=labels | {label: version}, away=away)

    def begun(self, version: int) -> "ModelState":
        """Loading a version begins."""
        return msgspec.structs.replace(self, trying=self.trying | {version: self.trying.get(version, 0) + 1})

    def ended(self, version: int, good: int | None) -> "ModelState":
        """Loading a version has ended, well or badly, and the process lives; `good` answers by default."""
        return msgspec.structs.replace(self, trying=_rest(self.trying, version), good=good or self.good)


State = dict[str, ModelState]
"""By model."""


class StateFile:
    """The state of one folder of models; several threads and processes may use it at once."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)
        self._path, self._seen = self._folder / FILE, _NOTHING
        self._state: State = {}
        self._reading = threading.Lock()

    @property
    def state(self) -> State:
        """What was read last, whoever read it."""
        return self._state

    def read(self) -> State:
        """What is written, read again where it changed; what was read before where it cannot be read.

        It is empty where nothing is written, or what is there is damaged.
        """
        try:
            return self._read()
        except OSError as error:
            _LOG.warning("%s cannot be read, and what was decided before holds on: %s", self._path, error.strerror)
            return self._state

    def is_changed(self) -> bool:
        """Whether somebody else wrote it since it was read or written here."""
        with self._reading:
            return self._mark() != self._seen

    def change(self, name: str, change: Callable[[ModelState], ModelState]) -> State:
        """Change what is written of one model, and return all; nobody else's change is lost.

        Raises:
            OutputError: The folder cannot be written, or the state not be read; nothing was changed.
        """
        with self._locked():
            try:
                state = self._read()
            except OSError as error:  # to write then would lose what was decided about all the others
                raise OutputError(f"cannot read {self._path}: {error.strerror}; nothing was changed") from error
            before = state.get(name, ModelState())
            after = change(before)
            if after == before:
                return state
            state = {**state, name: after}
            write_bytes(self._path, msgspec.json.format(msgspec.json.encode(state), indent=2))
            sync_folder(self._folder)
            return self.read()

    def _read(self) -> State:
        with self._reading:
            seen = self._mark()
            if seen != self._seen:
                self._state, self._seen = self._decoded(seen[1]) if seen != _NOTHING else {}, seen
            return self._state

    def _mark(self) -> tuple[int, int, int]:
        """What changes with the file; raises `OSError` where that cannot be known."""
        try:
            facts = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return _NOTHING
        return facts.st_ino, facts.st_size, facts.st_mtime_ns

    def _decoded(self, size: int) -> State:
        try:
            if size > _MOST_BYTES:
                raise msgspec.DecodeError(f"{size:,} bytes")
            return msgspec.json.decode(self._path.read_bytes(), type=State)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a server that does not start helps nobody
            _LOG.warning("%s is damaged and passed over, with its labels and rollbacks: %s", self._path, error)
            return {}

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self._folder / _LOCK):
            yield


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock among processes while the block runs; a process that dies lets go of it.

    Raises:
        OutputError: The file of the lock cannot be written.
    """
    try:
        file = path.open("ab")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; nothing was changed") from error
    with file:
        lock = _flock()
        if lock is not None:
            with contextlib.suppress(OSError):  # some network file systems have no locks
                lock.flock(file, lock.LOCK_EX)
        yield


def _flock() -> Any:
    """The module of file locks; None on Windows, where two that write at the same moment can lose one's change."""
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, so that a rename outlives a power cut; some systems cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _with(versions: tuple[int, ...], version: int) -> tuple[int, ...]:
    return tuple(sorted({*versions, version}))


def _rest(counts: dict[int, int], version: int) -> dict[int, int]:
    return {one: times for one, times in counts.items() if one != version}


def _without(versions: tuple[int, ...], version: int) -> tuple[int, ...]:
    return tuple(one for one in versions if one != version)
