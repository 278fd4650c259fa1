"""The HTTP face: an RSGI application that granian runs. It knows HTTP and the data plane, and no model."""

import asyncio
import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from edgepack.runtime.errors import DeniedError
from edgepack.runtime.serve import http_about, http_body, openapi, page
from edgepack.runtime.serve.http_flights import Flight, Flights
from edgepack.runtime.serve.http_origins import Origins
from edgepack.runtime.serve.http_routes import ROUTES, Found, Route, Router
from edgepack.runtime.serve.http_wire import (
    FACE,
    Guard,
    Headers,
    Place,
    RefusedError,
    Reply,
    Request,
    is_expected,
    refusal,
)
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.request_log import RequestLog, request_id
from edgepack.runtime.serve.settings import Settings

_LOG = logging.getLogger("edgepack.serve.http")
_SECURITY: Headers = (
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
)
_POLICY = ("content-security-policy", "default-src 'none'; frame-ancestors 'none'")
_GONE = 499  # what the log says of a client that did not wait; nobody is told
_BODIES = 4  # so many of the largest bodies at once
_WITH_BODY = {"POST", "PUT"}


class App:
    """The application: give it to `granian.server.embed.Server` with `interface="rsgi"`, `task_impl="asyncio"`.

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
        from granian.rsgi import ProtocolClosed

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
        self._guard, self._origins = guard, Origins(settings.cors_origins)
        self._closed = ProtocolClosed
        self._log = RequestLog(settings.log)

    @property
    def in_flight(self) -> int:
        """Requests that are being answered now."""
        return len(self._flights)

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        headers = scope.headers
        id_ = request_id(headers.get("x-request-id"))
        failed: Exception | None = None
        flight = self._flights.begin(proto)
        try:
            reply = await self._answer(scope, proto, headers, flight)
        except asyncio.CancelledError:
            if not (flight.is_late or flight.is_gone):
                raise
            flight.task.uncancel()
            reply = refusal(RefusedError(408, "the body came too slowly", (("connection", "close"),)))
        except Exception as error:  # noqa: BLE001 - whatever fails, the client is told and the log says why
            if isinstance(error, self._closed):
                flight.is_gone = True
            elif not is_expected(error):
                _LOG.exception("%s %s failed", scope.method, scope.path, extra={"request_id": id_})
            reply, failed = refusal(error), error
            if flight.closes:
                reply = reply._replace(headers=(*reply.headers, ("connection", "close")))
        finally:
            self._flights.end(flight)
        status = _GONE if flight.is_gone else reply.status
        total_ns = round((asyncio.get_running_loop().time() - flight.since) * 1e9)
        if self._log.wants(status, total_ns):
            self._log.write(
                id_, face=FACE, status=status, total_ns=total_ns, path=scope.path, spent=reply.spent,
                response_bytes=len(reply.body), error=failed, client=scope.client,
            )  # fmt: skip
        if not flight.is_gone:
            proto.response_bytes(status, self._headers(headers, reply, id_), reply.body)

    async def _answer(self, scope: Any, proto: Any, headers: Any, flight: Flight) -> Reply:
        method = scope.method
        found = self._router.find(scope.path)
        route = found.routes.get(method)
        if route is None:
            return self._other(method, found, headers)
        flight.is_reading = method in _WITH_BODY
        flight.is_kept = route.kind == "admin"
        told = headers.get("authorization")
        token = told[7:].strip() if told is not None and told[:7].lower() == "bearer " else None
        self._guard.check(route.kind, token, scope.client.rpartition(":")[0])
        origin = headers.get("origin")
        if origin is not None and flight.is_reading and not self._origins.may_ask(origin, headers.get("host")):
            raise DeniedError(
                f"pages of {origin[:80]!r} may not ask here; list the origin in cors_origins", is_known=True
            )
        reply = await route.call(Request(self._place, scope, proto, headers, flight, **found.free))
        accepted = headers.get("accept-encoding")
        return reply if accepted is None else await http_body.packed(reply, accepted)

    def _other(self, method: str, found: Found, headers: Any) -> Reply:
        """The reply to a method that the path has not: what it has, and what a page of another origin may do."""
        if method == "OPTIONS":
            return Reply(b"", 204, headers=(*found.allowed, *self._origins.preflight(headers, found)))
        raise RefusedError(405, f"{method[:20]} is not answered here", found.allowed)

    def _headers(self, headers: Any, reply: Reply, id_: str) -> list[tuple[str, str]]:
        found = [("content-type", reply.content_type), ("x-request-id", id_), *_SECURITY, *reply.headers]
        if not any(name == _POLICY[0] for name, _ in reply.headers):
            found.append(_POLICY)
        origin = headers.get("origin")
        if origin is not None:
            found += self._origins.told(origin)
        return found

    async def _openapi(self, _: Request) -> Reply:
        """This document."""
        return Reply(self._document)

    @cached_property
    def _document(self) -> bytes:
        return openapi.document(self._routes, self._place.plane.server().version)
