"""A `.npz` or `.npy` file read some rows at a time: neither the file nor one of its arrays is ever in memory whole."""

import contextlib
import io
import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from edgepack.runtime.errors import DataError, MissingFileError
from edgepack.runtime.tensor import Array

_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True, slots=True)
class Member:
    """What the header of an array says."""

    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    is_fortran: bool

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.shape[0] if self.shape else 1

    @property
    def row_bytes(self) -> int:
        """The size of one row."""
        return self.dtype.itemsize * math.prod(self.shape[1:])


class ArrayFile:
    """Arrays by name, in a file that anybody may have written: nothing in it is executed.

    Attributes:
        members: What the headers say, by name; the array of a `.npy` file is called `x`.
    """

    def __init__(self, path: Path, what: str) -> None:
        """Read the headers.

        Args:
            path: The file.
            what: What it is to the user, for messages: `"calibration data"`.

        Raises:
            MissingFileError: There is no such file.
            DataError: It is damaged, or something else.
        """
        if not os.path.isfile(path):  # Path.is_file raises where a name is too long
            raise MissingFileError(path, what)
        self._path, self._what = path, what
        with self._told(), path.open("rb") as file:
            self._is_zip = file.read(2) == b"PK"
            names = _names(path) if self._is_zip else ["x"]
        self.members: dict[str, Member] = {}
        for name in names:
            with self._told(), contextlib.ExitStack() as stack:
                self.members[name] = _header(self._opened(name, stack))

    def rows(self, names: Sequence[str], rows: int) -> Iterator[dict[str, Array]]:
        """Some arrays, so many rows at a time.

        Raises:
            DataError: The file is damaged, claims more than it holds, or one of these arrays holds Python objects.
        """
        with contextlib.ExitStack() as stack:
            with self._told():
                readers = {name: _Reader(self._opened(name, stack)) for name in names}
            count = max(reader.count for reader in readers.values())
            for _ in range(0, count, rows):
                with self._told():
                    piece = {name: reader.read(rows) for name, reader in readers.items()}
                yield piece

    def _opened(self, name: str, stack: contextlib.ExitStack) -> IO[bytes]:
        if not self._is_zip:
            return stack.enter_context(self._path.open("rb"))
        archive = stack.enter_context(zipfile.ZipFile(self._path))
        return stack.enter_context(archive.open(f"{name}.npy"))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say of whatever goes wrong that the file is to blame."""
        try:
            yield
        except MemoryError as error:
            raise DataError(
                f"{self._path} claims an array that does not fit into memory; fetch or save it again"
            ) from error
        except Exception as error:  # what zipfile and numpy raise on damaged files is not written down anywhere
            kind = ".npy" if self._path.suffix == ".npy" else ".npz"
            raise DataError(
                f"{self._path} is not a {kind} file of plain arrays, or is damaged; write it with numpy.savez"
            ) from error


class _Reader:
    """An array in an open file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._member = _header(file)
        if self._member.dtype.hasobject:
            raise ValueError("Python objects")
        self._left = self.count = self._member.rows
        self._file = file
        if self._member.is_fortran and len(self._member.shape) > 1:
            # Its rows lie scattered over the whole array: there is no other way than to read it all.
            whole = np.frombuffer(file.read(), self._member.dtype).reshape(self._member.shape, order="F")
            self._file = io.BytesIO(whole.tobytes())

    def read(self, rows: int) -> Array:
        """The next rows, as many as there are left."""
        member = self._member
        rows = min(rows, self._left)
        data = self._file.read(rows * member.row_bytes)
        if len(data) != rows * member.row_bytes:
            raise ValueError("it claims more than it holds")
        self._left -= rows
        return np.frombuffer(data, member.dtype).reshape(rows, *member.shape[1:]).copy()


def _names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if not all(name.endswith(".npy") for name in names):
        raise ValueError("some other kind of zip")
    return [name.removesuffix(".npy") for name in names]


def _header(file: IO[bytes]) -> Member:
    shape, is_fortran, dtype = _READERS[npy.read_magic(file)](file)
    if min(shape, default=0) < 0:
        raise ValueError("sizes below zero")
    return Member(shape, dtype, is_fortran)
