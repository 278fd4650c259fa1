"""Files that samples are read from: plain ones of a bounded size; whatever else lies there is said in words."""

import os
from pathlib import Path

from edgepack.runtime.errors import InputError, MissingFileError


def read_file(path: str | os.PathLike[str], what: str, most_bytes: int) -> bytes:
    """Return the bytes of a file.

    Args:
        path: The file.
        what: What it is to the user, for messages: `"image"`.
        most_bytes: A larger one is not read.

    Raises:
        MissingFileError: Nothing is there.
        InputError: It is no plain file, is too large, or may not be read.
    """
    if not os.path.exists(path):  # Path.exists raises where a name is too long
        raise MissingFileError(str(path)[:200], what)
    article = "an" if what[0] in "aeiou" else "a"
    if not os.path.isfile(path):  # a pipe or a device would be read for ever
        kind, where = ("folder", " in it") if os.path.isdir(path) else ("pipe or a device", "")
        raise InputError(f"{path} is a {kind}, not {article} {what} file; name a file{where}")
    try:
        size = os.path.getsize(path)
        if size > most_bytes:
            raise InputError(f"{path} has {size:,} bytes; {article} {what} file of at most {most_bytes:,} is read")
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
