"""Keep what native libraries print off stdout, where a program's results go: it lands on stderr instead."""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send file descriptor 1 to where descriptor 2 leads while the block runs.

    Descriptors belong to the whole process: what other threads print meanwhile goes to stderr too, so this is for
    loading, not for running. One thread at a time is let in: a second one would take the way to stderr for the real
    one, and put that back. Where one of the two is closed, nothing is moved.
    """
    with _ONE_AT_A_TIME:
        yield from _moved()


def _moved() -> Iterator[None]:
    _flush()
    try:
        kept = os.dup(1)
    except OSError:
        yield
        return
    try:
        with contextlib.suppress(OSError):
            os.dup2(2, 1)
        yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.close(kept)


def _flush() -> None:
    """Write out what Python and the C library hold back, each to where the descriptor leads now."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or None under pythonw
        sys.stdout.flush()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no C library to be had by that way
        ctypes.CDLL(None).fflush(None)
