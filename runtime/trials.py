"""Ways to run a model, each tried in a process of its own: one that crashes or hangs takes no one with it.

The process is `python -m edgepack.runtime.trial`. It reads one request a line and answers each with one line of JSON.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from edgepack.runtime.engines.base import Look
from edgepack.runtime.errors import EngineError
from edgepack.runtime.ways import Way

OPEN_SECONDS = 120.0  # accelerators compile a model when it is opened
_END_SECONDS = 5.0


class Opened(msgspec.Struct, frozen=True):
    """What opening a model one way has shown."""

    reason: str = ""
    """Why it does not run this way; empty where it does."""
    died: bool = False
    """Whether it took its process down, or never answered."""
    provider: str = ""
    """`cpu`, `gpu` or `npu`, read back."""
    placement: Mapping[str, int] = {}
    device: str = ""
    """What an accelerator runs on, in the words of its driver."""
    software: bool = False
    """Whether that is a program on the CPU."""
    load_us: float = 0.0
    memory_bytes: int = 0
    """What the process grew by while the model was opened and run once."""


class Measured(msgspec.Struct, frozen=True):
    """Laps of one way."""

    reason: str = ""
    """Why it failed; empty where it did not."""
    ns: tuple[int, ...] = ()


class Trial:
    """A process in which one way is tried. Use it as a context manager, or call `close`."""

    def __init__(self) -> None:
        # What an engine writes for itself goes with the process, however that ends.
        self._scratch = tempfile.TemporaryDirectory(prefix="edgepack-trial-", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgepack.runtime.trial"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self._scratch.name),
            },
        )  # fmt: skip
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()  # an empty one is the end
        threading.Thread(target=self._listen, daemon=True).start()

    def open(
        self, path: Path, way: Way, *, states: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> Opened:
        """Open a pack or a file this way, and run it once: on its golden samples, or else on random ones.

        One that takes longer than so many seconds is killed.
        """
        request = {"do": "open", "path": str(path), "way": msgspec.to_builtins(way), "states": dict(states or {})}
        answer = self._ask(request, OPEN_SECONDS if seconds is None else seconds)
        return Opened(answer, died=True) if isinstance(answer, str) else msgspec.convert(answer, Opened)

    def measure(self, laps: int, seconds: float, rows: int = 1) -> Measured:
        """Time up to that many runs, or for so long, of so many rows each."""
        request = {"do": "measure", "laps": laps, "seconds": seconds, "rows": rows}
        answer = self._ask(request, OPEN_SECONDS + seconds)
        return Measured(reason=answer) if isinstance(answer, str) else msgspec.convert(answer, Measured)

    def look(self, engine: str, provider: str) -> Look:
        """See what a provider finds to run on."""
        answer = self._ask({"do": "look", "engine": engine, "provider": provider}, OPEN_SECONDS)
        return Look(why_not=answer) if isinstance(answer, str) else msgspec.convert(answer, Look)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS if self._process.poll() is None else 0)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._scratch.cleanup()

    def __enter__(self) -> "Trial":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._process.kill()
        self.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # it is closed while it is read
            while line := self._process.stdout.readline():
                self._answers.put(line)
        self._answers.put(b"")

    def _ask(self, request: Mapping[str, Any], seconds: float) -> Any:
        """The answer; as a text where there is none, which says why."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            try:
                line = self._answers.get(timeout=seconds)
            except queue.Empty:
                self._process.kill()
                return f"it did not answer within {seconds:.0f} s"
            if line:
                return json.loads(line)
        code = self._process.wait()
        return f"it takes its process down ({signal.strsignal(-code) if code < 0 else f'exit code {code}'})"


def try_once(path: Path, way: Way, states: Mapping[str, str] | None = None) -> Opened:
    """Open a model one way in a process of its own."""
    try:
        with Trial() as trial:
            return trial.open(path, way, states=states)
    except OSError as error:
        raise EngineError(f"no process can be started to try {way} in: {error.strerror}") from error
