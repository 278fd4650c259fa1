"""What LiteRT's compiled models write to stderr and stdout, kept from there: it has no level to set.

The Python package exports no logger (ai-edge-litert 2.3), so that the files behind both are others for a while. What is
not LiteRT's own is passed on afterwards.
"""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_OWN = re.compile(
    rb"^(INFO: |WARNING: |Warning: |ERROR: |VERBOSE: |[IWE]\d{4} \d\d:|\xe2\x94\x94|third_party/|=== |    at \S+\(\) )"
    rb"|^(Exception from|VCL compiler|Cannot load library|Following operations) |operations will run on"
    rb"|^[A-Z_0-9]+: (Operation|OP|Unsupported)"
)
# kind of device -> what tells why there is none, most telling first
_REASONS = {
    "gpu": (re.compile(r"^ERROR: \[[^\]]*\] ?(?P<why>\S.*GPU.*)$", re.MULTILINE),),
    "npu": (
        re.compile(r"Could not load shared library .*/(?P<why>[^/\s]+: \S.*)"),
        re.compile(r"^(?P<why>Cannot load library .*)$", re.MULTILINE),
        re.compile(r"^WARNING: \[npu_registry[^\]]*\] (?P<why>\S.*)$", re.MULTILINE),
    ),
}
_TURN = threading.RLock()  # there is one of each


class Chatter:
    """What was written."""

    text = ""

    def reason(self, kind: str) -> str:
        """Why a kind of device cannot be had, in LiteRT's words; empty where nothing tells."""
        return next((found["why"] for reason in _REASONS[kind] if (found := reason.search(self.text))), "")


@contextmanager
def held_back() -> Iterator[Chatter]:
    """Keep what LiteRT writes, and read it at the end."""
    chatter = Chatter()
    with _TURN, ExitStack() as stack:
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            stack.enter_context(_elsewhere(number, stream, chatter))
        yield chatter


@contextmanager
def _elsewhere(number: int, stream: object, chatter: Chatter) -> Iterator[None]:
    """Let a file descriptor lead to another file for a while."""
    try:
        kept = os.dup(number)
    except OSError:  # it is closed
        yield
        return
    flush = getattr(stream, "flush", lambda: None)
    with tempfile.TemporaryFile() as file:
        try:
            flush()
            os.dup2(file.fileno(), number)
            yield
        finally:
            flush()
            os.dup2(kept, number)
            os.close(kept)
            file.seek(0)
            lines = file.read().splitlines(keepends=True)
            chatter.text += b"".join(lines).decode(errors="replace")
            if others := b"".join(line for line in lines if line.strip() and not _OWN.search(line)):
                os.write(number, others)
