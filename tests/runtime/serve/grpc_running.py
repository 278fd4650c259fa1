"""A gRPC face that runs in a thread of its own, as tests need it."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edgepack.runtime.errors import DeniedError, NotServedError
from edgepack.runtime.serve.grpc_calls import Guard
from edgepack.runtime.serve.grpc_face import GrpcFace
from edgepack.runtime.serve.messages import IndexEntry, InferAnswer, InferRequest, ModelMetadata, Spent, TensorMetadata
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.repository import Repository
from edgepack.runtime.serve.settings import Limits, Settings
from edgepack.runtime.session import Session
from tests.zoo import packs

MODELS = {"mlp": packs.mlp, "pair": packs.pair, "tiles": packs.tiles}
METHODS = "/inference.GRPCInferenceService/"


class Open:
    """A guard that lets everybody do everything."""

    def check(self, kind: str, token: str | None, address: str) -> None:
        """Deny nothing."""


class Tokens:
    """A guard of one token to read and one to administer; health is open. It remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, str]] = []

    def check(self, kind: str, token: str | None, address: str) -> None:
        self.asked.append((kind, token, address))
        may = {"open": {None, "reader", "boss"}, "read": {"reader", "boss"}, "admin": {"boss"}}[kind]
        if token not in may:
            raise DeniedError(f"this token may not {kind}", is_known=token == "reader")


class Counted(Metrics):
    """What was counted, in order."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, str, str, int]] = []
        self.failures: list[tuple[str, str, str, str]] = []

    def answered(self, model: str, version: str, face: str, spent: Spent, response_bytes: int) -> None:
        self.answers.append((model, version, face, response_bytes))

    def failed(self, model: str, version: str, face: str, error: str) -> None:
        self.failures.append((model, version, face, error))


class Scripted(Plane):
    """A plane without models: it answers with the tensors it gets, or with what `fails` or `hold` say."""

    def __init__(self) -> None:
        super().__init__(Repository(Settings(models="."), Metrics()), "0.0")
        self.requests: list[InferRequest] = []
        self.fails: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.waiting = self.computed = 0
        self.is_ready = True
        self.states = {"echo": "READY"}
        self.loaded: list[tuple[str, ...]] = []
        self.repository.load = self._note("load")  # type: ignore[method-assign]
        self.repository.unload = self._note("unload")  # type: ignore[method-assign]

    def _note(self, what: str) -> Any:
        async def note(name: str, version: str = "") -> None:
            self.loaded.append((what, name, version))

        return note

    def ready(self) -> bool:
        return self.is_ready

    def model_ready(self, name: str, version: str = "") -> bool:
        return self.states.get(name) == "READY" and version in {"", "3", "stable"}

    def index(self, *, ready: bool = False) -> list[IndexEntry]:
        entries = [
            IndexEntry(name, "3", state, labels=("stable",), cause="" if state == "READY" else "failed")
            for name, state in self.states.items()
        ]
        return [entry for entry in entries if entry.state == "READY" or not ready]

    async def model(self, name: str, version: str = "") -> ModelMetadata:
        if name not in self.states:
            raise NotServedError(f"no model {name!r} is served")
        words = TensorMetadata("words", "BYTES", (-1,), "a sentence")
        scores = TensorMetadata("scores", "FP16", (-1, 2), labels=("bad", "好"))
        return ModelMetadata(
            name, ("2", "3"), "3", "edgepack_test", (words,), (scores,), engine="none", provider="cpu",
            variant="float32", labels=("stable",), summary="It echoes.",
        )  # fmt: skip

    async def infer(self, request: InferRequest) -> InferAnswer:
        self.requests.append(request)
        if self.fails:
            raise self.fails
        if self.hold:
            self.waiting += 1
            try:
                await self.hold.wait()
            finally:
                self.waiting -= 1
        self.computed += 1
        names = request.outputs or tuple(request.inputs)
        outputs = {name: request.inputs[name] for name in names}
        return InferAnswer(
            request.model, "3", outputs, request.id, {"queue": 7, "load": 0.5, "big": 2**63, "warm": True}
        )


class Running(NamedTuple):
    """A face that listens."""

    address: str
    plane: Any
    metrics: Counted
    face: GrpcFace
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the loop of the face."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def session(self, model: str) -> Session:
        """The session that answers for a model."""
        served = self.plane.repository.ready(model)
        assert served
        return served.session  # type: ignore[no-any-return]


@contextlib.contextmanager
def running(
    plane: Plane | None = None, folder: Path | None = None, guard: Guard | None = None, **settings: Any
) -> Iterator[Running]:
    """A face over `plane`, or over the packs of `folder`, for as long as the context lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="grpc-face")
    thread.start()
    told = Settings(models=str(folder or "."), **settings)
    metrics = Counted()

    async def start() -> Running:
        used = plane
        if used is None:
            repository = Repository(told, metrics)
            await repository.start()
            used = Plane(repository, "1.2.3")
        face = GrpcFace(used, told, guard or Open(), metrics)
        port = await face.start("127.0.0.1", 0)
        return Running(f"127.0.0.1:{port}", used, metrics, face, loop)

    try:
        found = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
        try:
            yield found
        finally:
            found.run(found.face.stop(1.0))
            found.run(found.plane.repository.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def limits(**changes: Any) -> Limits:
    """The default limits with changes."""
    return msgspec.structs.replace(Limits(), **changes)


def random_of(datatype: np.dtype[Any], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Elements of any value that a datatype has."""
    if datatype.kind == "O":
        texts = [bytes(rng.integers(0, 256, rng.integers(0, 9), dtype=np.uint8)) for _ in range(int(np.prod(shape)))]
        array = np.empty(len(texts), dtype=object)
        array[:] = texts
        return array.reshape(shape)
    if datatype.kind == "b":
        return rng.random(shape) > 0.5
    if datatype.kind == "f":
        return (rng.standard_normal(shape) * 100).astype(datatype)
    info = np.iinfo(datatype)
    return rng.integers(info.min, info.max, shape, dtype=datatype, endpoint=True)
