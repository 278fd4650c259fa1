"""A server in a process of its own, as a user starts it."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PATIENCE_S = 30.0


class Running:
    """`edgepack serve … --port 0 --json`; use it as a context manager, which leaves no process behind."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgepack", "serve", *map(str, arguments), "--port", "0", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.told: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._listen), threading.Thread(target=self._listen_to_errors)]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

    def _listen_to_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def until(self, name: str, **facts: Any) -> dict[str, Any]:
        """The next event of this name with these facts; fails where it does not come."""
        while True:
            event = self._events.get(timeout=PATIENCE_S)
            assert event is not None, f"ended before {name!r}: {self.told} {self.errors}"
            self.told.append(event)
            if event["event"] == name and facts.items() <= event.items():
                return event

    def ready(self) -> "Running":
        """Itself, when every model is loaded."""
        self.url = self.until("listening")["url"]
        self.until("ready")
        return self

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def get(self, path: str, *, token: str | None = None, **options: Any) -> tuple[int, bytes]:
        """Status and body."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        method = options.pop("method", "GET")
        request = urllib.request.Request(self.url + path, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S, **options) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def send(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def code(self) -> int:
        """The exit code."""
        code = self.process.wait(PATIENCE_S)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        return code

    def stop(self) -> int:
        self.send()
        return self.code()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.code()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def wait_until_gone(pid: int) -> None:
    """Return when there is no such process any more."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2][0]
            os.kill(pid, 0)
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":  # ended; whoever inherits it has not asked yet
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} is still there")


BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0.5] * 4}]}).encode()
_HEAD = (
    b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
) % len(BODY)


def half_asked(running: Running) -> socket.socket:
    """A connection on which a request for the model `mlp` was sent but for all after `BODY[:10]`, and is being read."""
    client = running.connect()
    client.sendall(_HEAD + BODY[:10])
    assert running.get("/v2/health/live")[0] == 200  # what came before was taken up before this
    return client
