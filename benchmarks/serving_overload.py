"""More clients than a server can answer: each asks again as soon as it has an answer, whatever that was."""

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter

import msgspec

from edgepack.benchmarks.serving_load import Connection, Request, connected, percentile, pinned

_REFUSED = {429, 503}
_TAIL_S = 30.0  # the last answer may take so long
_LOOK_S = 0.1


class Crowd(msgspec.Struct, frozen=True):
    """What became of the requests of so many clients."""

    clients: int
    accepted_per_s: float
    accepted_p50_ms: float
    accepted_p99_ms: float
    refused_per_s: float
    refused_p50_ms: float
    refused_p99_ms: float
    share_accepted: float
    """Of all that were answered."""
    accepted: int
    refused: int
    lost: int
    """No answer, or one that is neither a result nor a refusal."""
    memory_before_mb: float
    memory_most_mb: float


def crowd(
    request: Request, *, clients: int, seconds: float, memory_mb: Callable[[], float], cpus: Sequence[int] = (),
    pause_s: float = 0.0,
) -> Crowd:  # fmt: skip
    """Ask with so many clients, each over a connection of its own.

    Args:
        request: What is sent.
        clients: How many.
        seconds: How long.
        memory_mb: Resident memory of the server now.
        cpus: Where this process runs meanwhile.
        pause_s: How long a client that was refused stays away; 0 is the worst, clients that listen wait a second.
    """
    with pinned(cpus):
        return asyncio.run(_Crowd(request, memory_mb, pause_s).run(clients, seconds))


class _Crowd:
    def __init__(self, request: Request, memory_mb: Callable[[], float], pause_s: float) -> None:
        self._port, self._data, self._memory_mb, self._pause_s = request.port, request.encoded(), memory_mb, pause_s
        self._accepted: list[float] = []
        self._refused: list[float] = []
        self._lost = 0

    async def run(self, clients: int, seconds: float) -> Crowd:
        before = self._memory_mb()
        end = perf_counter() + seconds
        watching = asyncio.ensure_future(self._most_memory(end))
        await asyncio.gather(*(self._client(end) for _ in range(clients)))
        answered = len(self._accepted) + len(self._refused)
        return Crowd(
            clients=clients,
            accepted_per_s=len(self._accepted) / seconds,
            accepted_p50_ms=percentile(self._accepted, 50) * 1e3,
            accepted_p99_ms=percentile(self._accepted, 99) * 1e3,
            refused_per_s=len(self._refused) / seconds,
            refused_p50_ms=percentile(self._refused, 50) * 1e3,
            refused_p99_ms=percentile(self._refused, 99) * 1e3,
            share_accepted=len(self._accepted) / max(answered, 1),
            accepted=len(self._accepted),
            refused=len(self._refused),
            lost=self._lost,
            memory_before_mb=before,
            memory_most_mb=await watching,
        )

    async def _most_memory(self, end: float) -> float:
        most = self._memory_mb()
        while perf_counter() < end:
            await asyncio.sleep(_LOOK_S)
            most = max(most, self._memory_mb())
        return most

    async def _client(self, end: float) -> None:
        connection: Connection | None = None
        while perf_counter() < end:
            began = perf_counter()
            try:
                connection = connection or await connected(self._port)
                status = await asyncio.wait_for(connection.ask(self._data), _TAIL_S)
            except (OSError, TimeoutError):
                self._lost += 1
                if connection is not None:
                    await connection.close()
                connection = None
                continue
            await self._note(status, perf_counter() - began)
        if connection is not None:
            await connection.close()

    async def _note(self, status: int, taken: float) -> None:
        if status == 200:
            self._accepted.append(taken)
        elif status in _REFUSED:
            self._refused.append(taken)
            await asyncio.sleep(self._pause_s)
        else:
            self._lost += 1
