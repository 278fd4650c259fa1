"""What every gRPC call goes through: its token, its request id, and how errors are told."""

import logging
import math
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, NoReturn, Protocol
from urllib.parse import unquote

from edgepack.runtime.errors import NotReadyError, OverloadedError
from edgepack.runtime.serve import failures
from edgepack.runtime.serve.metrics import Metrics

REQUEST_ID = "x-request-id"
RETRY_AFTER = "retry-after"

_LOG = logging.getLogger("edgepack.serve")
_SANE_ID = re.compile(r"[\x21-\x7e]{1,128}")
_BEARER = "bearer "


class Guard(Protocol):
    """Who may do what."""

    def check(self, kind: str, token: str | None, address: str) -> None:
        """Raise `DeniedError` or `OverloadedError` unless this token may do what `kind` names from this address."""


class Caller(NamedTuple):
    """Who calls, as the call's metadata tell."""

    token: str | None
    address: str
    request_id: str
    """The caller's own where it is sane, else a new one."""


def caller(context: Any) -> Caller:
    """Who calls in a `ServicerContext`."""
    token, request_id = None, ""
    for name, value in context.invocation_metadata() or ():
        if name == "authorization" and isinstance(value, str) and value[: len(_BEARER)].lower() == _BEARER:
            token = value[len(_BEARER) :].strip()
        elif name == REQUEST_ID and isinstance(value, str) and _SANE_ID.fullmatch(value):
            request_id = value
    return Caller(token, address(context.peer()), request_id or secrets.token_hex(16))


def address(peer: str) -> str:
    """The address in what gRPC calls a peer: `ipv4:127.0.0.1:5301` → `127.0.0.1`; a local socket has an empty one."""
    kind, _, place = peer.partition(":")
    return unquote(place).rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else ""


class Calls:
    """Runs calls for a guard, and tells their errors by the table of `failures`."""

    def __init__(self, guard: Guard, metrics: Metrics) -> None:
        self._guard, self._metrics = guard, metrics

    def check(self, kind: str, who: Caller) -> None:
        """Raise `DeniedError` or `OverloadedError` where this caller may not; it is counted."""
        try:
            self._guard.check(kind, who.token, who.address)
        except Exception as error:
            self.count(error)
            raise

    def count(self, error: BaseException, model: str = "", version: str = "") -> None:
        """Count a failure."""
        self._metrics.failed(model, version, "grpc", type(error).__name__)

    def unary(
        self, kind: str, work: Callable[[bytes, Any], Awaitable[bytes]]
    ) -> Callable[[bytes, Any], Awaitable[bytes]]:
        """Return a handler of one request and one answer around `work`, both in bytes.

        The messages are parsed in `work` and not by grpcio, which would answer `INTERNAL` where a client sent rubbish.
        """

        async def handle(data: bytes, context: Any) -> bytes:
            who = caller(context)
            try:
                self.check(kind, who)
                answer = await work(data, context)
            except Exception as error:  # noqa: BLE001 - the border: every error becomes a status
                await refuse(context, error, who.request_id)
            context.set_trailing_metadata(((REQUEST_ID, who.request_id),))
            return answer

        return handle


async def refuse(context: Any, error: Exception, request_id: str) -> NoReturn:
    """End a call with the status of `error`; where it is our fault, the log says why."""
    import grpc

    message, metadata = tell(error, request_id), [(REQUEST_ID, request_id)]
    if isinstance(error, (OverloadedError, NotReadyError)):
        wait_s = getattr(error, "retry_after_s", 1.0)
        metadata.append((RETRY_AFTER, str(max(1, math.ceil(wait_s)))))
    await context.abort(grpc.StatusCode[failures.status(error).grpc], message, tuple(metadata))
    raise AssertionError("abort always raises")


def tell(error: Exception, request_id: str) -> str:
    """What a client is told of an error; where it is our fault, the log gets the rest."""
    if failures.status(error).grpc == "INTERNAL":
        _LOG.error("request %s failed", request_id, exc_info=error)
    return failures.told(error)
