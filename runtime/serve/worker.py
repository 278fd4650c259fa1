"""One of several processes that serve: `python -m edgepack.runtime.serve.worker`, started by `workers`."""

import asyncio
import os
import shutil
import signal
import socket
import sys
import threading
from pathlib import Path

import msgspec

from edgepack.runtime.errors import EdgepackError, one_line
from edgepack.runtime.serve.logs import logging_to_stderr
from edgepack.runtime.serve.server import Place, serve
from edgepack.runtime.serve.telling import to_supervisor
from edgepack.runtime.serve.workers import Task

_ORPHANED = threading.Event()


def main() -> int:
    """Serve what stdin tells; returns the exit code."""
    line = sys.stdin.buffer.readline()
    if not line:
        return 1
    task = msgspec.json.decode(line, type=Task)
    listener = socket.socket(fileno=task.descriptor)
    place = Place(listener, worker=task.worker, counts=Path(task.counts), is_alone=False)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # engines print on stdout, where the one above reads events
    try:
        with logging_to_stderr(task.settings.log):
            return asyncio.run(serve(task.settings, task.version, place, to_supervisor(events)))
    except EdgepackError as error:
        sys.stderr.write(f"edgepack: {one_line(error)}\n")
        return 1
    finally:
        if _ORPHANED.is_set():  # else the one above removes it
            shutil.rmtree(task.counts, ignore_errors=True)


def _end_with_parent() -> None:
    """Drain and end when the process above is gone, however it went."""
    while os.read(0, 4096):  # not through sys.stdin: its lock, held at the end of the process, would abort it
        pass
    _ORPHANED.set()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
