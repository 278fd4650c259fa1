"""Pictures among the results: named, and written as PNG files with the standard library alone."""

import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.runtime.tensor import Array
from edgepack.runtime.writing import check_output, write_bytes

_UNSAFE = re.compile(r"[^\w\-]+")
_LONGEST_PART = 60
_COLOUR_TYPES = {1: 0, 3: 2}  # channels -> what PNG calls them


def picture_places(
    samples: Iterable[str], outputs: Iterable[str], folder: Path, *, force: bool
) -> list[dict[str, Path]]:
    """Where the pictures of each sample go, by output: `seven-digit.png` for output `digit` of `folder/seven.png`.

    Args:
        samples: What each sample is called: a path, with or without the number of a line.
        outputs: The outputs that are pictures; a hostile pack cannot name a file beyond the folder.
        folder: Where they go.
        force: Replace files that are there.

    Raises:
        OutputError: A file is there already, or the folder cannot be written.
    """
    names = list(outputs)
    taken: set[str] = set()
    found = []
    for sample in samples:
        place = {}
        for output in names:
            stem = f"{_safe(_stem(sample))}-{_safe(output)}"
            own = next(name for name in _numbered(stem) if name.lower() not in taken)
            taken.add(own.lower())
            place[output] = check_output(folder / f"{own}.png", force=force)
        found.append(place)
    return found


def write_pictures(result: Any, place: Mapping[str, Path], output: str) -> Any:
    """A result with each picture written, and its path in place of the pixels.

    Args:
        result: Of `session.predict`: of the one output, or a dict by output.
        place: Where each picture goes.
        output: The name of the output, where there is one.
    """
    if not isinstance(result, dict):
        return _write(result, place[output]) if output in place else result
    return {name: _write(value, place[name]) if name in place else value for name, value in result.items()}


def png(pixels: Array) -> bytes:
    """The bytes of a PNG file of uint8 pixels `(height, width, 1 | 3)`."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0)))  # each row begins with its filter: none
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def _write(pixels: Array, path: Path) -> Path:
    write_bytes(path, png(pixels))
    return path


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _stem(sample: str) -> str:
    """The name of a file without its ending, with the number of a line where there is one."""
    name, colon, number = sample.rpartition(":")
    return f"{Path(name).stem}-{number}" if colon and number.isdigit() else Path(sample).stem


def _safe(text: str) -> str:
    return _UNSAFE.sub("-", text)[:_LONGEST_PART].strip("-") or "picture"


def _numbered(stem: str) -> Iterable[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1
