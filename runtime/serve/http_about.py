"""What a server tells of itself over HTTP: health, metadata, figures, the page."""

import msgspec

from edgepack.runtime.errors import NotReadyError
from edgepack.runtime.serve.http_wire import RefusedError, Reply, Request, encode
from edgepack.runtime.serve.page import PAGE_HEADERS


class Live(msgspec.Struct):
    """Whether the process answers at all."""

    live: bool


class Ready(msgspec.Struct):
    """Whether the models that should be served are."""

    ready: bool


class ModelReady(msgspec.Struct):
    """Whether a model answers now."""

    name: str
    ready: bool


class Figures(msgspec.Struct):
    """What became of the requests to one version."""

    model: str
    version: str
    requests: int
    failures: int
    rows: int
    p50_us: float | None
    """Of the last 60 seconds, as are the other latencies; null where nothing was answered."""
    p90_us: float | None
    p99_us: float | None
    per_second: list[int]
    """Answers of each of the last 60 seconds, newest last."""
    latency_p50_us: list[float | None]
    """Of each of the last 60 seconds, newest last."""


async def live(request: Request) -> Reply:
    """Whether the process answers at all."""
    is_live = request.place.plane.live()
    return Reply(encode(Live(is_live)), 200 if is_live else 503)


async def ready(request: Request) -> Reply:
    """Whether the models that should be served are."""
    is_ready = request.place.plane.ready()
    return Reply(encode(Ready(is_ready)), 200 if is_ready else 503)


async def model_ready(request: Request) -> Reply:
    """Whether a model, or one version of it, answers now."""
    plane = request.place.plane
    if plane.model_ready(request.name, request.version):
        return Reply(encode(ModelReady(request.name, True)))
    if any(entry.name == request.name for entry in plane.index()):
        raise NotReadyError(f"model {request.name!r} does not answer now{_asked(request.version)}")
    await plane.model(request.name, request.version)  # says which models there are, or loads it on demand
    return Reply(encode(ModelReady(request.name, True)))


async def server(request: Request) -> Reply:
    """What this server is."""
    return Reply(encode(request.place.plane.server()))


async def model(request: Request) -> Reply:
    """What a model is: its tensors with their meanings and labels, what `predict` takes, what runs it."""
    return Reply(encode(await request.place.plane.model(request.name, request.version)))


async def metrics(request: Request) -> Reply:
    """Figures as Prometheus reads them; OpenMetrics where that is accepted."""
    told, content_type = request.place.metrics.expose(request.headers.get("accept", ""))
    return Reply(told, content_type=content_type)


async def statistics(request: Request) -> Reply:
    """Figures of each version for people: counts, latencies, the last minute."""
    return Reply(encode(request.place.metrics.statistics()))


async def page(request: Request) -> Reply:
    """The page, and the files it is made of."""
    found = request.place.files.get(request.exchange.path)
    if found is None:
        raise RefusedError(404, "no such page; GET / has it")
    content_type, body = found
    return Reply(body, content_type=content_type, headers=tuple(PAGE_HEADERS.items()))


def _asked(version: str) -> str:
    return f" in version {version[:40]!r}" if version else ""
