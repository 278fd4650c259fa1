"""One connection of HTTP/1.1 in the event loop: httptools reads what comes, and what goes back is written at once.

Tried against granian, a server in Rust with a thread of its own: with the server on one processor a request costs a
fifth of the time, as nothing changes threads on its way, and some twenty megabytes need not be installed.
"""

import asyncio
import email.utils
import json
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any
from urllib.parse import unquote

from edgepack.runtime.serve.http_exchange import NO_BODY, Exchange, line_of

App = Callable[[Exchange], Coroutine[Any, Any, None]]

_MOST_HEAD_BYTES = 64 * 2**10  # the line of a request and all its headers
_LARGE_BYTES = 64 * 2**10
_MOST_WAITING = 16  # requests that a client may send ahead of their answers
_LINGER_S = 1.0  # how long what comes behind a last reply is dropped: a client would not read it else


class Connection(asyncio.Protocol):
    """A client's connection; `Listener` makes them.

    Args:
        app: Answers an exchange; whatever it raises is a fault of ours.
        owner: Keeps the connections.
        is_over: Whether there are too many connections: this one is told so, and closed.
    """

    def __init__(self, app: App, owner: "Owner", *, is_over: bool) -> None:
        self._app, self._owner, self._is_over = app, owner, is_over
        self.loop = owner.loop
        self._parser: Any = owner.httptools.HttpRequestParser(self)
        self._line: deque[Exchange] = deque()  # the first is being answered
        self._coming: Exchange | None = None
        self._url = b""
        self._head_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._lost: asyncio.Future[None] | None = None
        self._is_in_head = self._is_held = self._is_full = self.is_lost = self._is_ending = False
        self.client, self._left = "", 0
        self.since = self.loop.time()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        self._transport: Any = transport
        peer = transport.get_extra_info("peername")
        self.client = f"{peer[0]}:{peer[1]}" if peer else ""
        self._owner.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self.is_lost = True
        self._owner.drop(self)
        self._parser = None  # they know each other, and would wait for a collection of garbage
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)
        for exchange in self._line:
            exchange.wake()

    def data_received(self, data: bytes) -> None:
        """Bytes of requests came."""
        if self._is_ending:
            return
        httptools = self._owner.httptools
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # nothing else is spoken here: it is answered as it stands
            if self._line:
                self._line[-1].keeps_alive = False
        except httptools.HttpParserError as error:
            self._refuse(400, f"this is no request of HTTP/1.1: {error}")
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._refuse(431, f"the headers have more than {_MOST_HEAD_BYTES:,} bytes, the most that is taken")

    def pause_writing(self) -> None:
        """The client reads slowly."""
        self._is_full, self.since = True, self.loop.time()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._is_full = False
        self._next()

    # What httptools calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._coming, self._url, self._head_bytes = Exchange(self), b"", 0
        self._is_in_head = True
        self.since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """A piece of its target came."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came."""
        if self._coming is not None:
            self._coming.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """What it asks is known: it is answered in its turn, while the body comes."""
        exchange = self._coming
        self._is_in_head = False
        if exchange is None or self._is_ending:
            return
        exchange.method = self._parser.get_method().decode("latin-1")
        exchange.http_version = self._parser.get_http_version()
        exchange.keeps_alive = self._parser.should_keep_alive()
        path = self._url.decode("latin-1").partition("?")[0]
        if not path.startswith("/"):  # a whole address, as proxies send it
            path = "/" + path.partition("://")[2].partition("/")[2]
        exchange.path = unquote(path) if "%" in path else path
        self._line.append(exchange)
        if len(self._line) > _MOST_WAITING:
            self.hold()
        self._next()

    def on_body(self, body: bytes) -> None:
        """A piece of its body came."""
        if self._coming is not None:
            self._coming.add(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        exchange, self._coming = self._coming, None
        if exchange is not None:
            exchange.is_complete = True
            exchange.wake()
            if exchange.is_answered:
                self._end(exchange)

    # What exchanges call.

    async def lost(self) -> None:
        """Return when the client is gone."""
        if not self.is_lost:
            self._lost = self._lost or self.loop.create_future()
            await asyncio.shield(self._lost)

    def hold(self) -> None:
        """Let no more bytes come for now."""
        if not (self._is_held or self.is_lost):
            self._is_held = True
            self._transport.pause_reading()

    def read_on(self, *, wants_word: bool = False) -> None:
        """Let bytes come; a client that waits for a word before it sends its body has it."""
        if wants_word and not self.is_lost:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._is_held and not self.is_lost:
            self._is_held = False
            self._transport.resume_reading()

    def reply(self, exchange: Exchange, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Write a reply, and go on with the next request when all of this one came."""
        if self.is_lost or self._is_ending:
            return
        if not exchange.is_complete or self._owner.is_closing:
            exchange.keeps_alive = False  # what still comes of it is dropped
        self.since = self.loop.time()
        head = exchange.head(status, headers, len(body), self._owner.date)
        if exchange.method == "HEAD" or status in NO_BODY:
            body = b""
        if len(body) > _LARGE_BYTES:  # joining would copy it
            self._transport.write(head)
            self._transport.write(body)
        else:
            self._transport.write(head + body)
        if exchange.is_complete or not exchange.keeps_alive:
            self._end(exchange)

    # What its owner calls.

    def sweep(self, now: float, timeout_s: float) -> None:
        """Close it where it waits for its client for too long."""
        if self._is_full and (left := self._transport.get_write_buffer_size()) != self._left:
            self._left, self.since = left, now  # slow, and reading
        if now - self.since <= timeout_s or (self._line and not (self._is_full or self._is_ending)):
            return
        if self._is_full or self._is_ending:
            self._transport.abort()
        elif self._coming is not None:
            self._refuse(408, "the request came too slowly")
        else:
            self._transport.close()

    def finish(self) -> None:
        """Close it when what it is asked is answered: now where nothing is."""
        if not self._line and not self.is_lost:
            self._transport.close()

    def _next(self) -> None:
        """Answer the first in line, where nothing stands before it."""
        if self._task is None and self._line and not (self._is_full or self.is_lost or self._is_ending):
            if self._is_over:
                self._refuse(429, "the server has as many connections as it takes; come again", ("retry-after", "1"))
            else:
                self._task = self.loop.create_task(self._app(self._line[0]))
                self._task.add_done_callback(self._answered)

    def _answered(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_exception_handler({"message": "a request was not answered", "exception": error})
        exchange = self._line[0] if self._line else None
        if exchange is not None and not exchange.is_answered:  # it failed, or its client is gone
            self._line.popleft()
            self._transport.close()
        elif exchange is not None and (exchange.is_complete or not exchange.keeps_alive):
            self._line.popleft()
            if self._is_ending:
                return
            self.read_on()
            self._next()

    def _end(self, exchange: Exchange) -> None:
        """A reply is written: close, or let the next request come."""
        if not exchange.keeps_alive and not self._is_ending:
            self._is_ending = True
            self.read_on()
            if exchange.is_complete:
                self._transport.close()
            else:
                self._linger()
        elif self._task is None and self._line and self._line[0] is exchange:  # the last of its body came late
            self._line.popleft()
            self._next()

    def _refuse(self, status: int, why: str, *headers: tuple[str, str]) -> None:
        """Tell what cannot be answered by the application, and close."""
        if self._is_ending or self.is_lost:
            return
        self._is_ending = True
        body = json.dumps({"error": why}).encode()
        more = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self._transport.write(
            f"{line_of(status)}content-type: application/json\r\n{more}content-length: {len(body)}\r\n"
            f"connection: close\r\n{self._owner.date}".encode("latin-1")
            + body
        )
        self._line.clear()
        self.read_on()
        self._linger()

    def _linger(self) -> None:
        """Drop what still comes for a while: a client that is sending would meet a reset before it reads the reply."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.loop.call_later(_LINGER_S, self._transport.close)


class Owner:
    """The connections of one listening socket.

    Args:
        timeout_s: How long a connection may wait for its client.
    """

    def __init__(self, timeout_s: float) -> None:
        import httptools

        self.httptools = httptools
        self.loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._connections: set[Connection] = set()
        self._empty: asyncio.Future[None] | None = None
        self.is_closing = False
        self.date = ""
        """The header `date`, and the end of the head."""
        self._sweep()

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Connection) -> None:
        """One more."""
        self._connections.add(connection)

    def drop(self, connection: Connection) -> None:
        """One is gone."""
        self._connections.discard(connection)
        if self._empty is not None and not self._connections and not self._empty.done():
            self._empty.set_result(None)

    async def close(self) -> None:
        """Close all that wait, and return when the others have their answers."""
        self.is_closing = True
        for connection in tuple(self._connections):
            connection.finish()
        if self._connections:
            self._empty = self.loop.create_future()
            await self._empty
        self._timer.cancel()

    def _sweep(self) -> None:
        self.date = f"date: {email.utils.formatdate(usegmt=True)}\r\n\r\n"
        now = self.loop.time()
        for connection in tuple(self._connections):
            connection.sweep(now, self._timeout_s)
        self._timer = self.loop.call_later(1.0, self._sweep)
