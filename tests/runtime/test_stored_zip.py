"""Reading zips of stored members: what the standard library writes is read the same, whatever is damaged is refused."""

import io
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.runtime.stored_zip import BadZipError, Entry, check_sum, read_directory, read_member

MEMBERS = {"manifest.json": b"{}", "models/a.onnx": bytes(range(256)), "empty": b""}


def archive(members: dict[str, bytes] = MEMBERS, *, comment: bytes = b"", large: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        made.comment = comment
        for name, data in members.items():
            with made.open(zipfile.ZipInfo(name), "w", force_zip64=large) as member:
                member.write(data)
    return buffer.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    file = io.BytesIO(data)
    found = {}
    for entry in read_directory(file):
        found[entry.name] = read_member(file, entry)
        check_sum(entry, found[entry.name])
    return found


@pytest.mark.parametrize("comment", [b"", b"a comment", b"PK\x05\x06", bytes(65_535)], ids=len)
def test_members_are_read_whatever_comment_follows(comment: bytes) -> None:
    assert read(archive(comment=comment)) == MEMBERS


def test_members_written_for_large_files_are_read() -> None:
    assert read(archive(large=True)) == MEMBERS


def test_a_directory_for_large_archives_is_read() -> None:
    data = archive()
    end = data.rindex(b"PK\x05\x06")
    *_, count, size, begin, _ = struct.unpack("<4s4H2IH", data[end:])
    large = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, begin)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    plain = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    made = data[:end] + large + locator + plain
    assert zipfile.ZipFile(io.BytesIO(made)).namelist() == list(MEMBERS)
    assert read(made) == MEMBERS


def test_an_archive_of_nothing_is_read() -> None:
    assert read(archive({})) == {}


def test_sizes_beyond_four_gigabytes_are_told() -> None:
    data = bytearray(archive({"a": b"x"}, large=True))
    at = data.rindex(b"PK\x01\x02")
    extra = struct.pack("<2H2Q", 1, 16, 5 << 32, 5 << 32)
    entry = bytearray(data[at : at + 47])
    entry[20:28] = b"\xff" * 8
    entry[30:32] = struct.pack("<H", len(extra))
    directory = bytes(entry) + extra
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), at, 0)
    [found] = read_directory(io.BytesIO(bytes(data[:at]) + directory + end))
    assert (found.name, found.size, found.stored) == ("a", 5 << 32, True)


def test_compressed_and_encrypted_members_are_told() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a", b"x" * 99)
    [found] = read_directory(buffer)
    assert not found.stored
    data = bytearray(archive({"a": b"x"}))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    [found] = read_directory(io.BytesIO(bytes(data)))
    assert found.encrypted


def test_a_comment_that_could_be_the_end_itself_is_refused() -> None:
    with pytest.raises(BadZipError, match="its directory is not where it should be"):
        read(archive(comment=b"PK\x05\x06" + bytes(18)))


def test_what_stands_before_the_archive_is_refused() -> None:
    with pytest.raises(BadZipError, match="its directory is not where it should be"):
        read(b"#!/bin/sh\n" + archive())


@pytest.mark.parametrize("end", range(len(archive())))
def test_an_archive_cut_anywhere_is_refused(end: int) -> None:
    with pytest.raises(BadZipError):
        read(archive()[:end])


def test_a_member_beyond_the_end_is_refused() -> None:
    entry = Entry("a", False, True, 0, 0, 10, 10_000, b"a")
    with pytest.raises(BadZipError, match="no header is where it should begin"):
        read_member(io.BytesIO(archive()), entry)


@given(
    st.dictionaries(st.text("abc/", min_size=1, max_size=6), st.binary(max_size=40), max_size=4), st.binary(max_size=9)
)
@settings(max_examples=100, deadline=None)
def test_whatever_the_standard_library_writes_is_read(members: dict[str, bytes], comment: bytes) -> None:
    assert read(archive(members, comment=comment)) == members


@given(st.integers(0, len(archive()) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_flipped_byte_is_found_or_changes_no_member(place: int, flip: int) -> None:
    data = bytearray(archive())
    data[place] ^= flip
    try:
        found = read(bytes(data))
    except BadZipError:
        return
    assert sorted(found.values()) == sorted(MEMBERS.values())
