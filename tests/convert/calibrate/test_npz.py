"""Files of arrays are read some rows at a time, and believed in nothing."""

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert.calibrate.npz import ArrayFile
from edgepack.runtime.errors import DataError, MissingFileError

_ROWS = np.random.default_rng(0).random((10, 3, 2)).astype(np.float32)


def _read(path: Path, name: str = "x", rows: int = 4) -> list[np.ndarray]:
    return [piece[name] for piece in ArrayFile(path, "calibration data").rows([name], rows)]


def _npy(path: Path, array: Any) -> None:
    with path.open("wb") as file:
        np.save(file, array)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: np.savez(path, x=_ROWS),
        lambda path: np.savez_compressed(path, x=_ROWS, y=np.arange(10)),
        lambda path: np.savez(path, x=np.asfortranarray(_ROWS)),
        lambda path: _npy(path, _ROWS),
    ],
    ids=["stored", "deflated", "in Fortran's order", "one array"],
)
def test_rows_come_as_they_were_written(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    write(path)
    pieces = _read(path)
    assert [len(piece) for piece in pieces] == [4, 4, 2]
    assert np.array_equal(np.concatenate(pieces), _ROWS)


def test_the_file_is_never_in_memory_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.npz"
    np.savez(path, x=np.zeros((1_000, 10_000), np.float32))  # 40 MB
    tracemalloc.start()
    for _ in ArrayFile(path, "calibration data").rows(["x"], 10):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000  # two pieces of 400 kB, each as bytes and as an array


def _claiming(shape: tuple[int, ...], descr: str = "<f4", body: bytes = b"\0" * 40) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + body


def _zipped(path: Path, name: str, data: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, data)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"not an array"),
        lambda path: path.write_bytes(b"PK not a zip"),
        lambda path: path.write_bytes(b""),
        lambda path: _zipped(path, "x.txt", b"text"),
        lambda path: _zipped(path, "x.npy", _claiming((1 << 40, 4))),
        lambda path: _zipped(path, "x.npy", _claiming((4, 1 << 45))),
        lambda path: _zipped(path, "x.npy", _claiming((-1, 4))),
        lambda path: _zipped(path, "x.npy", _claiming((11,))),
        lambda path: _zipped(path, "x.npy", _claiming((5,), "|O")),
        lambda path: _zipped(path, "x.npy", b"\x93NUMPY\x01\x00\xff\xff{"),
        lambda path: _npy(path, np.array([{}], object)),
    ],
    ids=[
        "text", "no zip", "empty", "another zip", "too many rows", "too large rows", "rows below zero", "one too many",
        "objects", "a broken header", "objects in one array",
    ],
)  # fmt: skip
def test_a_file_of_something_else_is_one_clear_line(write: Callable[[Path], Any], tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    write(path)
    with pytest.raises(DataError, match=r"is not a \.npz file of plain arrays, or is damaged|does not fit into memory"):
        _read(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=_ROWS)
    data = bytearray(path.read_bytes())
    data[200:230] = b"\0" * 30
    path.write_bytes(data)
    with pytest.raises(DataError, match="or is damaged"):
        _read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no calibration data at .*no\.npz"):
        ArrayFile(tmp_path / "no.npz", "calibration data")
