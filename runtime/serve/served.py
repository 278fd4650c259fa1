"""One version of one model, loaded, warm and answering."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np

from edgepack.runtime import streaming
from edgepack.runtime.errors import EngineError, InputError, TooLargeError
from edgepack.runtime.serve import predicting
from edgepack.runtime.serve.arrivals import Arrivals, Coming
from edgepack.runtime.serve.batcher import Batcher, closing, too_late
from edgepack.runtime.serve.datatypes import to_protocol
from edgepack.runtime.serve.messages import ModelMetadata, RawMetadata, Spent, TensorMetadata
from edgepack.runtime.serve.settings import ModelSettings
from edgepack.runtime.serve.tuning import Plan, size_of
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array, TensorSpec

T = TypeVar("T")

_ALWAYS_ON_LOOP = 64  # requests of a model that runs on the event loop are let come, however slow it seems


class Served:
    """A session with its line, as long as requests come to it. Use it as a context manager while a request runs.

    Make one with `opened.open_served`.

    Attributes:
        name: The model's name in the repository.
        version: This version of it.
        session: What runs.
        metadata: What the protocol tells of it.
        plan: How it is run: alone or in batches, and why.
        in_flight: Requests that run or wait.
        used: When a request last came, by `time.monotonic`.
    """

    def __init__(
        self, name: str, version: str, session: Session, settings: ModelSettings, plan: Plan | None = None,
        sample: Mapping[str, Array] | None = None,
    ) -> None:  # fmt: skip
        """Take what runs.

        Args:
            name: The model's name.
            version: Its version.
            session: What runs; it is closed with this.
            settings: How it is served.
            plan: How it is run; None runs each request alone, in a thread.
            sample: Tensors that are known to run: what fails while these do not is the request's fault.
        """
        self.name, self.version, self.session, self.settings = name, version, session, settings
        self.plan, self._sample = plan or Plan(), dict(sample or {})
        self.metadata = _metadata(name, version, session)
        self.in_flight, self.used = 0, time.monotonic()
        self._texts = tuple(spec.name for spec in session.inputs if spec.dtype == "string")
        self._alone = self.plan.max_rows == 1
        self._takes_rows, self._shares = session.takes_rows, can_share(session)
        self._batcher = Batcher(
            self._run, self.plan, delay_s=settings.batch.max_delay_ms / 1e3, queue_rows=settings.batch.queue_rows,
            queue_s=settings.batch.queue_ms / 1e3, name=name,
        )  # fmt: skip
        self._arrivals = Arrivals()
        self._is_on_loop = self._alone and self.plan.short_size > 0
        self._always = _ALWAYS_ON_LOOP if self._is_on_loop else 1

    def __enter__(self) -> "Served":
        self.in_flight += 1
        self.used = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.in_flight -= 1

    @property
    def waiting_rows(self) -> int:
        """How many rows wait for their turn."""
        return self._batcher.waiting_rows

    def tell_waiting(self, on_wait: Callable[[int], None]) -> None:
        """Tell `on_wait` how many rows wait, whenever that has changed."""
        self._batcher.on_wait = on_wait

    def admit(self, lag_s: float = 0.0) -> Coming:
        """Let a request come whose body is not read yet; raises `OverloadedError` where it would wait too long.

        Args:
            lag_s: How late the event loop is.
        """
        arrivals = self._arrivals
        if arrivals.count >= self._always or self._batcher.waiting_rows:
            line_s = 0.0 if self._is_on_loop else self._batcher.seconds(arrivals.count)
            self._batcher.check_room(arrivals.count, 1, lag_s + arrivals.wait_s + line_s)
        return arrivals.begin()

    def checked(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors of a request as this model takes them; raises `InputError` before anything is queued.

        Text comes as bytes and is read as UTF-8; inputs that are the model's own state may be left out.
        """
        if self._texts:
            inputs = {name: _as_text(name, array) if name in self._texts else array for name, array in inputs.items()}
        return self.session.check(inputs)

    async def infer(
        self, feeds: dict[str, Array], *, deadline: float | None = None, priority: int = 0
    ) -> tuple[dict[str, Array], Spent]:
        """Run checked tensors; the outputs are the caller's own.

        Args:
            feeds: What `checked` gave.
            deadline: A time of `time.monotonic`.
            priority: Higher is served first among those that wait.

        Raises:
            TooLargeError: It has more rows than one request may have.
            OverloadedError: The line is full.
            DeadlineError: The deadline passed before it could run.
            InputError: The engine refuses these numbers, and runs others.
            EngineError: The engine fails.
            NotReadyError: The model is being closed.
        """
        rows = len(next(iter(feeds.values()))) if self._takes_rows else 1
        self._check_rows(rows)
        # While a thread runs it, an engine of one instance would hold up the event loop until that run ends.
        is_free = not self._batcher.is_running
        if is_free and (self._alone or not rows) and self.plan.is_short(size_of(feeds)):
            if deadline is not None and deadline <= time.monotonic():
                raise too_late(self.name)
            start = time.perf_counter_ns()
            outputs = self._run(feeds)
            took_ns = time.perf_counter_ns() - start
            self._arrivals.ran(took_ns / 1e9)
            return outputs, Spent(0, 0, took_ns, 0, rows, rows)
        return await self._batcher.infer(feeds, rows, deadline=deadline, priority=priority, shares=self._shares)

    async def predict(
        self, samples: Sequence[Any], *, deadline: float | None = None, priority: int = 0
    ) -> tuple[list[Any], Spent]:
        """Run raw samples through the pack's steps; those of a model with state follow each other.

        Raises:
            InputError, StepError: A sample is not of the kind that is taken; of several, it says which.
            TooLargeError, OverloadedError, DeadlineError, EngineError, NotReadyError: As `infer`.
        """
        self._check_rows(len(samples))
        predicting.check_samples(self.session, samples)
        if self.session.states:
            return await self._predict_in_turn(samples, deadline, priority)
        start = time.perf_counter_ns()
        prepare = partial(predicting.prepared, self.session, samples)
        feeds = await _near_or_far(prepare, near=predicting.is_light(self.session, samples))
        ready = time.perf_counter_ns()
        outputs, spent = await self.infer(feeds, deadline=deadline, priority=priority)
        ran = time.perf_counter_ns()
        read = partial(self.session.readable, outputs, len(samples))
        results = await _near_or_far(read, near=predicting.is_light_output(self.session, outputs))
        return results, spent._replace(pre_ns=ready - start, post_ns=time.perf_counter_ns() - ran)

    async def close(self, drain_s: float | None = None) -> None:
        """Answer what waits, and give the memory back; a second call does nothing.

        Args:
            drain_s: How long what waits may take; it is refused then. None is as long as it takes.
        """
        await self._batcher.close(drain_s)
        self.session.close()

    async def _predict_in_turn(
        self, samples: Sequence[Any], deadline: float | None, priority: int
    ) -> tuple[list[Any], Spent]:
        """Each sample follows the one before it: the state that one leaves is what the next begins with."""
        results: list[Any] = []
        state: dict[str, Array] = {}
        total = Spent(rows=len(samples))
        for place, sample in enumerate(samples):
            start = time.perf_counter_ns()
            prepare = partial(predicting.prepared_after, self.session, samples, place, state)
            feeds = await _near_or_far(prepare, near=predicting.is_light(self.session, [sample]))
            ready = time.perf_counter_ns()
            outputs, spent = await self.infer(feeds, deadline=deadline, priority=priority)
            ran = time.perf_counter_ns()
            results += self.session.readable(outputs, 1)
            state = {name: outputs[following] for name, following in self.session.states.items()}
            total = total._replace(
                queue_ns=total.queue_ns + spent.queue_ns, infer_ns=total.infer_ns + spent.infer_ns,
                pre_ns=total.pre_ns + ready - start, post_ns=total.post_ns + time.perf_counter_ns() - ran,
            )  # fmt: skip
            await asyncio.sleep(0)  # a long series leaves the event loop to others in between
        return results, total

    def _check_rows(self, rows: int) -> None:
        most = self.settings.batch.request_rows
        if rows > most:
            raise TooLargeError(
                f"the request has {rows:,} rows, and model {self.name!r} takes {most:,} of one request: send them in "
                "several, or raise batch.request_rows"
            )

    def _run(self, feeds: dict[str, Array]) -> dict[str, Array]:
        try:
            return self.session.run_checked(feeds)
        except EngineError as error:
            if self._batcher.is_closed:
                raise closing(self.name) from error
            if not self._runs_at_all():
                raise
            raise InputError(f"model {self.name!r} does not run these inputs: {error}") from error

    def _runs_at_all(self) -> bool:
        """Whether the engine still runs what it ran before."""
        if not self._sample:
            return False
        with contextlib.suppress(EngineError):
            self.session.run_checked(self._sample)
            return True
        return False


def can_share(session: Session) -> bool:
    """Whether rows of several requests may be in one run of a session: where each row stands for itself."""
    return session.takes_rows and not session.states


async def _near_or_far(call: Callable[[], T], *, near: bool) -> T:
    """What a function gives, called here where it is short, else in a thread."""
    return call() if near else await asyncio.get_running_loop().run_in_executor(streaming.threads(), call)


def _as_text(name: str, array: Array) -> Array:
    """Bytes of UTF-8 as text; what is no array of them is left to the check that follows."""
    if array.dtype.kind not in "OS":
        return array
    found = np.empty(array.shape, object)
    for place, one in np.ndenumerate(array):
        try:
            found[place] = one if isinstance(one, str) else bytes.decode(one)
        except (UnicodeDecodeError, TypeError) as error:
            raise InputError(f"input {name!r} takes text in UTF-8: {error}") from error
    return found


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
    """What `predict` makes of each output; states are none of its results."""
    steps = session.manifest.steps.outputs if session.manifest else {}
    states = session.manifest.states.values() if session.manifest else ()
    last = {name: chain[-1].step for name, chain in steps.items() if chain}
    shown = [spec.name for spec in session.outputs if spec.name not in states]
    return {name: _RESULTS.get(last.get(name, ""), "array") for name in shown}


def told(metadata: ModelMetadata, versions: Sequence[str], labels: Sequence[str]) -> ModelMetadata:
    """Metadata with what the repository knows beside it."""
    return msgspec.structs.replace(metadata, versions=tuple(versions), labels=tuple(labels))
