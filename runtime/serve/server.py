"""One process that serves: it starts, answers, and drains before it ends."""

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from edgepack.runtime.errors import ServeError
from edgepack.runtime.serve.guard import Guard
from edgepack.runtime.serve.listening import HttpServer, address
from edgepack.runtime.serve.messages import IndexEntry
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.repository import Repository
from edgepack.runtime.serve.settings import Settings
from edgepack.runtime.serve.telling import Event, Tell

if TYPE_CHECKING:
    from edgepack.runtime.serve.grpc_face import GrpcFace

_CLOSE_S = 1.0  # how long models may take to be closed when the last request has its answer


class Place(NamedTuple):
    """Where a process stands among those that share a port."""

    listener: socket.socket
    """It listens; the server closes it when it stops."""
    worker: int = 0
    counts: Path | None = None
    """The folder in which the counts of all workers lie; None where one process serves alone."""
    is_alone: bool = True
    """Whether signals come from people; under a supervisor the second one is its own business."""


async def serve(settings: Settings, version: str, place: Place, tell: Tell) -> int:
    """Serve until SIGTERM or SIGINT, then drain.

    Args:
        settings: Checked ones.
        version: What the server tells of itself.
        place: The port, and who shares it.
        tell: Takes what is worth knowing of the process.

    Returns:
        0 where every request had its answer, 1 where some were cut off.

    Raises:
        EdgepackError: It cannot start: no models, a bad file of tokens, a port that is taken.
    """
    return await _Server(settings, version, place, tell).run()


class _Server:
    def __init__(self, settings: Settings, version: str, place: Place, tell: Tell) -> None:
        from edgepack.runtime.serve.http import App

        self._settings, self._place, self._tell = settings, place, tell
        self._guard = Guard(settings)
        metrics = Metrics(folder=place.counts, worker=place.worker)
        self._repository = Repository(settings, metrics)
        self._plane = Plane(self._repository, version)
        self._plane.is_held = True
        self._address = address(settings, place.listener)
        self._http = HttpServer(App(self._plane, settings, self._guard, metrics), settings, place.listener)
        self._grpc = self._grpc_face(metrics) if settings.grpc_port is not None else None
        self._stopping = asyncio.Event()

    def _grpc_face(self, metrics: Metrics) -> "GrpcFace":
        from edgepack.runtime.serve.grpc_face import GrpcFace

        return GrpcFace(self._plane, self._settings, self._guard, metrics)

    async def run(self) -> int:
        """Start, wait, drain; returns the exit code."""
        begun = time.perf_counter()
        self._take_signals()
        http = self._http.start()
        start = asyncio.create_task(self._start())
        await self._first_of(start, http)
        if not start.done():
            start.cancel()
            _end(0)  # models that are being loaded hold their threads for as long as that takes
        try:
            start.result()
        except BaseException:
            await self._http.stop()
            if self._grpc is not None:
                await self._grpc.stop(0.0)
            raise
        self._tell_ready(time.perf_counter() - begun)
        await self._first_of(http)
        return await self._drain()

    async def _start(self) -> None:
        grpc_port = await self._start_grpc()
        told = f", gRPC on port {grpc_port}" if grpc_port else ""
        self._tell(
            Event("listening", f"listening on {self._address}{told}", {"url": self._address, "grpc_port": grpc_port})
        )
        await self._repository.start()
        if not self._repository.index():
            folder = self._settings.models
            raise ServeError(f"no pack in {folder}; put one there: edgepack push PACK --to {folder}")

    async def _start_grpc(self) -> int | None:
        if self._grpc is None:
            return None
        settings = self._settings
        return await self._grpc.start(settings.host, settings.grpc_port or 0)

    async def _first_of(self, *tasks: "asyncio.Task[None]") -> None:
        """Return when one of the tasks ends or a signal comes; raises where HTTP ended of itself."""
        signalled = asyncio.create_task(self._stopping.wait())
        done, _ = await asyncio.wait({*tasks, signalled}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        if tasks[-1] in done:
            tasks[-1].result()
            raise ServeError("the HTTP server ended of itself; this is a fault of edgepack's, please report it")

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._guard.refresh(force=True))

    def _on_stop(self, number: int) -> None:
        if self._stopping.is_set():
            if self._place.is_alone:
                _end(128 + number)
            return
        self._stopping.set()

    def _tell_ready(self, seconds: float) -> None:
        gc.collect()
        gc.freeze()  # modules and models stay: no collection has to go through them while requests wait
        self._plane.is_held = False
        entries = self._repository.index()
        for entry in entries:
            served = self._repository.ready(entry.name, entry.version)
            name = f"{entry.name} {entry.version}"
            facts: dict[str, Any] = {"model": entry.name, "version": entry.version, "state": entry.state}
            if served is None:
                facts |= {"cause": entry.cause, "reason": entry.reason}
                self._tell(Event("model", f"{name}: {_unready(entry)}", facts))
                continue
            session = served.session
            passed = f"; passed over: {'; '.join(session.fallbacks)}" if session.fallbacks else ""
            text = f"{name}: {session.variant} on {session.engine.description}, {session.provider}{passed}"
            facts |= {
                "variant": session.variant, "engine": session.engine.description, "provider": session.provider,
                "fallbacks": session.fallbacks,
            }  # fmt: skip
            self._tell(Event("model", text, facts))
        ready = sum(entry.state == "READY" for entry in entries)
        text = f"ready: {ready} of {len(entries)} loaded in {seconds:.2f} s"
        self._tell(Event("ready", text, {"loaded": ready, "models": len(entries), "seconds": seconds}))

    async def _drain(self) -> int:
        settings = self._settings
        self._plane.is_held = True
        told = f"stopping: requests have {settings.drain_s:g} s to end"
        self._tell(Event("stopping", told, {"drain_s": settings.drain_s}))
        await asyncio.sleep(settings.notice_s)
        faces: list[Awaitable[None]] = [self._http.stop()]
        if self._grpc is not None:
            faces.append(self._grpc.stop(settings.drain_s))
        try:
            async with asyncio.timeout(settings.drain_s):
                await asyncio.gather(*faces)
        except TimeoutError:
            self._tell(Event("late", f"some requests did not end within {settings.drain_s:g} s and were cut off"))
            _end(1)
        stopped = Event("stopped", "stopped: every request had its answer")
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._repository.stop()
        except TimeoutError:  # a model is being loaded, which nobody waits for any more
            self._tell(stopped)
            _end(0)
        self._tell(stopped)
        return 0


def _unready(entry: IndexEntry) -> str:
    """Why a version does not answer, in words; the reason of what was left out on purpose says so itself."""
    if entry.cause not in {"", "failed"}:
        return entry.reason
    return f"{entry.cause or entry.state.lower()}; {entry.reason}".removesuffix("; ")


def _end(code: int) -> NoReturn:
    """End the process now, whatever its threads are at."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
