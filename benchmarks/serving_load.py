"""Load on a server: requests of the same bytes over connections that stay open, and how long each answer took.

`wrk` sends it where it is installed, else this process does: slower, and told in the result.
"""

import asyncio
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import msgspec

from edgepack.runtime.errors import EngineError

_SLOWEST_S = 30.0
_WRK = """
local file = assert(io.open(os.getenv("EDGEPACK_REQUEST"), "rb"))
local whole = file:read("*a")
function request() return whole end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
"""


class Request(NamedTuple):
    """What is sent, and where to."""

    port: int
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def encoded(self) -> bytes:
        """All its bytes as HTTP/1.1 has them."""
        lines = [f"POST {self.path} HTTP/1.1", f"host: 127.0.0.1:{self.port}", f"content-length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + self.body


class Load(msgspec.Struct, frozen=True):
    """One turn."""

    requests_per_s: float
    p50_us: float
    p99_us: float
    failed: int
    """Lost, or answered with another status than 2xx."""


class Connection(asyncio.Protocol):
    """One connection that stays open, for one request after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._buffer = bytearray()
        self._closed = asyncio.get_running_loop().create_future()

    async def ask(self, request: bytes) -> int:
        """The status of the answer; raises `ConnectionError` where the connection broke."""
        if self._transport is None or self._closed.done():
            raise ConnectionResetError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    async def close(self) -> None:
        """Close it, and return when it is closed."""
        if self._transport is not None:
            self._transport.abort()
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102 - of asyncio
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: D102
        self._buffer += data
        end = answer_end(self._buffer)
        if end is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(int(self._buffer[9:12]))
            del self._buffer[:end]

    def connection_lost(self, error: Exception | None) -> None:  # noqa: D102
        self._closed.set_result(None)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the server closed the connection"))


_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def answer_end(buffer: bytes | bytearray) -> int | None:
    """Where the answer at the beginning of `buffer` ends; None while some of it is missing."""
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return None
    found = _LENGTH.search(buffer, 0, head + 2)
    if found is None:
        raise EngineError("the server answers without content-length, which this generator of load cannot read")
    end = head + 4 + int(found[1])
    return end if len(buffer) >= end else None


async def connected(port: int) -> Connection:
    """A new connection to a server on this machine."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


@contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Keep this process, and those it starts meanwhile, on these CPUs; none is wherever they were."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def generator() -> str:
    """What sends the load here."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def load(request: Request, *, connections: int, seconds: float, cpus: Sequence[int] = (), wrk: bool = True) -> Load:
    """Send the same request over several connections, on each the next one as soon as the answer is there.

    Args:
        request: What is sent.
        connections: How many stay open.
        seconds: How long.
        cpus: Where the generator runs.
        wrk: Whether `wrk` may send it, where it is installed.

    Raises:
        EngineError: Nothing was answered.
    """
    with pinned(cpus):
        if wrk and generator() == "wrk":
            return _by_wrk(request, connections, seconds)
        return asyncio.run(_by_hand(request, connections, seconds))


def _by_wrk(request: Request, connections: int, seconds: float) -> Load:
    with tempfile.TemporaryDirectory(prefix="edgepack-load-") as folder:
        body, script = Path(folder, "request"), Path(folder, "load.lua")
        body.write_bytes(request.encoded())
        script.write_text(_WRK, encoding="ascii")
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", f"--timeout={_SLOWEST_S:g}s",
             "-s", str(script), f"http://127.0.0.1:{request.port}"],
            env={**os.environ, "EDGEPACK_REQUEST": str(body)},
            capture_output=True, text=True, timeout=seconds + 60, check=False,
        )  # fmt: skip
    found = re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.MULTILINE)
    if found is None or not int(found[1]):
        raise EngineError(f"wrk had no answer from port {request.port}: {(done.stderr or done.stdout).strip()[-300:]}")
    requests, duration_us, p50_us, p99_us, failed = map(int, found.groups())
    return Load((requests - failed) / duration_us * 1e6, p50_us, p99_us, failed)


async def _by_hand(request: Request, connections: int, seconds: float) -> Load:
    data = request.encoded()
    laps: list[float] = []
    failed = 0
    end = perf_counter() + seconds

    async def keep_asking() -> None:
        nonlocal failed
        connection = await connected(request.port)
        while (began := perf_counter()) < end:
            try:
                status = await asyncio.wait_for(connection.ask(data), _SLOWEST_S)
            except (ConnectionError, TimeoutError):
                failed += 1
                await connection.close()
                connection = await connected(request.port)
                continue
            if status // 100 == 2:
                laps.append(perf_counter() - began)
            else:
                failed += 1
        await connection.close()

    await asyncio.gather(*(keep_asking() for _ in range(connections)))
    if len(laps) < 2:
        raise EngineError(f"port {request.port} answered {len(laps)} requests well and {failed} not")
    return Load(len(laps) / seconds, statistics.median(laps) * 1e6, percentile(laps, 99) * 1e6, failed)


def percentile(laps: Sequence[float], percent: int) -> float:
    """The lap that `percent` of all are not longer than; 0 of none."""
    return sorted(laps)[min(len(laps) - 1, len(laps) * percent // 100)] if laps else 0.0
