"""What goes over the wire, as values, and when it goes there again: nothing here knows a socket.

What a client does is a conversation: a generator that yields what is to be sent (`Call`) or waited for (`Pause`), is
given what came of it, and returns the result. A client runs it; the sync and the async one share every conversation.
"""

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from edgepack.client.failures import from_reply, retry_after_s
from edgepack.runtime.errors import DeadlineError, EdgepackError, ServeError

_MOST_PAUSE_S = 10.0
_FIRST_PAUSE_S = 0.1  # where the server does not say when to come again; it doubles each time
_COMES_AGAIN = frozenset({429, 503})  # nothing was computed


class Call(NamedTuple):
    """One request."""

    method: str
    path: str
    """Behind the server's address; each part of it is quoted."""
    content: bytes = b""
    headers: Mapping[str, str] = {}
    timeout_s: float = 30.0
    is_repeatable: bool = True
    """Whether a second one does no more than the first."""


class Pause(NamedTuple):
    """To wait."""

    seconds: float


class Reply(NamedTuple):
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    """By name in small letters."""
    content: bytes


class Lost(NamedTuple):
    """No answer came."""

    why: str
    is_late: bool = False
    """It may come yet: nobody waits any more."""


Result = TypeVar("Result")
Conversation = Generator[Call | Pause, Reply | Lost | None, Result]


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """A conversation came to its end."""

    result: Result


def advance(conversation: Conversation[Result], found: Reply | Lost | None) -> Call | Pause | Done[Result]:
    """Tell a conversation what came of its last step, None at its beginning and after a pause; its next one."""
    try:
        return conversation.send(found)
    except StopIteration as end:
        return Done(end.value)


class Patience(NamedTuple):
    """When a request is sent again."""

    retries: int
    """How often at most; 0 is never."""
    jitter: Callable[[float, float], float] = random.uniform
    """Gives a number between two: clients that were refused together should not come again together."""

    def pause_s(self, attempt: int, found: Reply | Lost) -> float | None:
        """How long to wait after the attempt of this number, from 0; None gives up.

        A broken connection is tried again, and what the server refused because it is overloaded or not ready: nothing
        was computed. Never what it found a fault with, and never what was too late.
        """
        again = not found.is_late if isinstance(found, Lost) else found.status in _COMES_AGAIN
        if attempt >= self.retries or not again:
            return None
        said = retry_after_s(found.headers) if isinstance(found, Reply) else None
        if said is None:
            return self.jitter(0.5, 1.0) * min(_FIRST_PAUSE_S * 2.0**attempt, _MOST_PAUSE_S)
        return None if said > _MOST_PAUSE_S else said * self.jitter(1.0, 1.25)


def exchange(address: str, call: Call, patience: Patience) -> Conversation[Reply]:
    """Send a call until it is answered well.

    Args:
        address: The server's, for messages.
        call: What is sent.
        patience: When it is sent again. All pauses together are no longer than the call's `timeout_s`.

    Returns:
        A reply of a status below 400.

    Raises:
        ServeError: Or a child of it, or `InputError` or `PackError`, as the server raised it; or no answer came.
    """
    left_s, attempt = call.timeout_s, 0
    while True:
        found = yield call
        assert isinstance(found, (Reply, Lost))
        if isinstance(found, Reply) and found.status < 300:
            return found
        pause = patience.pause_s(attempt, found) if call.is_repeatable else None
        if pause is None or pause > left_s:
            raise _error(address, call, found)
        left_s, attempt = left_s - pause, attempt + 1
        yield Pause(pause)


def _error(address: str, call: Call, found: Reply | Lost) -> EdgepackError:
    if isinstance(found, Reply):
        return from_reply(address, found.status, found.headers, found.content)
    if found.is_late:
        return DeadlineError(f"{address} did not answer within {call.timeout_s:g} s; give more with timeout_s")
    return ServeError(f"no answer from {address}: {found.why}; is `edgepack serve` running there?")
