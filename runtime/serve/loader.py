"""Loading and letting go: a version is proved in a thread, takes traffic in one step, and the old one drains."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

from edgepack.runtime.errors import ModelError, OutputError, PackError, one_line
from edgepack.runtime.serve.budget import Budget, grown
from edgepack.runtime.serve.layout import Place
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.models import Model, Slot
from edgepack.runtime.serve.proving import Opener, give_back, is_golden, prove, resident_bytes
from edgepack.runtime.serve.served import Served
from edgepack.runtime.serve.settings import Settings
from edgepack.runtime.serve.state import ModelState, StateFile

_LOG = logging.getLogger("edgepack.serve")
_MOST_TRIES = 3  # a version that ends the process as often while it is loaded is left alone
_LOOK_S = 0.01  # between looks at whether the last request has ended


class Loader:
    """What a repository does to its models. One version is loaded at a time; the event loop goes on meanwhile.

    Args:
        settings: How models are served.
        metrics: Told what is loaded, unloaded and not taken.
        file: The state.
        models: All models, by name.
        opener: Makes what answers of a pack.
        settle_s: How long after the last change a pack that is not whole counts as still being copied.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, file: StateFile, models: Mapping[str, Model], opener: Opener,
        settle_s: float,
    ) -> None:  # fmt: skip
        self._settings, self._metrics, self._file, self._models = settings, metrics, file, models
        self._opener, self._settle_s = opener, settle_s
        self._budget = Budget(settings.memory_mb)
        self._gate = asyncio.Semaphore(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._said_read_only = False
        self.stopping = False

    def load(self, model: Model, slot: Slot) -> asyncio.Task[None]:
        """Begin to load a version, or join those that wait for it; what came of it stands in the slot."""
        if slot.task is None:
            slot.task = self._begin(self._load(model, slot))
        return slot.task

    def tidy(self, model: Model) -> None:
        """Take what is not wanted out of traffic; it drains."""
        for slot in model.unwanted():
            self._retire(model, slot)
        for version in [slot.version for slot in model.slots.values() if slot.expired and slot.served is None]:
            if not model.slots[version].draining and model.slots[version].task is None:
                del model.slots[version]
        model.publish()

    async def finish(self, models: Iterable[Model]) -> None:
        """Drain and close everything; what is being loaded is waited for, as it cannot be stopped."""
        self.stopping = True
        loading = [slot.task for model in models for slot in model.slots.values() if slot.task is not None]
        await asyncio.gather(*loading, return_exceptions=True)
        for model in models:
            for slot in model.loaded:
                self._retire(model, slot)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _load(self, model: Model, slot: Slot) -> None:
        try:
            async with self._gate:
                if self.stopping or slot.expired or slot.loaded == slot.place:
                    return
                if await self._has_room(model, slot):
                    await self._prove(model, slot)
                else:
                    slot.asleep = True
        except Exception as error:  # noqa: BLE001 - whoever waits for it is told, and the others go on
            _LOG.exception("a fault of edgepack while %s %s was loaded", model.name, slot.version)
            slot.refusal = error
        finally:
            slot.task = None
            self.tidy(model)

    async def _prove(self, model: Model, slot: Slot) -> None:
        place = slot.place
        is_new = slot.version != model.state.good
        tries = 0 if slot.insisted or not is_new else model.state.trying.get(slot.version, 0)
        if tries >= _MOST_TRIES * max(1, self._settings.workers):
            why = f"{place.path} ended the process {_MOST_TRIES} times while it was loaded; push another, or load it"
            self._refuse(model, slot, ModelError(why), golden=False)
            return
        if is_new:
            await self._note(model.name, lambda state: state.begun(slot.version))
        begun, before = time.perf_counter(), resident_bytes()
        try:
            served = await asyncio.to_thread(prove, place, model.settings, self._opener)
        except Exception as error:  # noqa: BLE001 - engines raise anything, and the others go on being served
            await self._fail(model, slot, place, error)
        else:
            took_s = time.perf_counter() - begun
            await asyncio.to_thread(give_back)
            self._take(model, slot, place, served, took_s, resident_bytes() - before)
        default = model.default()
        good = default.version if default and default.served else None
        await self._note(model.name, lambda state: state.ended(slot.version, good))

    def _take(self, model: Model, slot: Slot, place: Place, served: Served, load_s: float, growth_bytes: int) -> None:
        """Let a version that proved itself answer; what answered before from the same slot drains."""
        if slot.served is not None:
            self._drain(model, slot, slot.served)
        slot.served, slot.loaded, slot.refusal, slot.copying = served, place, None, False
        slot.cost = grown(slot, growth_bytes)
        served.tell_waiting(partial(self._metrics.queued, model.name, served.version))
        model.publish()
        session = served.session
        self._metrics.loaded(
            model.name, served.version, variant=session.variant, engine=session.engine, provider=session.provider,
            load_s=load_s,
        )  # fmt: skip
        if session.fallbacks:
            self._metrics.fell_back(model.name, served.version)
        _LOG.info("%s %s is ready: %s on %s, %.0f ms", model.name, served.version, session.variant, session.engine,
                  load_s * 1e3)  # fmt: skip

    async def _fail(self, model: Model, slot: Slot, place: Place, error: Exception) -> None:
        """Pass over a version that is bad, or wait for one that is still being copied."""
        if slot.place.mark != place.mark:  # it is another one meanwhile, which will be tried
            return
        slot.copying = isinstance(error, PackError | OSError) and time.monotonic() - slot.seen_s < self._settle_s
        if not slot.copying:
            golden = await asyncio.to_thread(is_golden, error, place, model.settings)
            self._refuse(model, slot, error, golden=golden)

    def _refuse(self, model: Model, slot: Slot, error: Exception, *, golden: bool) -> None:
        slot.refusal = error
        self._metrics.load_failed(model.name, str(slot.version), golden=golden)
        _LOG.error("%s %s is not taken: %s", model.name, slot.version, one_line(error))

    async def _has_room(self, model: Model, slot: Slot) -> bool:
        """Make room for a version that somebody waits for; False where nobody does and there is none."""
        is_awaited = slot.claims > 0 or bool(model.loaded)
        while not self._budget.fits(model, slot, self._models.values()):
            if not is_awaited:
                return False
            idle = self._budget.idle(self._models.values(), slot)
            if idle is None:
                _LOG.warning("%s %s is loaded beyond memory_mb: no other model is idle", model.name, slot.version)
                break
            idle[1].asleep = True
            await self._retire(*idle)
        return True

    def _retire(self, model: Model, slot: Slot) -> asyncio.Task[None]:
        """Take a version out of traffic, in one step, and give its memory back when its last request has ended."""
        served, slot.served, slot.loaded = slot.served, None, None
        assert served is not None
        model.publish()
        return self._drain(model, slot, served)

    def _drain(self, model: Model, slot: Slot, served: Served) -> asyncio.Task[None]:
        async def drain() -> None:
            end = time.monotonic() + self._settings.drain_s
            while served.in_flight and time.monotonic() < end:
                await asyncio.sleep(_LOOK_S)
            if served.in_flight:
                _LOG.warning("%s %s is closed under %d requests", model.name, served.version, served.in_flight)
            await served.close(0.0)
            slot.draining.discard(task)
            if served.version not in model.table:  # else another file of the same version took its place
                self._metrics.unloaded(model.name, served.version)
            _LOG.info("%s %s is unloaded", model.name, served.version)

        task = self._begin(drain())
        slot.draining.add(task)
        return task

    async def _note(self, name: str, change: Callable[[ModelState], ModelState]) -> None:
        """Keep what helps a later start; nothing depends on it."""
        try:
            await asyncio.to_thread(self._file.change, name, change)
        except OutputError as error:
            if not self._said_read_only:
                _LOG.warning("what is served is not remembered: %s", error)
            self._said_read_only = True
            return
        if name in self._models:
            self._models[name].state = self._file.state.get(name, ModelState())

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
