"""Counts that outlive the process that made them: one file for each worker, mapped into memory, read by all of them.

A count is one aligned store of eight bytes: a process that is killed leaves whole numbers behind. While it lives, a
process holds a lock on its file, and the system gives the lock back however the process ends; the next worker takes the
file over and counts on from what it finds. Every reader sums all files, so nothing is lost and nothing is counted
twice; gauges are read from locked files alone. Without a folder the same layout lies in the process's own memory.
"""

import contextlib
import errno
import hashlib
import itertools
import mmap
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edgepack.runtime.serve import count_slots as slots
from edgepack.runtime.serve import recent
from edgepack.runtime.serve.count_labels import LABELS_BYTES, Key, Labels, label

CAPACITY = 256
"""Records of a worker: pairs of model and version. A version that finds no place is counted with none, or no model."""
GONE_S = 300
"""How long the counts of a version that is gone are still told: long enough for whoever reads now and then."""

_RECORD = np.dtype([("labels", f"S{LABELS_BYTES}"), ("counts", "<i8", (slots.SLOTS,))])
_RECENT_BYTES = 4 * recent.WORDS
_HEADER_BYTES = mmap.PAGESIZE
_RECENT_AT = _HEADER_BYTES + CAPACITY * _RECORD.itemsize
_FILE_BYTES = _RECENT_AT + CAPACITY * _RECENT_BYTES
_LAYOUT = repr(
    (slots.ERRORS, slots.TOTAL, slots.RESPONSE, slots.BATCH, slots.LOAD, recent.WORDS, CAPACITY, LABELS_BYTES)
)
_MAGIC = b"edgepack counts " + hashlib.sha256(_LAYOUT.encode()).digest()[:16]  # 32 bytes; another layout is not read
_PID, _WORKER, _STARTED_US, _USED, _SEQUENCE = range(5)  # 64-bit words behind the magic
_SUFFIX = ".counts"
_MOST_READS = 100  # of a file that changes meanwhile; one whose process died in a change is taken as it is


class Record(NamedTuple):
    """The numbers of one pair of model and version, in place."""

    place: int
    counts: "memoryview[int]"
    recent: "memoryview[int]"


class Read(NamedTuple):
    """A copy of one record."""

    place: int
    labels: Labels
    counts: npt.NDArray[np.int64]
    recent: npt.NDArray[np.uint32]
    """Of no words where the last minute was not asked for."""


class Reading(NamedTuple):
    """The counts of one file at one moment."""

    alive: bool
    pid: int
    worker: int
    started_s: float
    """When its process began to count, as a Unix time."""
    records: list[Read]


class Counts:
    """The counts of this process, and the way to those of all. Whoever calls it holds a lock of his own.

    Attributes:
        records: Those there are, by model and version; `take` makes one.
        unknown: Of models that nobody serves.
    """

    def __init__(self, folder: Path | None, worker: int, clock: Callable[[], float]) -> None:
        self._folder, self._clock = folder, clock
        self._path: Path | None = None
        self._file: int | None = None
        if folder is not None:
            self._path, self._file = _claim(folder)
        self._map = mmap.mmap(-1 if self._file is None else self._file, _FILE_BYTES)
        self._view = memoryview(self._map)
        self._header = self._view[len(_MAGIC) : _HEADER_BYTES].cast("q")
        self._header[_PID], self._header[_WORKER] = os.getpid(), worker
        self._header[_STARTED_US] = int(datetime.now(UTC).timestamp() * 1e6)
        self._header[_SEQUENCE] += self._header[_SEQUENCE] % 2  # who had it before may have died in a change
        self.records: dict[Key, Record] = {}
        for place, labels, _, _ in self._own(minute=False).records:
            record = self.records[labels.model, labels.version] = self._record(place)
            if record.counts[slots.LOADED]:
                record.counts[slots.GONE] = int(clock())
            record.counts[slots.LOADED] = record.counts[slots.QUEUED] = 0
        self.unknown = self.records.get(("", "")) or self._new(Labels("", ""), 0)

    def take(self, model: str, version: str) -> Record:
        """The record of a version that the server itself knows of, made if need be.

        Where there is no room left, it is that of the model's other versions, or of unknown models.
        """
        model, version = label(model), label(version)
        found = self.records.get((model, version))
        if found is None:
            with contextlib.suppress(OSError):  # no room in the file system
                place = self._place()
                found = None if place is None else self._new(Labels(model, version), place)
        return found or self.records.get((model, "")) or self.unknown

    def find(self, model: str, version: str) -> Record:
        """The record for names that a client sent: none is made for a model that nobody serves."""
        found = self.records.get((model, version)) or self.records.get((model, ""))
        if found is None and any(known == model for known, _ in self.records):
            return self.take(model, "")
        return found or self.unknown

    def describe(self, labels: Labels) -> None:
        """Say what a version runs on, if it has a record of its own."""
        record = self.records.get((label(labels.model), label(labels.version)))
        if record is not None:
            with self._changing():
                self._name(record.place, labels)

    def readings(self, *, minute: bool = False) -> list[Reading]:
        """The counts of every worker that has lived; with those of the last minute if they are asked for."""
        if self._folder is None:
            return [self._own(minute=minute)]
        paths = sorted(path for path in self._folder.glob(f"*{_SUFFIX}") if path != self._path)
        others = [_read(path, minute=minute) for path in paths]
        return [self._own(minute=minute), *(found for found in others if found)]

    def close(self) -> None:
        """Let go of the file: its counts stay for whoever reads or takes it over, its gauges are no longer true."""
        for record in self.records.values():
            record.counts.release()
            record.recent.release()
        self.records.clear()
        self._header.release()
        self._view.release()
        self._map.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _own(self, *, minute: bool) -> Reading:
        return _reading(self._map, alive=True, minute=minute)

    def _place(self) -> int | None:
        """A free place; where there is none, that of the version that went longest ago and is no longer told of."""
        if self._header[_USED] < CAPACITY:
            return self._header[_USED]
        before = int(self._clock()) - 2 * GONE_S  # later than any reader looks for it
        gone = [
            (record.counts[slots.GONE], key)
            for key, record in self.records.items()
            if key[1] and not record.counts[slots.LOADED] and record.counts[slots.GONE] < before
        ]
        if not gone:
            return None
        record = self.records.pop(min(gone)[1])
        with self._changing():
            self._name(record.place, Labels("", ""))
            record.counts[:] = memoryview(bytes(8 * slots.SLOTS)).cast("q")
            record.recent[:] = memoryview(bytes(_RECENT_BYTES)).cast("I")
        return record.place

    def _new(self, labels: Labels, place: int) -> Record:
        self._reserve(place)
        with self._changing():
            self._name(place, labels)
            self._header[_USED] = max(self._header[_USED], place + 1)
        record = self.records[labels.model, labels.version] = self._record(place)
        record.counts[slots.GONE] = int(self._clock())
        return record

    def _reserve(self, place: int) -> None:
        """Have the disk space of a record: a store into a mapped hole of a full disk would kill the process."""
        if self._file is None or not hasattr(os, "posix_fallocate"):
            return
        try:
            os.posix_fallocate(self._file, _HEADER_BYTES + place * _RECORD.itemsize, _RECORD.itemsize)
            os.posix_fallocate(self._file, _RECENT_AT + place * _RECENT_BYTES, _RECENT_BYTES)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:  # file systems that cannot say
                raise

    def _record(self, place: int) -> Record:
        end = _HEADER_BYTES + (place + 1) * _RECORD.itemsize
        start = _RECENT_AT + place * _RECENT_BYTES
        return Record(
            place,
            self._view[end - 8 * slots.SLOTS : end].cast("q"),
            self._view[start : start + _RECENT_BYTES].cast("I"),
        )

    def _name(self, place: int, labels: Labels) -> None:
        at, size = _HEADER_BYTES + place * _RECORD.itemsize, _RECORD["labels"].itemsize
        self._map[at : at + size] = labels.packed().ljust(size, b"\0")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """An odd number stands in the header while more than single counts change: readers come again."""
        self._header[_SEQUENCE] += 1
        try:
            yield
        finally:
            self._header[_SEQUENCE] += 1


def _claim(folder: Path) -> tuple[Path, int]:
    """The first file that no living process holds, locked and of our layout."""
    for number in itertools.count():
        path = folder / f"{number}{_SUFFIX}"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(file, alone=True):
            os.close(file)
            continue
        if os.fstat(file).st_size != _FILE_BYTES or os.pread(file, len(_MAGIC), 0) != _MAGIC:
            os.truncate(file, 0)
            os.truncate(file, _FILE_BYTES)
            os.pwrite(file, _MAGIC, 0)
        return path, file
    raise AssertionError("numbers do not end")


def _locked(file: int, *, alone: bool) -> bool:
    """Whether the lock was to be had; it is given back when the file is closed."""
    import fcntl  # where a system has none, a server has one worker

    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path, *, minute: bool) -> Reading | None:
    """What a file says; None where it is not, or not yet, one of ours."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(file).st_size != _FILE_BYTES:
            return None
        with mmap.mmap(file, _FILE_BYTES, access=mmap.ACCESS_READ) as data:
            if data[: len(_MAGIC)] != _MAGIC:
                return None
            return _reading(data, alive=not _locked(file, alone=False), minute=minute)
    finally:
        os.close(file)


def _reading(data: mmap.mmap, *, alive: bool, minute: bool) -> Reading:
    for _ in range(_MOST_READS):
        header = _header(data)
        used = min(int(header[_USED]), CAPACITY)
        counts = data[_HEADER_BYTES : _HEADER_BYTES + used * _RECORD.itemsize]
        words = data[_RECENT_AT : _RECENT_AT + used * _RECENT_BYTES] if minute else b""
        if header[_SEQUENCE] % 2 == 0 and _header(data)[_SEQUENCE] == header[_SEQUENCE]:
            break
    rings = np.frombuffer(words, np.uint32).reshape(used, -1 if used else 0)
    records = [
        Read(place, Labels.unpacked(bytes(record["labels"])), record["counts"], rings[place])
        for place, record in enumerate(np.frombuffer(counts, _RECORD))
    ]
    return Reading(alive, int(header[_PID]), int(header[_WORKER]), int(header[_STARTED_US]) / 1e6, records)


def _header(data: mmap.mmap) -> npt.NDArray[np.int64]:
    return np.frombuffer(data[len(_MAGIC) : len(_MAGIC) + 40], np.int64)
