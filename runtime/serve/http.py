"""The HTTP face: the application that answers an exchange. It knows HTTP and the data plane, and no model."""

import asyncio
import logging
import time
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

from edgepack.runtime.errors import DeniedError, NotServedError
from edgepack.runtime.serve import http_about, http_body, openapi, page
from edgepack.runtime.serve.http_exchange import Exchange
from edgepack.runtime.serve.http_flights import Flights
from edgepack.runtime.serve.http_hosts import Hosts
from edgepack.runtime.serve.http_origins import Origins
from edgepack.runtime.serve.http_routes import ROUTES, Found, Route, Router
from edgepack.runtime.serve.http_wire import (
    FACE,
    GONE,
    ConnectionLostError,
    GoneError,
    Guard,
    Headers,
    Place,
    RefusedError,
    Reply,
    Request,
    is_expected,
    kind,
    refusal,
)
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.request_log import RequestLog, request_id
from edgepack.runtime.serve.settings import Settings

_LOG = logging.getLogger("edgepack.serve.http")
_POLICY = ("content-security-policy", "default-src 'none'; frame-ancestors 'none'")
_SECURITY: Headers = (
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    _POLICY,
)
_BODIES = 4  # so many of the largest bodies at once
_WITH_BODY = {"POST", "PUT"}


class App:
    """The application; `listening.HttpServer` runs it.

    Args:
        plane: What answers.
        settings: Limits, and the origins whose pages may ask.
        guard: Who may ask for what.
        metrics: What is counted.
        files: Path → its content type and what it holds; those of the page where none are given.
    """

    def __init__(
        self,
        plane: Plane,
        settings: Settings,
        guard: Guard,
        metrics: Metrics,
        files: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> None:
        files = page.files() if files is None else files
        own = (
            Route("GET", "/openapi.json", "read", self._openapi, dict[str, Any]),
            *(Route("GET", path, "open", http_about.page) for path in files),
        )
        self._routes = (*ROUTES, *own)
        self._router = Router(self._routes)
        limits = settings.limits
        self._flights = Flights(limits.read_timeout_s, _BODIES * limits.body_bytes)
        self._place = Place(plane, settings, metrics, self._flights, files)
        self._guard, self._origins, self._hosts = guard, Origins(settings.cors_origins), Hosts(settings)
        self._log = RequestLog(settings.log)

    @property
    def in_flight(self) -> int:
        """Requests that are being answered now."""
        return len(self._flights)

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request; whatever fails, the client is told."""
        since_ns = time.monotonic_ns()
        headers = exchange.headers
        id_ = request_id(headers.get("x-request-id"))
        failed: Exception | None = None
        request: Request | None = None
        try:
            found = self._router.find(exchange.path)
            route, request = self._let_in(found, exchange, headers)
            reply = await (route.call(request) if route.is_at_once else self._in_flight(route, request))
        except Exception as error:  # noqa: BLE001 - whatever fails, the client is told and the log says why
            reply, failed = refusal(error), error
            if request is not None and request.flight is not None and request.flight.closes:
                reply = reply._replace(headers=(*reply.headers, ("connection", "close")))
            if not is_expected(error):
                _LOG.exception("%s %s failed", exchange.method, exchange.path, extra={"request_id": id_})
        # Who waits has the answer first; what is kept of it comes behind.
        if reply.status != GONE:
            exchange.response_bytes(reply.status, self._headers(headers.get("origin"), reply, id_), reply.body)
        spent = reply.spent
        if spent is not None:
            self._place.metrics.answered(reply.model, reply.version, FACE, spent, len(reply.body))
        elif failed is not None:
            self._count(exchange.path, failed)
        total_ns = time.monotonic_ns() - since_ns
        if self._log.wants(reply.status, total_ns):
            self._log.write(
                id_, face=FACE, status=reply.status, total_ns=total_ns, path=exchange.path, spent=spent,
                response_bytes=len(reply.body), error=failed, client=exchange.client,
            )  # fmt: skip

    def _let_in(self, found: Found, exchange: Exchange, headers: Any) -> tuple[Route, Request]:
        """Who answers, and what it is asked; raises where a request may not pass."""
        self._hosts.check(headers.get("host"))
        method = exchange.method
        route = found.routes.get(method) or self._other(method, found, headers)
        if route.kind != "open":
            told = headers.get("authorization")
            token = told[7:].strip() if told is not None and told[:7].lower() == "bearer " else None
            self._guard.check(route.kind, token, exchange.client.rpartition(":")[0])
            origin = headers.get("origin")
            is_asked = origin is None or method not in _WITH_BODY or self._origins.may_ask(origin, headers.get("host"))
            if not is_asked:
                raise DeniedError(
                    f"pages of {origin[:80]!r} may not ask here; list the origin in cors_origins", is_known=True
                )
        return route, Request(self._place, exchange, headers, None, **found.free)

    async def _in_flight(self, route: Route, request: Request) -> Reply:
        """What a route answers, as long as its body comes and its client waits; packed where the client takes that."""
        flight = request.flight = self._flights.begin(request.exchange)
        flight.is_reading = route.method in _WITH_BODY
        flight.is_kept = route.kind == "admin"
        try:
            reply = await route.call(request)
            if len(reply.body) >= http_body.WORTH_PACKING_BYTES:
                accepted = request.headers.get("accept-encoding")
                reply = reply if accepted is None else await http_body.packed(reply, accepted)
            return reply
        except asyncio.CancelledError:
            if not (flight.is_late or flight.is_gone):
                raise
            flight.task.uncancel()
            if flight.is_gone:
                raise GoneError from None
            raise RefusedError(408, "the body came too slowly", (("connection", "close"),)) from None
        except ConnectionLostError:  # in the middle of its body
            raise GoneError from None
        finally:
            self._flights.end(flight)

    def _other(self, method: str, found: Found, headers: Any) -> Route:
        """What answers a method that the path has not: what it has, and what a page of another origin may do."""
        if method != "OPTIONS":
            raise RefusedError(405, f"{method[:20]} is not answered here", found.allowed)
        reply = Reply(b"", 204, headers=(*found.allowed, *self._origins.preflight(headers, found)))
        return Route(method, "", "open", partial(_given, reply), is_at_once=True)

    def _count(self, path: str, error: Exception) -> None:
        """Count a failure under the names in the path, as far as the repository has them: nobody fills it with others.

        What no model has counts under none.
        """
        free = {} if isinstance(error, NotServedError) else self._router.names(path)
        self._place.metrics.failed(free.get("name", ""), free.get("version", ""), FACE, kind(error))

    def _headers(self, origin: str | None, reply: Reply, id_: str) -> list[tuple[str, str]]:
        found = [("content-type", reply.content_type), ("x-request-id", id_), *_SECURITY]
        if reply.headers:
            found += reply.headers
            if _POLICY[0] in dict(reply.headers):
                found.remove(_POLICY)
        if origin is not None:
            found += self._origins.told(origin)
        return found

    async def _openapi(self, _: Request) -> Reply:
        """This document."""
        return Reply(self._document)

    @cached_property
    def _document(self) -> bytes:
        return openapi.document(self._routes, self._place.plane.server().version)


async def _given(reply: Reply, _: Request) -> Reply:
    return reply
