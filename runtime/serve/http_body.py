"""Bodies of requests and replies: bounded while they are read, unpacked and packed as their headers say."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from typing import TypeVar

import msgspec

from edgepack.runtime.errors import InputError, OverloadedError, ServeError, TooLargeError, one_line
from edgepack.runtime.serve.http_wire import BINARY, RefusedError, Reply, Request

_ANY_WRAPPING = 32 + zlib.MAX_WBITS  # gzip or zlib, told by the first bytes
_LARGE_BYTES = 262_144
_LONG_PACKING_BYTES = 8_192  # packing more takes longer than a request
_LONG_UNPACKING_BYTES = 65_536
_HELD_BYTES = 16_384  # smaller bodies are bounded by the number of connections
WORTH_PACKING_BYTES = 1_400  # less fits one packet anyway
_TRIED_BYTES = 4_096  # of a large body, so many are packed to see whether it pays
_PASS_OVER_S = 1.0  # a body of a refused request may take so long
_PAYS = 0.6  # what must be left of them at most
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, 1, mtime=0),
    "deflate": lambda body: zlib.compress(body, 1),
}

Told = TypeVar("Told")


def is_large(size_bytes: int) -> bool:
    """Whether what is done with so many bytes is left to a thread, so that others are answered meanwhile."""
    return size_bytes > _LARGE_BYTES


async def worked(call: Callable[[], Told], size_bytes: int) -> Told:
    """What a function gives that goes through so many bytes, called here or in a thread."""
    return await asyncio.to_thread(call) if is_large(size_bytes) else call()


async def read(request: Request) -> bytes:
    """The body of a request, unpacked.

    Raises:
        TooLargeError: It has more bytes than the server takes, packed or unpacked.
        OverloadedError: Other bodies take all the memory there is for them.
        InputError: It says it is packed, and is not.
        RefusedError: It is packed in a way that is not taken (415).
    """
    flight, flights = request.flight, request.place.flights
    assert flight is not None
    most = request.place.settings.limits.body_bytes
    headers = request.headers
    length = headers.get("content-length")
    if length is None:
        body = await _counted(request, most)
    elif not length.isdecimal() or len(length) > 18 or int(length) > most:
        raise TooLargeError(f"the body has {length[:20]} bytes; at most {most:,} are taken")
    else:
        if int(length) > _HELD_BYTES:
            flights.hold(flight, int(length))
        body = await request.exchange()
    flight.is_reading = False
    encoding = headers.get("content-encoding")
    if encoding is None:
        return body
    unpacked = await _unpacked(body, encoding.strip().lower(), most)
    flights.hold(flight, len(unpacked))
    return unpacked


async def read_for_model(request: Request) -> bytes:
    """The body of a request for a model, if that can take another request; raises as `read` does.

    A refusal comes before the body is read: reading a large one may cost more than the run would.
    """
    place, flight = request.place, request.flight
    assert flight is not None
    try:
        flight.coming = place.plane.admit(request.name, request.version, lag_s=place.flights.lag_s)
    except OverloadedError:
        flight.closes = not await _passed_over(request)
        raise
    body = await read(request)
    if flight.coming is not None:
        flight.coming.read()
    return body


def end(request: Request) -> None:
    """The tensors of a request for a model are read: what the event loop spent on them counts."""
    if request.flight is not None and request.flight.coming is not None:
        request.flight.coming.end()


def pass_on(request: Request) -> None:
    """The body of a request for a model is there, and is read elsewhere than in the event loop."""
    if request.flight is not None and request.flight.coming is not None:
        request.flight.coming.pass_on()


async def _passed_over(request: Request) -> bool:
    """Whether the connection can be used again: the body is there soon, and is dropped.

    A client that sends a large body would meet a closed connection before it reads why.
    """
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or len(length) > 18 or request.headers.get("expect"):
        return False
    if int(length) > request.place.settings.limits.body_bytes:
        return False
    assert request.flight is not None
    try:
        request.place.flights.hold(request.flight, int(length))
        await asyncio.wait_for(request.exchange(), _PASS_OVER_S)
    except (ServeError, TimeoutError):
        return False
    return True


async def read_json(request: Request, kind: type[Told]) -> Told:
    """The body of a small request as JSON; an empty one is `{}`. Raises as `read` does, and `InputError`."""
    body = await read(request)
    try:
        return msgspec.json.decode(body.strip() or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"the body is not the JSON that is taken here: {one_line(error)}") from None


async def packed(reply: Reply, accepted: str) -> Reply:
    """A reply as the client takes it: packed where that saves something. Numbers in binary hold nothing to save."""
    body = reply.body
    if len(body) < WORTH_PACKING_BYTES or reply.content_type == BINARY:
        return reply
    offered = {
        one.partition(";")[0].strip().lower() for one in accepted.split(",") if "q=0" not in one.replace("q=0.", "")
    }
    encoding = next((name for name in _PACKERS if name in offered), None)
    if encoding is None:
        return reply
    pack = _PACKERS[encoding]
    tried = body[:_TRIED_BYTES]
    if len(pack(tried)) > _PAYS * len(tried):
        return reply
    headers = (*reply.headers, ("content-encoding", encoding), ("vary", "accept-encoding"))
    body = pack(body) if len(body) < _LONG_PACKING_BYTES else await asyncio.to_thread(pack, body)
    return reply._replace(body=body, headers=headers)


async def _counted(request: Request, most: int) -> bytes:
    """A body of unknown length, as long as it does not grow too large."""
    flight = request.flight
    assert flight is not None
    pieces, size = [], 0
    async for piece in request.exchange:
        size += len(piece)
        if size > most:
            raise TooLargeError(f"the body has more than {most:,} bytes, which is the most that is taken")
        request.place.flights.hold(flight, len(piece))
        pieces.append(bytes(piece))
    return b"".join(pieces)


async def _unpacked(body: bytes, encoding: str, most: int) -> bytes:
    if encoding == "identity":
        return body
    if encoding not in _PACKERS:
        raise RefusedError(415, f"content-encoding {encoding[:40]!r} is not taken; send gzip, deflate or none")
    if len(body) < _LONG_UNPACKING_BYTES:
        return _inflated(body, most)
    return await asyncio.to_thread(_inflated, body, most)


def _inflated(body: bytes, most: int) -> bytes:
    """What was packed, never more of it than is taken: a small body can claim to be any size."""
    unpacker = zlib.decompressobj(_ANY_WRAPPING)
    try:
        data = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise InputError(f"the body is not packed as its content-encoding says: {error}") from None
    if len(data) > most:
        raise TooLargeError(f"the body unpacks to more than {most:,} bytes, which is the most that is taken")
    if not unpacker.eof or unpacker.unused_data:
        raise InputError("the packed body is cut off, or has bytes behind its end")
    return data
