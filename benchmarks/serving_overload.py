"""More requests than a server can answer: they come at their own pace, whether or not earlier ones were answered."""

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter

import msgspec

from edgepack.benchmarks.serving_load import Connection, Request, connected, percentile, pinned

_REFUSED = {429, 503}
_TAIL_S = 30.0  # what is still under way at the end may take so long
_CONNECTIONS = 200  # below what a server takes; a request that finds none free waits for one, and its clock runs


class Overload(msgspec.Struct, frozen=True):
    """What became of the requests."""

    per_second: float
    """How many were really sent each second."""
    accepted: int
    accepted_p50_ms: float
    accepted_p99_ms: float
    refused: int
    refused_p99_ms: float
    refused_max_ms: float
    lost: int
    """No answer, or one that is neither a result nor a refusal."""
    memory_before_mb: float
    memory_most_mb: float


def overload(
    request: Request, *, per_second: float, seconds: float, memory_mb: Callable[[], float], cpus: Sequence[int] = ()
) -> Overload:
    """Send requests at a pace, each over a connection that is free, or a new one where there are not 200 yet.

    Args:
        request: What is sent.
        per_second: The pace.
        seconds: How long.
        memory_mb: Resident memory of the server now.
        cpus: Where this process runs meanwhile.
    """
    with pinned(cpus):
        return asyncio.run(_Overload(request, memory_mb).run(per_second, seconds))


class _Overload:
    def __init__(self, request: Request, memory_mb: Callable[[], float]) -> None:
        self._port, self._data, self._memory_mb = request.port, request.encoded(), memory_mb
        self._free: list[Connection] = []
        self._all: list[Connection] = []
        self._places = asyncio.Semaphore(_CONNECTIONS)
        self._accepted: list[float] = []
        self._refused: list[float] = []
        self._lost = 0

    async def run(self, per_second: float, seconds: float) -> Overload:
        before = most = self._memory_mb()
        sent: set[asyncio.Task[None]] = set()
        began = perf_counter()
        count = 0
        while (passed := perf_counter() - began) < seconds:
            for _ in range(int(passed * per_second) - count):
                task = asyncio.ensure_future(self._ask())
                sent.add(task)
                task.add_done_callback(sent.discard)
                count += 1
            if count % 100 == 0:
                most = max(most, self._memory_mb())
            await asyncio.sleep(0.001)
        if sent:
            await asyncio.wait(sent, timeout=_TAIL_S)
        most = max(most, self._memory_mb())
        self._lost += len(sent)
        for task in sent:
            task.cancel()
        await asyncio.gather(*(connection.close() for connection in self._all))
        return Overload(
            per_second=count / seconds,
            accepted=len(self._accepted),
            accepted_p50_ms=percentile(self._accepted, 50) * 1e3,
            accepted_p99_ms=percentile(self._accepted, 99) * 1e3,
            refused=len(self._refused),
            refused_p99_ms=percentile(self._refused, 99) * 1e3,
            refused_max_ms=max(self._refused, default=0.0) * 1e3,
            lost=self._lost,
            memory_before_mb=before,
            memory_most_mb=most,
        )

    async def _another(self) -> Connection:
        connection = await connected(self._port)
        self._all.append(connection)
        return connection

    async def _ask(self) -> None:
        began = perf_counter()
        async with self._places:
            try:
                connection = self._free.pop() if self._free else await self._another()
                status = await connection.ask(self._data)
            except OSError:
                self._lost += 1
                return
            self._free.append(connection)
        taken = perf_counter() - began
        if status == 200:
            self._accepted.append(taken)
        elif status in _REFUSED:
            self._refused.append(taken)
        else:
            self._lost += 1
