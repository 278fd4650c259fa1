"""Several processes that share one port, and the one above them that starts, watches and stops them."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from edgepack.runtime.device import usable_cores
from edgepack.runtime.errors import ServeError
from edgepack.runtime.serve.listening import address
from edgepack.runtime.serve.settings import Settings
from edgepack.runtime.serve.telling import Event, Tell

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 30.0
_STEADY_S = 60.0  # a worker that ran so long is started again at once when it dies
_MARGIN_S = 5.0  # what a worker may take beyond the time to drain before it is killed


class Task(msgspec.Struct, frozen=True):
    """What a worker is told on its first line of stdin; the end of stdin tells it that the one above is gone."""

    settings: Settings
    version: str
    worker: int
    descriptor: int
    """Of the socket that listens, inherited."""
    counts: str
    """The folder in which the counts of all workers lie."""


def divided(settings: Settings, cores: int) -> Settings:
    """Settings in which each worker's sessions take their share of the cores, where no threads are asked for."""
    share = max(1, cores // settings.workers)

    def own(model: Any) -> Any:
        return model if model.threads is not None else msgspec.structs.replace(model, threads=share)

    models = {name: own(model) for name, model in settings.model.items()}
    return msgspec.structs.replace(settings, default=own(settings.default), model=models)


async def supervise(settings: Settings, version: str, listener: socket.socket, tell: Tell) -> int:
    """Keep `settings.workers` processes serving until SIGTERM or SIGINT, and start again those that die.

    Args:
        settings: Checked ones.
        version: What the server tells of itself.
        listener: It listens. It stays open here, so that a connection that comes while a worker dies is not lost.
        tell: Takes what is worth knowing of the processes.

    Returns:
        0 where every request had its answer, 1 where some were cut off.

    Raises:
        ServeError: A worker cannot start; it has said why on stderr.
    """
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # counts change with every request
    with tempfile.TemporaryDirectory(prefix="edgepack-counts-", dir=memory) as counts, contextlib.ExitStack() as held:
        if settings.grpc_port == 0:
            settings = msgspec.structs.replace(settings, grpc_port=_reserved(settings.host, held))
        return await _Supervisor(divided(settings, usable_cores()), version, listener, Path(counts), tell).run()


def _reserved(host: str, held: contextlib.ExitStack) -> int:
    """A free port that every worker can listen on by itself; it stays ours as long as the stack holds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reserving = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
    reserving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserving.bind((host, 0))
    port: int = reserving.getsockname()[1]
    return port


class _Supervisor:
    def __init__(self, settings: Settings, version: str, listener: socket.socket, counts: Path, tell: Tell) -> None:
        self._settings, self._version, self._listener = settings, version, listener
        self._counts, self._tell = counts, tell
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._ready: set[int] = set()
        self._codes: list[int] = []
        self._stopping = asyncio.Event()
        self._failed = ""

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._send, signal.SIGHUP)
        self._tell_listening()
        keeping = [asyncio.create_task(self._keep(worker)) for worker in range(self._settings.workers)]
        await self._stopping.wait()
        # Held here, the port would go on to take connections when no worker does any more.
        self._listener.close()
        told = f"stopping: requests have {self._settings.drain_s:g} s to end"
        self._tell(Event("stopping", told, {"drain_s": self._settings.drain_s}))
        self._send(signal.SIGTERM)
        patience_s = self._settings.notice_s + self._settings.drain_s + _MARGIN_S
        _, late = await asyncio.wait(keeping, timeout=patience_s)
        if late:
            self._send(signal.SIGKILL)
            await asyncio.wait(late)
        if self._failed:
            raise ServeError(self._failed)
        clean = not any(self._codes)
        self._tell(Event("stopped", "stopped" if clean else "stopped: some requests were cut off", {"clean": clean}))
        return 0 if clean else 1

    def _tell_listening(self) -> None:
        settings, url = self._settings, address(self._settings, self._listener)
        told = f", gRPC on port {settings.grpc_port}" if settings.grpc_port else ""
        text = f"listening on {url}{told}, {settings.workers} workers"
        facts = {"url": url, "grpc_port": settings.grpc_port, "workers": settings.workers, "pid": os.getpid()}
        self._tell(Event("listening", text, facts))

    def _on_stop(self, number: int) -> None:
        if self._stopping.is_set():
            self._send(signal.SIGKILL)
            shutil.rmtree(self._counts, ignore_errors=True)
            os._exit(128 + number)
        self._stopping.set()

    def _send(self, number: int) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, worker: int) -> None:
        """Run one worker, again and again until the server stops."""
        pause_s = _FIRST_PAUSE_S
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            begun = clock()
            code, ended = await self._outcome(worker)
            if self._stopping.is_set():
                # SIGTERM ends a worker only before it listens to signals, and with that to requests.
                self._codes.append(0 if code is None or code == -signal.SIGTERM else code)
                return
            if worker not in self._ready:
                self._failed = f"worker {worker} {ended} before it was ready"
                self._stopping.set()
                return
            pause_s = _FIRST_PAUSE_S if clock() - begun > _STEADY_S else pause_s
            self._tell(
                Event(
                    "worker",
                    f"worker {worker} {ended}; it starts again in {pause_s:g} s",
                    {"worker": worker, "state": "died", "exit_code": code, "pause_s": pause_s},
                )
            )
            await _first(asyncio.sleep(pause_s), self._stopping.wait())
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _outcome(self, worker: int) -> tuple[int | None, str]:
        """Run a worker once; its exit code, None where it could not be started, and how it ended, in words."""
        try:
            code = await self._run(worker)
        except OSError as error:  # no memory, or no more processes, just now
            return None, f"cannot be started ({error.strerror or error})"
        return code, _ended(code)

    async def _run(self, worker: int) -> int:
        """Start a worker, pass on what it tells, and return its exit code."""
        descriptor = self._listener.fileno()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edgepack.runtime.serve.worker",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, pass_fds=(descriptor,), limit=2**20,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # Ctrl-C reaches every process of a terminal's group; how workers stop is told to them from here alone.
            process_group=0,
        )  # fmt: skip
        self._processes[worker] = process
        assert process.stdin is not None
        assert process.stdout is not None
        task = Task(self._settings, self._version, worker, descriptor, str(self._counts))
        with contextlib.suppress(ConnectionError):
            process.stdin.write(msgspec.json.encode(task) + b"\n")
            await process.stdin.drain()
        if self._stopping.is_set():  # it came between two workers
            process.terminate()
        async for line in process.stdout:
            self._pass_on(worker, line, process.pid)
        code = await process.wait()
        del self._processes[worker]
        return code

    def _pass_on(self, worker: int, line: bytes, pid: int) -> None:
        """Tell of the first worker what a lone process would tell, and of every worker that it is ready."""
        event = msgspec.json.decode(line, type=Event)
        first = worker not in self._ready
        if event.name == "ready":
            self._ready.add(worker)
            facts = {"worker": worker, "state": "ready", "pid": pid}
            self._tell(Event("worker", f"worker {worker} is ready (process {pid})", facts))
            if first and len(self._ready) == self._settings.workers:
                self._tell(event)
        elif event.name == "late" or (event.name == "model" and worker == 0 and first):
            self._tell(event)


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"


async def _first(*waiting: Coroutine[Any, Any, object]) -> None:
    """Return when one of them ends; the others are given up."""
    tasks = [asyncio.create_task(one) for one in waiting]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
