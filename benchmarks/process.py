"""The parent's side of a candidate: start its process, ask it, let it wait, end it."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from edgepack.benchmarks.candidates import Candidate
from edgepack.runtime.errors import EngineError, MissingExtraError

_PATIENCE_S = 600.0  # an answer that takes longer is not awaited any more
_STOPPING_S = 1.0  # more than a signal ever takes
_COMMAND = (sys.executable, "-P", "-m", "edgepack.benchmarks.child")


class Opened(msgspec.Struct, frozen=True):
    """What a candidate tells after it was loaded and run for the first time."""

    library: str
    provider: str
    placement: dict[str, int]
    load_ms: float
    first_ms: float
    warm_us: float
    inputs: dict[str, str]
    input_source: str
    baseline_bytes: int
    peak_bytes: int
    memory_source: str


class Round(msgspec.Struct, frozen=True):
    """What a candidate tells after a round."""

    ns: tuple[int, ...]
    peak_bytes: int


class Runner(Protocol):
    """A candidate that can be measured; each call but `stop` raises `EngineError` with the reason when it fails."""

    def open(self) -> Opened:
        """Load it and run it once."""

    def measure(self, warmup: int, repeat: int) -> Round:
        """Run it `warmup` times, then `repeat` times by the clock."""

    def pause(self) -> None:
        """Take it off the processor, its idle threads included."""

    def resume(self) -> None:
        """Let it go on."""

    def stop(self) -> None:
        """End it, whatever state it is in."""


class Process:
    """A `Runner` in a process of its own, so that a crash is its own and its memory is its own too."""

    def __init__(
        self,
        candidate: Candidate,
        path: str | os.PathLike[str],
        batch: int,
        *,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        """Start the process; it does nothing before `open`.

        Args:
            candidate: What it runs.
            path: The pack or the bare file.
            batch: Rows in a call.
            command: What answers our requests.

        Raises:
            MissingExtraError: psutil is not installed.
        """
        try:
            import psutil
        except ImportError as error:
            raise MissingExtraError("psutil, which pauses the processes that wait,", "bench") from error
        self._request = {
            "do": "open", "path": str(Path(path).resolve()), "engine": candidate.engine, "provider": "cpu",
            "variant": candidate.variant if candidate.precision else "auto", "threads": candidate.threads,
            "batch": batch,
        }  # fmt: skip
        self._chatter = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`; what the engine prints, read when it dies
        # A group of its own: Ctrl-C reaches the parent alone, which ends this process in order. Should the parent be
        # killed, the kernel wakes and ends a paused group that lost it.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._chatter, process_group=0
        )
        self._handle = psutil.Process(self._process.pid)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def open(self) -> Opened:
        """Load it and run it once."""
        return msgspec.convert(self._ask(self._request), Opened)

    def measure(self, warmup: int, repeat: int) -> Round:
        """Run it `warmup` times, then `repeat` times by the clock."""
        return msgspec.convert(self._ask({"do": "measure", "warmup": warmup, "repeat": repeat}), Round)

    def pause(self) -> None:
        """Take it off the processor, its idle threads included: thread pools spin while they wait."""
        import psutil

        self._send("suspend")
        deadline = time.monotonic() + _STOPPING_S
        with contextlib.suppress(psutil.NoSuchProcess):
            while self._handle.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
                time.sleep(0.0005)  # the signal has to reach every thread

    def resume(self) -> None:
        """Let it go on."""
        self._send("resume")

    def stop(self) -> None:
        """End it, whatever state it is in."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._chatter):
            with contextlib.suppress(OSError):  # what was still to be written to a dead process
                pipe.close()  # type: ignore[union-attr]

    def _send(self, what: str) -> None:
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):  # the next request tells why it is gone
            getattr(self._handle, what)()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        ready, _, _ = select.select([stdout], [], [], _PATIENCE_S)
        if not ready:
            raise EngineError(f"it gave no answer within {_PATIENCE_S:.0f} s")
        line = stdout.readline()
        if not line.endswith(b"\n"):
            raise EngineError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer

    def _last_words(self) -> str:
        """How the process ended, and the last line it printed."""
        code = self._process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._chatter.seek(0)
        lines = self._chatter.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"its process died with {how}" + (f": {last[:300]}" if last else "")
