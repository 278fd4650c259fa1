"""Requests in flight: slow ones are ended, and those whose client has gone away are not computed.

A timer and a watch for each request would be paid by every one of them. Instead one sweep, some times a second, looks
at those in flight, and only a request that has been waiting for a while is watched for its client.
"""

import asyncio
from typing import Any

from edgepack.runtime.errors import OverloadedError
from edgepack.runtime.serve.arrivals import Coming

_SWEEP_S = 0.05
_LATE_S = 0.01  # an event loop that is later than this has bodies that are there and were not looked at


class Flight:
    """One request on its way.

    Attributes:
        is_reading: Whether its body is still coming.
        is_kept: Whether it goes on without its client: what changes the repository is not left half done.
        is_late: Whether it was ended because its body came too slowly.
        is_gone: Whether it was ended because its client went away.
        body_bytes: What its body takes of the memory for all of them.
        coming: Its place among those that are on their way to a model, as long as its body is read.
        closes: Whether its connection ends with the reply: a body that nobody wants is still coming.
    """

    __slots__ = (
        "_exchange", "_watch", "body_bytes", "closes", "coming", "is_gone", "is_kept", "is_late", "is_reading", "since",
        "task",
    )  # fmt: skip

    def __init__(self, exchange: Any, task: "asyncio.Task[Any]", since: float) -> None:
        self._exchange, self.task, self.since, self.body_bytes = exchange, task, since, 0
        self.is_reading, self.is_kept, self.is_late, self.is_gone = True, False, False, False
        self.coming: Coming | None = None
        self.closes = False
        self._watch: asyncio.Future[None] | None = None

    def sweep(self, now: float, read_timeout_s: float, lag_s: float = 0.0) -> None:
        """End it if it is late; watch for its client if it waits."""
        if self.is_reading:
            if now - self.since > read_timeout_s:
                self.is_late = True
                self.task.cancel()
            elif self.coming is not None and now - self.since > _SWEEP_S and lag_s < _LATE_S:
                self.coming.leave()  # a slow client keeps nobody waiting; where the event loop is late, it may be that
        elif self._watch is None and not self.is_kept and now - self.since > _SWEEP_S:
            self._watch = asyncio.ensure_future(self._exchange.client_disconnect())
            self._watch.add_done_callback(self._gone)

    def end(self) -> None:
        """It was answered."""
        if self.coming is not None:
            self.coming.end()
        if self._watch is not None:
            self._watch.remove_done_callback(self._gone)
            self._watch.cancel()

    def _gone(self, watch: "asyncio.Future[None]") -> None:
        if not watch.cancelled() and watch.exception() is None:
            self.is_gone = True
            self.task.cancel()


class Flights:
    """All requests in flight in one event loop.

    Args:
        read_timeout_s: How long a body may take to come.
        body_bytes: What all bodies together may take, so that many large ones at once do not take all memory.
    """

    def __init__(self, read_timeout_s: float, body_bytes: int) -> None:
        self._read_timeout_s, self._left_bytes = read_timeout_s, body_bytes
        self._flying: set[Flight] = set()
        self.lag_s = 0.0
        """How late the event loop was at the last sweep."""
        self._is_sweeping = False
        self._due = 0.0

    def __len__(self) -> int:
        return len(self._flying)

    def begin(self, exchange: Any) -> Flight:
        """A request whose handler runs in the current task."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        flight = Flight(exchange, task, loop.time())
        self._flying.add(flight)
        if not self._is_sweeping:
            self._is_sweeping = True
            self._sweep_later(loop)
        return flight

    def hold(self, flight: Flight, size: int) -> None:
        """Make room for some bytes of a body; raises `OverloadedError` where other bodies take it all."""
        if size > self._left_bytes:
            raise OverloadedError(f"other requests hold the memory for bodies; {size:,} bytes find no room: come again")
        self._left_bytes -= size
        flight.body_bytes += size

    def end(self, flight: Flight) -> None:
        """It was answered, or given up."""
        self._flying.discard(flight)
        self._left_bytes += flight.body_bytes
        flight.end()

    def _sweep_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + _SWEEP_S
        loop.call_at(self._due, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self.lag_s = max(0.0, now - self._due)
        for flight in tuple(self._flying):
            flight.sweep(now, self._read_timeout_s, self.lag_s)
        self._is_sweeping = bool(self._flying)
        if self._is_sweeping:
            self._sweep_later(loop)
        else:
            self.lag_s = 0.0
