"""What passes between the HTTP server and those who answer: a request, a reply, and a refusal that HTTP alone knows."""

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from edgepack.runtime.errors import DeniedError
from edgepack.runtime.serve import failures
from edgepack.runtime.serve.http_flights import Flight, Flights
from edgepack.runtime.serve.messages import Spent
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.settings import Settings

JSON = "application/json"
BINARY = "application/octet-stream"
FACE = "rest"
GONE = 499
"""The status that the log and the counts give a client that did not wait; nobody is told."""

Headers = tuple[tuple[str, str], ...]

encode = msgspec.json.Encoder().encode


class Guard(Protocol):
    """Who may ask for what."""

    def check(self, kind: str, token: str | None, address: str) -> None:
        """Raise `DeniedError` or `OverloadedError` unless this may be asked; `kind` is `open`, `read` or `admin`."""


class Place(NamedTuple):
    """What every handler works with."""

    plane: Plane
    settings: Settings
    metrics: Metrics
    flights: Flights
    files: Mapping[str, tuple[str, bytes]]
    """Of the page: path → its content type and what it holds."""


class Reply(NamedTuple):
    """What goes back."""

    body: bytes = b""
    status: int = 200
    content_type: str = JSON
    headers: Headers = ()
    spent: Spent | None = None
    """Where the time went, for the counts and the log; None where no model ran."""
    model: str = ""
    """The model that ran."""
    version: str = ""
    """And its version."""


class Request(msgspec.Struct, gc=False):
    """One request, as its handler sees it."""

    place: Place
    exchange: Any
    """Method, path, query and client, and what reads the body."""
    headers: Any
    flight: Flight | None
    """None where the handler waits for nothing and reads no body."""
    name: str = ""
    """The model in the path."""
    version: str = ""
    """The version or label in the path."""
    label: str = ""


Handler = Callable[[Request], Awaitable[Reply]]


class Told(msgspec.Struct):
    """What went wrong, and what to do, on one line."""

    error: str


class RefusedError(Exception):
    """A request that HTTP itself refuses: no such path, method, type or encoding."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


class ConnectionLostError(Exception):
    """The client went away in the middle of its body."""


class GoneError(Exception):
    """The client went away before it had its answer."""


def refusal(error: BaseException) -> Reply:
    """How an error is told: `{"error": "one line"}`, and when to come again where that helps."""
    if isinstance(error, RefusedError):
        return Reply(encode(Told(str(error))), error.status, headers=error.headers)
    if isinstance(error, GoneError):
        return Reply(b"", GONE)
    status = failures.status(error).http
    headers: Headers = ()
    if status in {429, 503}:
        headers = (("retry-after", str(max(1, math.ceil(getattr(error, "retry_after_s", 1.0))))),)
    elif isinstance(error, DeniedError) and not error.is_known:
        headers = (("www-authenticate", "Bearer"),)
    return Reply(encode(Told(failures.told(error))), status, headers=headers)


def kind(error: BaseException) -> str:
    """What an error is counted as."""
    if isinstance(error, RefusedError):
        return f"Http{error.status}"
    return "CancelledError" if isinstance(error, GoneError) else type(error).__name__


def is_expected(error: BaseException) -> bool:
    """Whether an error is raised on purpose and told as it is, and no fault of ours."""
    return isinstance(error, (RefusedError, GoneError)) or failures.status(error).http != 500
