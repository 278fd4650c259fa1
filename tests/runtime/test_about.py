"""What a file says of itself: written as text by name, read back with suspicion."""

import struct

import msgspec
import numpy as np
import pytest

from edgepack.runtime.about import About, read_about
from edgepack.runtime.engines.tflite_file import metadata
from tests.zoo.packs import ZOO

DIGITS = About("1.0", "digits", {"digit": ("zero", "one")}, {"image": "grey, 0 to 1"})


def test_what_was_written_is_read() -> None:
    assert read_about(DIGITS.entries()) == DIGITS


def test_entries_are_text_and_leave_out_what_is_empty() -> None:
    assert DIGITS.entries()["labels"] == '{"digit":["zero","one"]}'
    assert About("1.0", "digits").entries() == {"edgepack": "1.0", "name": "digits"}


@pytest.mark.parametrize(
    "text", ["", "[", "3", '{"digit": 3}', '{"digit": [1]}', "[" * 100_000, "\ud800"], ids=lambda text: text[:12]
)
def test_entries_of_another_kind_are_passed_over(text: str) -> None:
    found = read_about({"name": "digits", "labels": text, "other": "thing"})
    assert found == About(name="digits")


def test_a_file_without_an_entry_says_nothing() -> None:
    assert metadata((ZOO / "mlp.tflite").read_bytes()) == {}


def tflite(content: bytes, *, name: bytes = b"edgepack", buffer: int = 0) -> bytes:
    """The head of a TFLite file with one buffer and one metadata entry, and nothing else."""

    def vector(content: bytes) -> bytes:
        return struct.pack("<I", len(content)) + content + bytes(-len(content) % 4)

    # One layout for all tables: a table, its names before it, its lists behind it.
    model_names = struct.pack("<9H", 18, 12, 0, 0, 0, 0, 4, 0, 8) + bytes(2)
    small_names = struct.pack("<4H", 8, 12, 4, 8)
    start = 8 + len(model_names)
    model = start
    buffers = model + 12
    buffer_names = buffers + 8
    buffer_table = buffer_names + len(small_names)
    data_at = buffer_table + 12
    entries = data_at + len(vector(content))
    entry_names = entries + 8
    entry_table = entry_names + len(small_names)
    name_at = entry_table + 12
    return b"".join(
        [
            struct.pack("<I4s", model, b"TFL3"), model_names,
            struct.pack("<iII", len(model_names), buffers - model - 4, entries - model - 8),
            struct.pack("<II", 1, buffer_table - buffers - 4), small_names,
            struct.pack("<iII", len(small_names), data_at - buffer_table - 4, 0), vector(content),
            struct.pack("<II", 1, entry_table - entries - 4), small_names,
            struct.pack("<iII", len(small_names), name_at - entry_table - 4, buffer), vector(name),
        ]
    )  # fmt: skip


def test_an_entry_is_found_by_its_name() -> None:
    content = msgspec.json.encode(DIGITS.entries())
    assert read_about(metadata(tflite(content))) == DIGITS
    assert metadata(tflite(content, name=b"TFLITE_METADATA")) == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"name": 3}', b"\xff\xfe"], ids=str)
def test_an_entry_of_another_kind_says_nothing(content: bytes) -> None:
    assert metadata(tflite(content)) == {}


@pytest.mark.parametrize("buffer", [1, 2**31, 2**32 - 1])
def test_an_entry_that_leads_nowhere_says_nothing(buffer: int) -> None:
    assert metadata(tflite(b'{"name": "x"}', buffer=buffer)) == {}


def test_a_file_cut_short_or_changed_anywhere_says_what_it_can_or_nothing() -> None:
    whole = tflite(msgspec.json.encode(DIGITS.entries()))
    random = np.random.default_rng(0)
    for end in range(len(whole)):
        metadata(whole[:end])
    for place in range(len(whole)):
        for value in (0, 0x7F, 0xFF, int(random.integers(256))):
            metadata(whole[:place] + bytes([value]) + whole[place + 1 :])
