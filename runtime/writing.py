"""Write a file or a folder beside its place and rename it in: the old one stays until the new one is whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edgepack.runtime.errors import OutputError


def check_output(path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Return `path` if a file can be written there, before any long work is spent on it.

    Raises:
        OutputError: Something is there already and `force` is False, a folder is there, its own folder is missing,
            or it cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"cannot write {target}: a folder has that name; name another output")
    return check_place(target, force=force)


def check_place(target: Path, *, force: bool) -> Path:
    """Return `target`, a file or a folder, if it may be replaced and its own folder be written; raises as above."""
    if target.exists() and not force:
        raise OutputError(f"{target} exists already; pass --force (force=True) to replace it, or name another output")
    folder = target.parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {target}: there is no folder {folder}; create it first")
    import tempfile  # what only reads packs does without it, and what it imports

    try:
        descriptor, trial = tempfile.mkstemp(prefix=f".{target.name}.", dir=folder)
    except OSError as error:
        raise _cannot_write(target, error) from error
    os.close(descriptor)
    Path(trial).unlink()
    return target


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` in one step: a reader sees the old file or the new one, never a part.

    Raises:
        OutputError: The folder cannot be written or the disk is full; the old file is as it was.
    """
    with replacing(path) as beside:
        beside.write_bytes(data)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes the place of `path` when the block ends well.

    On any error, Ctrl-C included, what was written beside is removed and `path` is as it was. The caller writes a
    file or makes a folder there.

    Raises:
        OutputError: The system refused to write (no space, no permission).
    """
    import shutil
    import tempfile

    target = Path(path)
    try:
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _cannot_write(target, error) from error
    beside = scratch / target.name
    try:
        yield beside
        _settle(beside, target, scratch)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise _cannot_write(target, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _settle(beside: Path, target: Path, scratch: Path) -> None:
    """Flush what lies beside to the disk, then rename it into place."""
    if beside.is_file():
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
    if target.is_dir() and not beside.is_dir():
        raise OutputError(f"cannot write {target}: a folder has that name; name another output")
    if target.is_dir():  # a folder cannot be replaced in one step: the old one steps aside first
        aside = scratch / "old"
        try:
            target.rename(aside)
            beside.rename(target)
        except BaseException:  # Ctrl-C between the two would lose both
            if aside.exists() and not target.exists():
                aside.rename(target)
            raise
    else:
        beside.replace(target)


def _cannot_write(target: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {target}: {error.strerror or error}; nothing there was changed")
