"""Read arrays from `.npz` and `.npy` files that anybody may have written: nothing in them is ever executed."""

import io
import os
import zipfile
from pathlib import Path

from edgepack.runtime.errors import DataError, MissingFileError, PackError
from edgepack.runtime.pack import decode_array
from edgepack.runtime.tensor import Array


def read_arrays(path: Path, what: str) -> dict[str, Array]:
    """The arrays of a `.npz` file by name; the one of a `.npy` file under the empty name.

    Args:
        path: The file.
        what: What it is to the user, for messages: `"calibration data"`.

    Raises:
        MissingFileError: There is no such file.
        DataError: It is damaged, claims more than it holds, carries Python objects, or is something else.
    """
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        if os.path.isdir(path):
            raise DataError(f"{path} is a folder, not a .npz file of plain arrays; name a file in it")
        raise MissingFileError(path, what)
    try:
        data = path.read_bytes()
        return _members(data) if data[:2] == b"PK" else {"": decode_array(data)}
    except MemoryError as error:
        raise DataError(f"{path} claims an array that does not fit into memory; fetch or save it again") from error
    except Exception as error:  # what zipfile raises on damaged files is not written down anywhere
        kind = ".npy" if path.suffix == ".npy" else ".npz"
        raise DataError(
            f"{path} is not a {kind} file of plain arrays, or is damaged; write it with numpy.savez"
        ) from error


def _members(data: bytes) -> dict[str, Array]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if not all(name.endswith(".npy") for name in names):
            raise PackError("some other kind of zip")
        return {name.removesuffix(".npy"): decode_array(archive.read(name)) for name in names}
