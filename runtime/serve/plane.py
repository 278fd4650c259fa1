"""The data plane: what a server answers, whatever the protocol."""

import time
from collections.abc import Sequence

from edgepack.runtime.errors import InputError
from edgepack.runtime.serve.arrivals import Coming
from edgepack.runtime.serve.messages import (
    IndexEntry,
    InferAnswer,
    InferRequest,
    ModelMetadata,
    PredictAnswer,
    PredictRequest,
    ServerMetadata,
)
from edgepack.runtime.serve.repository import Repository
from edgepack.runtime.serve.served import Served, told

EXTENSIONS = ("binary_tensor_data", "model_repository", "model_repository(unload_dependents)")


class Plane:
    """Everything a face can ask for. Errors are those of `edgepack.runtime.errors`; `failures` says how to tell them.

    Args:
        repository: The models.
        version: What the server tells of itself: edgepack's own.

    Attributes:
        is_held: Whether the process starts or stops: it answers what comes, and says that it is not ready for more.
    """

    def __init__(self, repository: Repository, version: str) -> None:
        self.repository, self._version = repository, version
        self.is_held = False

    def live(self) -> bool:
        """Whether the process answers at all."""
        return True

    def ready(self) -> bool:
        """Whether the models that should be served are."""
        return not self.is_held and self.repository.all_ready()

    def model_ready(self, name: str, version: str = "") -> bool:
        """Whether a model, or one version of it, answers now."""
        return self.repository.ready(name, version) is not None

    def server(self) -> ServerMetadata:
        """What this server is."""
        return ServerMetadata("edgepack", self._version, EXTENSIONS)

    async def model(self, name: str, version: str = "") -> ModelMetadata:
        """What a model is; raises `NotServedError`, `NotReadyError`."""
        served = await self._served(name, version)
        pointing = [label for label, at in self.repository.labels(name).items() if at == served.version]
        return told(served.metadata, self.repository.versions(name), pointing)

    def admit(self, name: str, version: str = "", *, lag_s: float = 0.0) -> Coming | None:
        """Ask before its body is read whether a model can take another request; raises `OverloadedError` at once.

        Args:
            name: The model.
            version: A version or a label; empty is the default.
            lag_s: How late the event loop is.

        Returns:
            To be ended when the request is there; None where the model is not loaded, which the request itself tells.
        """
        served = self.repository.ready(name, version)
        return served.admit(lag_s) if served is not None else None

    async def infer(self, request: InferRequest) -> InferAnswer:
        """Run tensors through a model.

        Raises:
            NotServedError, NotReadyError: The model or version does not answer.
            InputError: Names, datatypes or shapes that do not fit, or outputs it does not have.
            OverloadedError: The queue is full.
            DeadlineError: It would come too late.
        """
        begun = time.monotonic()
        served = await self._served(request.model, request.version, request.timeout_s)
        with served:
            wanted = request.outputs and _wanted(served, request.outputs)
            feeds = served.checked(request.inputs)
            deadline = _deadline(served, request.timeout_s, begun)
            outputs, spent = await served.infer(feeds, deadline=deadline, priority=request.priority)
        if wanted:
            outputs = {name: outputs[name] for name in wanted}
        return InferAnswer(served.name, served.version, outputs, request.id, spent=spent)

    async def predict(self, request: PredictRequest) -> PredictAnswer:
        """Run raw samples through a model's own steps; raises as `infer` does, and `StepError`."""
        begun = time.monotonic()
        served = await self._served(request.model, request.version, request.timeout_s)
        with served:
            deadline = _deadline(served, request.timeout_s, begun)
            samples = request.samples if isinstance(request.samples, list) else await request.samples(served.metadata)
            results, spent = await served.predict(samples, deadline=deadline, priority=request.priority)
        return PredictAnswer(served.name, served.version, results, request.id, spent, served.metadata.results)

    def index(self, *, ready: bool = False) -> list[IndexEntry]:
        """Every version of every model; only those that answer with `ready`."""
        found = self.repository.index()
        return [entry for entry in found if entry.state == "READY"] if ready else found

    async def _served(self, name: str, version: str, timeout_s: float | None = None) -> Served:
        return self.repository.ready(name, version) or await self.repository.fetch(name, version, timeout_s)


def _deadline(served: Served, timeout_s: float | None, begun: float) -> float:
    return begun + (served.settings.timeout_s if timeout_s is None else timeout_s)


def _wanted(served: Served, names: Sequence[str]) -> Sequence[str]:
    own = [spec.name for spec in served.session.outputs]
    unknown = [name for name in names if name not in own]
    if unknown:
        raise InputError(f"model {served.name!r} has no output {unknown[0][:80]!r} (outputs: {', '.join(own)})")
    return names
