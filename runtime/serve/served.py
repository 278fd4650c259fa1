"""One version of one model, loaded, warm and answering."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edgepack.runtime.errors import InputError
from edgepack.runtime.serve.datatypes import to_protocol
from edgepack.runtime.serve.messages import ModelMetadata, RawMetadata, Spent, TensorMetadata
from edgepack.runtime.serve.settings import ModelSettings
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array, TensorSpec, check_names


class Served:
    """A session with its queue, as long as requests come to it. Use it as a context manager while a request runs.

    Attributes:
        name: The model's name in the repository.
        version: This version of it.
        session: What runs.
        metadata: What the protocol tells of it.
        in_flight: Requests that run or wait.
        used: When a request last came, by `time.monotonic`.
    """

    def __init__(self, name: str, version: str, session: Session, settings: ModelSettings) -> None:
        self.name, self.version, self.session, self.settings = name, version, session, settings
        self.metadata = _metadata(name, version, session)
        self.in_flight, self.used = 0, time.monotonic()

    def __enter__(self) -> "Served":
        self.in_flight += 1
        self.used = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.in_flight -= 1

    def checked(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors of a request as this model takes them; raises `InputError` before anything is queued."""
        check_names(self.session.inputs, inputs)
        return {spec.name: spec.check(inputs[spec.name]) for spec in self.session.inputs}

    async def infer(
        self, feeds: dict[str, Array], *, deadline: float | None = None, priority: int = 0
    ) -> tuple[dict[str, Array], Spent]:
        """Run checked tensors; `deadline` is a time of `time.monotonic`."""
        start = time.perf_counter_ns()
        outputs = self.session.run(feeds)
        return outputs, Spent(infer_ns=time.perf_counter_ns() - start)

    async def predict(
        self, samples: Sequence[Any], *, deadline: float | None = None, priority: int = 0
    ) -> tuple[list[Any], Spent]:
        """Run raw samples through the pack's steps."""
        if not samples:
            raise InputError("no sample; give one or more")
        start = time.perf_counter_ns()
        results = self.session.predict(list(samples))
        return results, Spent(infer_ns=time.perf_counter_ns() - start)

    async def close(self) -> None:
        """Give the memory back; nothing is in flight any more."""
        self.session.close()


def _metadata(name: str, version: str, session: Session) -> ModelMetadata:
    labels = session.manifest.labels if session.manifest else {}
    return ModelMetadata(
        name=name,
        versions=(version,),
        version=version,
        platform=f"edgepack_{session.variant}",
        inputs=tuple(_tensor(spec, ()) for spec in session.inputs),
        outputs=tuple(_tensor(spec, labels.get(spec.name, ())) for spec in session.outputs),
        raw=tuple(
            RawMetadata(raw.name, raw.kind, raw.told, dict(raw.first.options) if raw.first else {})
            for raw in session.raw_values
        ),
        results=_results(session),
        engine=session.engine.description,
        provider=session.provider,
        variant=session.variant,
    )


def _tensor(spec: TensorSpec, labels: Sequence[str]) -> TensorMetadata:
    shape = tuple(-1 if size is None else size for size in spec.shape)
    return TensorMetadata(spec.name, to_protocol(spec.dtype), shape, spec.meaning, tuple(labels))


_RESULTS = {"classify": "labels", "decide": "decision", "number": "number", "picture": "picture"}


def _results(session: Session) -> dict[str, str]:
    """What `predict` makes of each output."""
    steps = session.manifest.steps.outputs if session.manifest else {}
    last = {name: chain[-1].step for name, chain in steps.items() if chain}
    return {spec.name: _RESULTS.get(last.get(spec.name, ""), "array") for spec in session.outputs}


def told(metadata: ModelMetadata, versions: Sequence[str], labels: Sequence[str]) -> ModelMetadata:
    """Metadata with what the repository knows beside it."""
    return msgspec.structs.replace(metadata, versions=tuple(versions), labels=tuple(labels))
