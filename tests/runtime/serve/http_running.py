"""An HTTP server in a thread, on a free port of this machine, as long as a test needs it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from edgepack.runtime.serve.http import App
from edgepack.runtime.serve.listening import HttpServer, bind
from edgepack.runtime.serve.messages import InferAnswer, InferRequest
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.repository import Repository
from edgepack.runtime.serve.settings import Settings

Result = TypeVar("Result")


class Open:
    """A guard that lets everybody in."""

    def check(self, kind: str, token: str | None, address: str) -> None:
        """Anything may be asked."""


class Echo(Plane):
    """A plane whose every model answers with what it was sent, after a while where `delay_s` says so."""

    delay_s = 0.0
    computed = 0

    async def infer(self, request: InferRequest) -> InferAnswer:
        await asyncio.sleep(self.delay_s)
        self.computed += 1
        self.last = request
        names = request.outputs or tuple(request.inputs)
        return InferAnswer(request.model, "1", {name: request.inputs[name] for name in names}, request.id)


class Running:
    """A server that answers."""

    def __init__(self, app: App, plane: Plane, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.app, self.plane, self.port, self._loop = app, plane, port, loop
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine where the server runs."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request on a connection of its own."""
        return httpx.request(method, self.url + path, timeout=20, **options)


@contextmanager
def running(
    settings: Settings, *, make_plane: Callable[[Repository, str], Plane] = Plane, guard: Any = None, **options: Any
) -> Iterator[Running]:
    """Serve a folder of packs; the server has stopped when the block ends."""
    ready, found, failed = threading.Event(), [], []

    async def serve() -> None:
        metrics = Metrics()
        repository = Repository(settings, metrics)
        if Path(settings.models).is_dir():
            await repository.start()
        plane = make_plane(repository, "0.1.0")
        app = App(plane, settings, guard or Open(), metrics, **options)
        listener = bind("127.0.0.1", 0)
        server = HttpServer(app, settings, listener)
        server.start()
        stop = asyncio.Event()
        found.extend((Running(app, plane, listener.getsockname()[1], asyncio.get_running_loop()), stop))
        ready.set()
        await stop.wait()
        await server.stop()
        await repository.stop()

    def work() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failed.append(error)
            ready.set()
            raise

    thread = threading.Thread(target=work, name="http-server")
    thread.start()
    assert ready.wait(30)
    assert not failed, failed
    running_server, stop = found
    try:
        yield running_server
    finally:
        running_server._loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        assert not thread.is_alive()
