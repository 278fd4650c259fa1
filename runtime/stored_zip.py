"""Read a zip whose members are stored as they are: where each lies, and its bytes.

The zipfile of the standard library reads these and much more, and takes as long to import as a small model to load.
Structures are those of PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LONGEST_COMMENT = 0xFFFF
_IN_EXTRA, _IN_END64 = 0xFFFFFFFF, {0xFFFF, 0xFFFFFFFF}  # the value is too large for its field, and stands elsewhere
_ZIP64 = 1


class BadZipError(ValueError):
    """The file is no such zip, or is cut short or damaged."""


class Entry(NamedTuple):
    """A member, as the directory at the end of the file tells of it; nothing in it can be trusted."""

    name: str
    """As it is stored; bytes that are no UTF-8 are shown as U+FFFD."""
    encrypted: bool
    stored: bool
    """Whether its bytes lie in the file as they are."""
    mode: int
    """What Unix says of it, as in `os.stat`; 0 where another system wrote it."""
    crc: int
    size: int
    offset: int
    """Where its own header begins."""
    raw_name: bytes


def read_directory(file: BinaryIO) -> list[Entry]:
    """The members of a zip, in the order of its directory.

    Raises:
        BadZipError: There is no directory that ends the file, or it does not hold what it claims.
        OSError: The file cannot be read.
    """
    size, begin, count = _find(file)
    file.seek(begin)
    data = file.read(size)
    try:
        entries = list(_entries(data))
    except struct.error as error:
        raise BadZipError("its directory is damaged") from error
    if len(entries) != count:
        raise BadZipError(f"its directory has {len(entries)} entries of {count}")
    return entries


def read_member(file: BinaryIO, entry: Entry) -> bytes:
    """The bytes of a member that is stored.

    Raises:
        BadZipError: Its own header is another's, or the file ends before it.
        OSError: The file cannot be read.
    """
    file.seek(entry.offset)
    header = file.read(_LOCAL.size + len(entry.raw_name))
    if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
        raise BadZipError("no header is where it should begin")
    *_, name_length, extra_length = _LOCAL.unpack_from(header)
    if name_length != len(entry.raw_name) or header[_LOCAL.size :] != entry.raw_name:
        raise BadZipError("its header has another name")
    file.seek(extra_length, 1)
    data = file.read(entry.size)
    if len(data) != entry.size:
        raise BadZipError(f"it ends after {len(data):,} of {entry.size:,} bytes")
    return data


def check_sum(entry: Entry, data: bytes) -> None:
    """Raise `BadZipError` where the bytes are not those that were stored."""
    if zlib.crc32(data) != entry.crc:
        raise BadZipError("its checksum is another")


def _find(file: BinaryIO) -> tuple[int, int, int]:
    """Size and place of the directory, and its number of entries."""
    length = file.seek(0, 2)
    start = max(0, length - _END.size - _LONGEST_COMMENT)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0 and at + _END.size + int.from_bytes(tail[at + 20 : at + 22], "little") != len(tail):
        at = tail.rfind(b"PK\x05\x06", 0, at)
    if at < 0:
        raise BadZipError("it does not end as a zip does")
    _, disk, first, _, count, size, begin, _ = _END.unpack_from(tail, at)
    end = start + at
    if _IN_END64 & {count, size, begin}:
        end, disk, first, count, size, begin = _find64(file, end)
    if disk or first or begin + size != end:
        raise BadZipError("its directory is not where it should be")
    return size, begin, count


def _find64(file: BinaryIO, end: int) -> tuple[int, int, int, int, int, int]:
    """The same, for what is too large for the plain end of a zip; first, where that end's larger form lies."""
    try:
        file.seek(max(0, end - _LOCATOR.size))
        mark, _, place, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
        file.seek(min(place, end))
        mark64, _, _, _, disk, first, _, count, size, begin = _END64.unpack(file.read(_END64.size))
    except struct.error as error:
        raise BadZipError("its end is damaged") from error
    if mark != b"PK\x06\x07" or mark64 != b"PK\x06\x06":
        raise BadZipError("its end is damaged")
    return place, disk, first, count, size, begin


def _entries(data: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(data):
        mark, _, _, flags, method, _, _, crc, packed, size, n, m, k, _, _, attributes, offset = _CENTRAL.unpack_from(
            data, at
        )
        if mark != b"PK\x01\x02":
            raise BadZipError("its directory is damaged")
        at += _CENTRAL.size
        name, extra = data[at : at + n], data[at + n : at + n + m]
        at += n + m + k
        if at > len(data):
            raise BadZipError("its directory is cut short")
        if _IN_EXTRA in {size, packed, offset}:
            size, packed, offset = _large(extra, size, packed, offset)
        yield Entry(
            name.decode("utf-8", "replace"), bool(flags & 1), method == 0 and packed == size, attributes >> 16,
            crc, size, offset, name,
        )  # fmt: skip


def _large(extra: bytes, *values: int) -> Iterator[int]:
    """The values, those that are too large for their fields out of the extra field for them."""
    at, found = 0, b""
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64:
            found = extra[at + 4 : at + 4 + length]
        at += 4 + length
    place = 0
    for value in values:
        if value == _IN_EXTRA:
            (value,) = struct.unpack_from("<Q", found, place)  # noqa: PLW2901 - the value that was meant
            place += 8
        yield value
