"""Keep what native libraries print off stdout, where a program's results go: it lands on stderr instead."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send file descriptor 1 to where descriptor 2 leads while the block runs.

    Descriptors belong to the whole process: what other threads print meanwhile goes to stderr too, so this is for
    loading, not for running. Where one of the two is closed, nothing is moved.
    """
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
