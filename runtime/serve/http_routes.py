"""The table of routes: what is answered where, by whom, and to whom it is open."""

from typing import Any, NamedTuple

from edgepack.runtime.serve import http_about, http_admin, http_infer, http_predict
from edgepack.runtime.serve.http_predict import PredictAsked, PredictTold
from edgepack.runtime.serve.http_wire import BINARY, Handler, Headers, RefusedError
from edgepack.runtime.serve.messages import IndexEntry, ModelMetadata, ServerMetadata
from edgepack.runtime.serve.tensors import JsonAnswer, JsonRequest

_MOST_KEPT = 2_048  # paths that were found are remembered, so many of them
_MOST_PATH = 1_024


class Route(NamedTuple):
    """One thing that can be asked for."""

    method: str
    path: str
    """With `{name}`, `{version}` and `{label}` where a segment is free."""
    kind: str
    """For whom: `open`, `read` or `admin`."""
    call: Handler
    gives: Any = None
    """The type of the JSON that goes back; None where it is no JSON."""
    takes: Any = None
    """The type of the JSON in the body; None where none is taken."""
    also_takes: tuple[str, ...] = ()
    """Content types of bodies beside JSON."""
    also_gives: tuple[str, ...] = ()
    is_at_once: bool = False
    """Whether it reads no body and waits for nothing, so that nobody need watch over it."""


class Found(NamedTuple):
    """What a path stands for."""

    routes: dict[str, Route]
    """By method; HEAD is there where GET is."""
    free: dict[str, str]
    """What stood in the free segments."""

    @property
    def allowed(self) -> Headers:
        """The methods, as the header that tells them."""
        return (("allow", ", ".join(sorted({*self.routes, "OPTIONS"}))),)


_MODEL = "/v2/models/{name}"
_VERSION = "/v2/models/{name}/versions/{version}"
_KEPT = "/v2/repository/models/{name}"

_RAW = ("image/png", "image/jpeg", "audio/wav", "text/plain", "text/csv", BINARY)

ROUTES = (
    Route("GET", "/v2", "read", http_about.server, ServerMetadata),
    Route("GET", "/v2/health/live", "open", http_about.live, http_about.Live, is_at_once=True),
    Route("GET", "/v2/health/ready", "open", http_about.ready, http_about.Ready, is_at_once=True),
    *(
        route
        for model in (_MODEL, _VERSION)
        for route in (
            Route("GET", model, "read", http_about.model, ModelMetadata),
            Route("GET", f"{model}/ready", "open", http_about.model_ready, http_about.ModelReady),
            Route("POST", f"{model}/infer", "read", http_infer.infer, JsonAnswer, JsonRequest, (BINARY,), (BINARY,)),
            Route("POST", f"{model}/predict", "read", http_predict.predict, PredictTold, PredictAsked, _RAW),
        )
    ),
    Route("POST", "/v2/repository/index", "read", http_admin.index, list[IndexEntry], http_admin.IndexAsked),
    Route("POST", f"{_KEPT}/load", "admin", http_admin.load, http_admin.Done, http_admin.LoadAsked),
    Route("POST", f"{_KEPT}/unload", "admin", http_admin.unload, http_admin.Done, http_admin.LoadAsked),
    Route("POST", f"{_KEPT}/rollback", "admin", http_admin.rollback, http_admin.Answering, http_admin.Nothing),
    Route(
        "PUT", f"{_KEPT}/labels/{{label}}", "admin", http_admin.set_label, http_admin.Answering, http_admin.LabelAsked
    ),
    Route("GET", "/v2/statistics", "read", http_about.statistics, list[http_about.Figures]),
    Route("GET", "/metrics", "read", http_about.metrics, also_gives=("text/plain", "application/openmetrics-text")),
)


class Router:
    """Finds the route of a path: a look into a dict where it was asked for before.

    Args:
        routes: All of them.
    """

    def __init__(self, routes: "tuple[Route, ...]") -> None:
        self._templates: dict[tuple[str, ...], dict[str, Route]] = {}
        for route in routes:
            by_method = self._templates.setdefault(_segments(route.path), {})
            by_method[route.method] = route
            if route.method == "GET":
                by_method["HEAD"] = route
        self._kept: dict[str, Found] = {}

    def find(self, path: str) -> Found:
        """What is at a path; raises `RefusedError` (404) where nothing is."""
        found = self._kept.get(path)
        if found is None:
            found = self._looked_up(path)
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[path] = found
        return found

    def names(self, path: str) -> dict[str, str]:
        """What stands in the free segments of a path that was found; empty where none was."""
        found = self._kept.get(path)
        return found.free if found is not None else {}

    def _looked_up(self, path: str) -> Found:
        segments = _segments(path) if len(path) <= _MOST_PATH else ()
        for template, routes in self._templates.items():
            free = _match(template, segments)
            if free is not None:
                return Found(routes, free)
        raise RefusedError(404, f"nothing is at {path[:80]!r}; GET /openapi.json says what there is")


def _segments(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/"))


def _match(template: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    """What stands in the free segments; None where the path is another."""
    if len(template) != len(segments):
        return None
    free: dict[str, Any] = {}
    for wanted, given in zip(template, segments, strict=True):
        if wanted.startswith("{"):
            if not given:
                return None
            free[wanted[1:-1]] = given
        elif wanted != given:
            return None
    return free
