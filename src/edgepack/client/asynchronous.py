"""The async client: what the sync one does, with `await`."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgepack.client.calls import Call, Conversation, Done, Lost, Patience, Pause, Reply, Result, advance
from edgepack.client.core import Core, Wish, one_or_all
from edgepack.client.transport import (
    CONNECTIONS,
    RETRIES,
    TIMEOUT_S,
    Address,
    Verify,
    checked_url,
    library,
    lost_of,
    reply_of,
    request_of,
)
from edgepack.runtime.serve.messages import IndexEntry, InferAnswer, ModelMetadata
from edgepack.runtime.tensor import Array

if TYPE_CHECKING:
    from edgepack.client.core import Inputs


class AsyncClient:
    """`Client` for one event loop of asyncio, with its arguments, results and errors; an async context manager.

    As many requests are under way at once as there are `connections`; others wait for one of them.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        binary: bool = True,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        connections: int = CONNECTIONS,
        verify: Verify = True,
    ) -> None:
        self.url = checked_url(url)
        self._core = Core(self.url, binary=binary, timeout_s=timeout_s, patience=Patience(retries))
        self._http = library().AsyncClient(**Address(self.url, token, verify, connections).options())

    async def predict(
        self,
        model: str,
        sample: Any,
        *,
        version: str = "",
        request_id: str = "",
        timeout_s: float | None = None,
        priority: int = 0,
    ) -> Any:
        """As `Client.predict`; files are read, and samples brought into form, in a thread."""
        wish = Wish(model, version, request_id, timeout_s, priority)
        return await self._run(self._core.predict(sample, wish), in_thread=True)

    async def run(
        self,
        model: str,
        inputs: "Inputs",
        *,
        outputs: Sequence[str] = (),
        version: str = "",
        request_id: str = "",
        timeout_s: float | None = None,
        priority: int = 0,
    ) -> dict[str, Array]:
        """As `Client.run`."""
        wish = Wish(model, version, request_id, timeout_s, priority)
        return (await self._run(self._core.infer(inputs, outputs, wish))).outputs

    async def infer(
        self, model: str, inputs: "Inputs", *, outputs: Sequence[str] = (), version: str = ""
    ) -> InferAnswer:
        """As `Client.infer`."""
        return await self._run(self._core.infer(inputs, outputs, Wish(model, version)))

    async def __call__(self, model: str, inputs: "Inputs", *, version: str = "") -> Array | dict[str, Array]:
        """As a call of a `Client`."""
        return one_or_all(await self.run(model, inputs, version=version))

    async def live(self) -> bool:
        """As `Client.live`."""
        return await self._run(self._core.is_well("/v2/health/live"))

    async def ready(self, model: str = "", *, version: str = "") -> bool:
        """As `Client.ready`."""
        return await self._run(self._core.ready(Wish(model, version)))

    async def models(self, *, ready: bool = False) -> list[IndexEntry]:
        """As `Client.models`."""
        return await self._run(self._core.index(ready=ready))

    async def model(self, model: str, *, version: str = "") -> ModelMetadata:
        """As `Client.model`."""
        return await self._run(self._core.model(Wish(model, version)))

    async def load(self, model: str, *, version: str = "", timeout_s: float | None = None) -> None:
        """As `Client.load`."""
        await self._run(self._core.administer(Wish(model, version, timeout_s=timeout_s), "load"))

    async def unload(self, model: str, *, version: str = "", timeout_s: float | None = None) -> None:
        """As `Client.unload`."""
        await self._run(self._core.administer(Wish(model, version, timeout_s=timeout_s), "unload"))

    async def rollback(self, model: str) -> str:
        """As `Client.rollback`."""
        return await self._run(self._core.rollback(Wish(model)))

    async def set_label(self, model: str, label: str, version: str) -> None:
        """As `Client.set_label`."""
        await self._run(self._core.set_label(Wish(model, version), label))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<edgepack.client.AsyncClient {self.url}>"

    async def _run(self, conversation: Conversation[Result], *, in_thread: bool = False) -> Result:
        """Have a conversation to its end."""
        found: Reply | Lost | None = None
        while True:
            step = await asyncio.to_thread(advance, conversation, found) if in_thread else advance(conversation, found)
            if isinstance(step, Done):
                return step.result
            found = await self._after(step)

    async def _after(self, step: Call | Pause) -> Reply | Lost | None:
        """Send or wait; what came of it."""
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return reply_of(await self._http.request(**request_of(step)))
        except library().TransportError as error:
            return lost_of(error)
