"""One request and its reply over HTTP/1.1, as the application sees them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from typing import Protocol

from edgepack.runtime.serve.http_wire import ConnectionLostError

NO_BODY = {204, 304}
_MOST_HELD_BYTES = 256 * 2**10  # of a body that nobody reads yet
_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


def line_of(status: int) -> str:
    """The first line of a reply."""
    return _LINES.get(status) or f"HTTP/1.1 {status} \r\n"


class Client(Protocol):
    """The connection, as far as an exchange needs it."""

    client: str
    loop: asyncio.AbstractEventLoop
    is_lost: bool

    async def lost(self) -> None:
        """Return when the client is gone."""

    def hold(self) -> None:
        """Let no more bytes come for now."""

    def read_on(self, *, wants_word: bool = False) -> None:
        """Let bytes come, and say so to a client that waits for a word."""

    def reply(self, exchange: "Exchange", status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Write a reply."""


class Exchange:
    """One request and its reply.

    Attributes:
        method: `GET`, `POST`, …
        path: Without the query, decoded.
        headers: By name in lower case; of one that came twice, the first.
        client: Address and port.
    """

    __slots__ = (
        "_connection", "_held", "_is_read", "_pieces", "_waiter", "client", "headers", "http_version",
        "is_answered", "is_complete", "keeps_alive", "method", "path",
    )  # fmt: skip

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self.method = self.path = self.http_version = ""
        self.client = connection.client
        self.headers: dict[str, str] = {}
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self.is_complete = self.is_answered = self._is_read = False
        self.keeps_alive = True

    async def __call__(self) -> bytes:
        """The whole body; raises `ConnectionLostError` where the client goes away before it is there."""
        self._begin_reading()
        while not self.is_complete:
            await self._more()
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        return body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body in the pieces it comes in; raises as a call does."""
        self._begin_reading()
        while self._pieces or not self.is_complete:
            if self._pieces:
                yield self._pieces.popleft()
            else:
                await self._more()

    async def client_disconnect(self) -> None:
        """Return when the client is gone."""
        await self._connection.lost()

    def response_bytes(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Reply; a client that is gone misses it."""
        if not self.is_answered:
            self.is_answered = True
            self._connection.reply(self, status, headers, body)

    def head(self, status: int, headers: Iterable[tuple[str, str]], size: int, date: str) -> bytes:
        """What stands before the body of a reply; of `connection` in the headers, `close` is followed."""
        told = [line_of(status)]
        for name, value in headers:
            if name == "connection":
                self.keeps_alive = self.keeps_alive and value != "close"
            else:
                told.append(f"{name}: {value}\r\n")
        if status not in NO_BODY:
            told.append(f"content-length: {size}\r\n")
        if not self.keeps_alive:
            told.append("connection: close\r\n")
        elif self.http_version == "1.0":
            told.append("connection: keep-alive\r\n")
        told.append(date)
        return "".join(told).encode("latin-1", "replace")

    def add(self, piece: bytes) -> None:
        """A piece of the body is there."""
        if self.is_answered:
            return  # nobody will read it
        self._pieces.append(piece)
        if not self._is_read:
            self._held += len(piece)
            if self._held > _MOST_HELD_BYTES:
                self._connection.hold()
        self.wake()

    def wake(self) -> None:
        """Let who reads the body look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _begin_reading(self) -> None:
        if not self._is_read:
            self._is_read = True
            self._connection.read_on(wants_word=not self.is_complete and "expect" in self.headers)

    async def _more(self) -> None:
        """Return when there is more of the body."""
        self._check_client()
        self._waiter = self._connection.loop.create_future()
        await self._waiter
        if not self.is_complete:
            self._check_client()

    def _check_client(self) -> None:
        if self._connection.is_lost:
            raise ConnectionLostError
