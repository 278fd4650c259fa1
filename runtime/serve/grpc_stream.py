"""Streams of requests: many over one call, each answered in its turn."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from edgepack.runtime.errors import InputError, NotReadyError
from edgepack.runtime.serve.grpc_calls import REQUEST_ID, Caller, Calls, caller, refuse, tell
from edgepack.runtime.serve.grpc_messages import message, parsed
from edgepack.runtime.serve.grpc_wire import split

_DEPTH = 16  # requests of one stream that are under way at most: enough to fill a batch, and no client floods the rest

Work = Callable[[bytes, Any], Awaitable[bytes]]


class Streams:
    """The handler of `ModelStreamInfer`, and the streams that are open.

    Args:
        calls: What every call goes through; each request of a stream counts as one.
        work: Answers a serialized `ModelInferRequest` with a serialized `ModelStreamInferResponse`.
    """

    def __init__(self, calls: Calls, work: Work) -> None:
        self._calls, self._work = calls, work
        self._reading: set[asyncio.Task[None]] = set()
        self._stopping = False

    def stop(self) -> None:
        """Take no further request; those under way are answered before their streams end."""
        self._stopping = True
        for reading in self._reading:
            reading.cancel()

    async def handle(self, requests: Any, context: Any) -> None:
        """Answer the requests of one stream in their order; a client that is gone cancels what is under way."""
        who = caller(context)
        await self._welcome(context, who)
        context.set_trailing_metadata(((REQUEST_ID, who.request_id),))
        answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
        room = asyncio.Semaphore(_DEPTH)
        async with asyncio.TaskGroup() as group:

            async def read() -> None:
                try:
                    async for data in requests:
                        await room.acquire()
                        answers.put_nowait(group.create_task(self._answer(data, context, who)))
                finally:
                    answers.put_nowait(None)

            reading = group.create_task(read())
            self._reading.add(reading)
            reading.add_done_callback(self._reading.discard)
            while answer := await answers.get():
                await context.write(await answer)
                room.release()
        if self._stopping:
            await refuse(context, NotReadyError("the server is stopping; open another stream"), who.request_id)

    async def _welcome(self, context: Any, who: Caller) -> None:
        try:
            self._calls.check("read", who)
        except Exception as error:  # noqa: BLE001 - the border: every error becomes a status
            await refuse(context, error, who.request_id)

    async def _answer(self, data: bytes, context: Any, who: Caller) -> bytes:
        """A serialized `ModelStreamInferResponse`; an error is told in it, as Triton does."""
        try:
            self._calls.check("read", who)
            return await self._work(data, context)
        except Exception as error:  # noqa: BLE001 - the border: the stream goes on
            failed = message("ModelInferResponse")(id=_id(data))
            told = message("ModelStreamInferResponse")(error_message=tell(error, who.request_id), infer_response=failed)
            return bytes(told.SerializeToString())


def _id(data: bytes) -> str:
    try:
        return str(parsed("ModelInferRequest", split(data)[0]).id)
    except InputError:
        return ""
