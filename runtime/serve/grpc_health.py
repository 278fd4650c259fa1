"""The standard services beside inference: health as grpc knows it, and reflection of what the server speaks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from edgepack.runtime.errors import NotServedError
from edgepack.runtime.serve.grpc_calls import Calls, caller, refuse
from edgepack.runtime.serve.grpc_messages import SERVICE, pool
from edgepack.runtime.serve.plane import Plane

_POLL_S = 1.0


class Health:
    """Health of the server (`""` and the service's name) and of its models (`NAME`, `NAME/VERSION`, `NAME/stable`)."""

    def __init__(self, plane: Plane, calls: Calls) -> None:
        self._plane, self._calls = plane, calls
        self._stopping = asyncio.Event()

    def add_to(self, server: Any) -> None:
        """Serve `grpc.health.v1.Health` on a server."""
        import grpc
        from grpc_health.v1 import health_pb2

        asked = health_pb2.HealthCheckRequest.FromString
        written = health_pb2.HealthCheckResponse.SerializeToString
        name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, asked, written),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, asked, written),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))

    def stop(self) -> None:
        """Say from now on that nothing is served, and end the watches once they have said so."""
        self._stopping.set()

    async def _check(self, request: Any, context: Any) -> Any:
        from grpc_health.v1 import health_pb2

        await self._allow(context)
        status = self._status(request.service)
        if status == "SERVICE_UNKNOWN":
            error = NotServedError(f"no model {request.service[:80]!r} is served")
            await refuse(context, error, caller(context).request_id)
        return health_pb2.HealthCheckResponse(status=status)

    async def _watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        from grpc_health.v1 import health_pb2

        await self._allow(context)
        last = None
        while last is None or not self._stopping.is_set():
            if (status := self._status(request.service)) != last:
                last = status
                yield health_pb2.HealthCheckResponse(status=status)
            await self._next_poll()
        if last != (status := self._status(request.service)):
            yield health_pb2.HealthCheckResponse(status=status)

    async def _next_poll(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), _POLL_S)
        except TimeoutError:
            return

    async def _allow(self, context: Any) -> None:
        who = caller(context)
        try:
            self._calls.check("open", who)
        except Exception as error:  # noqa: BLE001 - the border: every error becomes a status
            await refuse(context, error, who.request_id)

    def _status(self, service: str) -> str:
        """The name of a `ServingStatus`."""
        name, _, version = service.partition("/")
        if service in {"", SERVICE}:
            ready = self._plane.live() and self._plane.ready()
        elif self._plane.model_ready(name, version):
            ready = True
        elif any(entry.name == name and version in {"", entry.version, *entry.labels} for entry in self._plane.index()):
            ready = False
        else:
            return "SERVICE_UNKNOWN"
        return "SERVING" if ready and not self._stopping.is_set() else "NOT_SERVING"


def add_reflection(server: Any, calls: Calls) -> None:
    """Serve `grpc.reflection.v1alpha.ServerReflection` on a server, over the pool of our own."""
    from grpc_health.v1 import health_pb2
    from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

    files = (health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)
    for file in files:
        pool().AddSerializedFile(file.serialized_pb)
    names = (SERVICE, *(service.full_name for file in files for service in file.services_by_name.values()))

    class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc] # grpcio has no types
        async def ServerReflectionInfo(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - gRPC's
            who = caller(context)
            try:
                calls.check("read", who)
            except Exception as error:  # noqa: BLE001 - the border: every error becomes a status
                await refuse(context, error, who.request_id)
            async for answer in super().ServerReflectionInfo(requests, context):
                yield answer

    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(Reflection(names, pool=pool()), server)
