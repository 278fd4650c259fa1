"""Tables and lists of a flatbuffer, read without a library from bytes that anybody may have written.

Whatever lies beyond the end raises `struct.error`, whatever ends beyond it `OverflowError`.
"""

import struct


def places(data: bytes, table: int) -> list[int]:
    """Where each field of a table lies; 0 for those it does not have."""
    names = table - struct.unpack_from("<i", data, table)[0]
    if names < 0:
        raise OverflowError
    names_size, table_size = struct.unpack_from("<HH", data, names)
    if table + table_size > len(data):
        raise OverflowError
    offsets = struct.unpack_from(f"<{max(0, names_size - 4) // 2}H", data, names + 4)
    return [table + offset if offset else 0 for offset in offsets]


def tables(data: bytes, at: int) -> list[int]:
    """Where the tables of a list lie."""
    at += number(data, at)
    return [at + 4 + 4 * index + way for index, way in enumerate(numbers(data, at, "I"))]


def content(data: bytes, at: int) -> bytes:
    """The bytes of a text or of a list of bytes."""
    at += number(data, at)
    length = number(data, at)
    if at + 4 + length > len(data):
        raise OverflowError
    return data[at + 4 : at + 4 + length]


def numbers(data: bytes, at: int, kind: str) -> tuple[int, ...]:
    """The elements of a list of four-byte numbers."""
    return struct.unpack_from(f"<{number(data, at)}{kind}", data, at + 4)


def number(data: bytes, at: int) -> int:
    """The four-byte number at a place."""
    found: int = struct.unpack_from("<I", data, at)[0]
    return found
