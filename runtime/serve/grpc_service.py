"""The methods of `inference.GRPCInferenceService` on the data plane."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edgepack.runtime.errors import InputError, NotServedError
from edgepack.runtime.serve.datatypes import BYTES
from edgepack.runtime.serve.grpc_calls import Calls
from edgepack.runtime.serve.grpc_messages import SERVICE, message, parsed
from edgepack.runtime.serve.grpc_requests import to_request
from edgepack.runtime.serve.grpc_stream import Streams
from edgepack.runtime.serve.grpc_tensors import set_parameters, to_response
from edgepack.runtime.serve.messages import Parameters, TensorMetadata
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.settings import Settings

# Kind of a call for the guard; what is not here reads.
_KINDS = {
    "ServerLive": "open", "ServerReady": "open", "ModelReady": "open",
    "RepositoryModelLoad": "admin", "RepositoryModelUnload": "admin",
}  # fmt: skip


class Service:
    """The service: `handlers` for a server, `streams` to end those that are open."""

    def __init__(self, plane: Plane, settings: Settings, calls: Calls, metrics: Metrics) -> None:
        self._plane, self._metrics, self._most_tensors = plane, metrics, settings.limits.tensors
        self._calls = calls
        self.streams = Streams(self._calls, self._streamed)

    def handlers(self) -> Any:
        """The service as a generic handler of grpcio."""
        import grpc

        methods: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        unary = {name: self._message_handler(name, method) for name, method in methods.items()}
        unary["ModelInfer"] = self._calls.unary("read", self._infer)
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {name: grpc.unary_unary_rpc_method_handler(handler) for name, handler in unary.items()}
            | {"ModelStreamInfer": grpc.stream_stream_rpc_method_handler(self.streams.handle)},
        )

    def _message_handler(
        self, name: str, method: Callable[[Any], Awaitable[Any]]
    ) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def work(data: bytes, _: Any) -> bytes:
            try:
                answer = await method(parsed(f"{name}Request", data))
            except Exception as error:
                self._calls.count(error)
                raise
            return bytes(answer.SerializeToString())

        return self._calls.unary(_KINDS.get(name, "read"), work)

    async def _infer(self, data: bytes, context: Any, *, streamed: bool = False) -> bytes:
        request = None
        try:
            request = to_request(data, most_tensors=self._most_tensors, remaining_s=context.time_remaining())
            answer = await self._plane.infer(request)
            response = to_response(message("ModelInferResponse")(), answer, streamed=streamed)
        except (Exception, asyncio.CancelledError) as error:  # the latter is a caller that went away
            # Names that no model has are the client's invention: a counter for each would grow without end.
            known = request is not None and not isinstance(error, NotServedError)
            model, version = (request.model, request.version) if request and known else ("", "")
            self._calls.count(error, model, version)
            raise
        self._metrics.answered(answer.model, answer.version, "grpc", answer.spent, len(response))
        return response

    async def _streamed(self, data: bytes, context: Any) -> bytes:
        return await self._infer(data, context, streamed=True)

    async def _server_live(self, _: Any) -> Any:
        return message("ServerLiveResponse")(live=self._plane.live())

    async def _server_ready(self, _: Any) -> Any:
        return message("ServerReadyResponse")(ready=self._plane.ready())

    async def _model_ready(self, request: Any) -> Any:
        return message("ModelReadyResponse")(ready=self._plane.model_ready(request.name, request.version))

    async def _server_metadata(self, _: Any) -> Any:
        told = self._plane.server()
        return message("ServerMetadataResponse")(name=told.name, version=told.version, extensions=told.extensions)

    async def _model_metadata(self, request: Any) -> Any:
        told = await self._plane.model(request.name, request.version)
        answer = message("ModelMetadataResponse")(name=told.name, versions=told.versions, platform=told.platform)
        for tensors, target in ((told.inputs, answer.inputs), (told.outputs, answer.outputs)):
            for tensor in tensors:
                added = target.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
                set_parameters(added.parameters, _said(meaning=tensor.meaning, labels=_list(tensor.labels)))
        said = _said(
            version=told.version, variant=told.variant, engine=told.engine, provider=told.provider,
            summary=told.summary, labels=_list(told.labels),
        )  # fmt: skip
        set_parameters(answer.parameters, said)
        return answer

    async def _model_config(self, request: Any) -> Any:
        told = await self._plane.model(request.name, request.version)
        config = message("ModelConfig")(name=told.name, platform=told.platform, backend="edgepack")
        for tensors, target in ((told.inputs, config.input), (told.outputs, config.output)):
            for tensor in tensors:
                target.add(name=tensor.name, data_type=_config_type(tensor), dims=tensor.shape)
        config.model_transaction_policy.decoupled = False
        return message("ModelConfigResponse")(config=config)

    async def _index(self, request: Any) -> Any:
        _check_repository(request)
        answer = message("RepositoryIndexResponse")()
        for entry in self._plane.index(ready=request.ready):
            answer.models.add(
                name=entry.name, version=entry.version, state=entry.state, reason=entry.reason, cause=entry.cause
            )
        return answer

    async def _load(self, request: Any) -> Any:
        await self._plane.repository.load(request.model_name, _version(request, ()))
        return message("RepositoryModelLoadResponse")()

    async def _unload(self, request: Any) -> Any:
        await self._plane.repository.unload(request.model_name, _version(request, ("unload_dependents",)))
        return message("RepositoryModelUnloadResponse")()


def _said(**values: str) -> Parameters:
    return {name: value for name, value in values.items() if value}


def _list(labels: tuple[str, ...]) -> str:
    return json.dumps(labels, ensure_ascii=False) if labels else ""


def _config_type(tensor: TensorMetadata) -> str:
    return "TYPE_STRING" if tensor.datatype == BYTES else f"TYPE_{tensor.datatype}"


def _check_repository(request: Any) -> None:
    if request.repository_name:
        raise InputError(f"there is no repository {request.repository_name[:80]!r}; leave the name empty")


def _version(request: Any, passed_over: tuple[str, ...]) -> str:
    """The version that a request to load or unload names; raises `InputError` at a parameter that is not taken."""
    _check_repository(request)
    given: Mapping[str, Any] = request.parameters
    for name in given:
        if name != "version" and name not in passed_over:
            raise InputError(
                f"parameter {name[:80]!r} is not taken: a model is loaded from its pack as it is; push another version"
            )
    return str(given["version"].string_param) if "version" in given else ""
