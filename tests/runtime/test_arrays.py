"""Arrays from files of anybody: read, or refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from edgepack.runtime.arrays import read_arrays
from edgepack.runtime.errors import DataError, MissingFileError


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["plain", "compressed"])
def test_a_file_of_several_arrays_is_read_by_name(tmp_path: Path, save: object) -> None:
    save(tmp_path / "a.npz", x=np.arange(3), words=np.array(["a", "b"]))  # type: ignore[operator]
    found = read_arrays(tmp_path / "a.npz", "sample")
    assert list(found) == ["x", "words"]
    np.testing.assert_array_equal(found["x"], [0, 1, 2])


def test_a_file_of_one_array_has_no_name_for_it(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(2))
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npy", "sample")[""], np.eye(2))


def test_a_damaged_compressed_file_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(10_000))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    for at in range(200, 400):
        data[at] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"a\.npz is not a \.npz file of plain arrays, or is damaged"):
        read_arrays(tmp_path / "a.npz", "sample")


@pytest.mark.parametrize("name", ["nothing.npz", "x" * 300], ids=["missing", "a name too long"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingFileError, match="no calibration data at"):
        read_arrays(tmp_path / name, "calibration data")
