"""Models by name and version in a folder: what is loaded, and what answers by default."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from edgepack.runtime.errors import (
    ConflictError,
    DeadlineError,
    MissingFileError,
    NotReadyError,
    NotServedError,
    OutputError,
    UnknownNameError,
)
from edgepack.runtime.serve import asked, policy
from edgepack.runtime.serve.layout import HIDDEN, Layout, scan
from edgepack.runtime.serve.loader import Loader
from edgepack.runtime.serve.messages import IndexEntry
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.models import Model, Slot
from edgepack.runtime.serve.opened import open_served
from edgepack.runtime.serve.proving import Opener
from edgepack.runtime.serve.served import Served
from edgepack.runtime.serve.settings import Settings
from edgepack.runtime.serve.state import LABELS, ModelState, State, StateFile
from edgepack.runtime.serve.watch import changes

_LOG = logging.getLogger("edgepack.serve")


class Pace(msgspec.Struct, frozen=True):
    """How quickly a repository follows its folder."""

    debounce_s: float = 0.1
    """Changes that follow each other this closely are looked at once."""
    settle_s: float = 2.0
    """A pack that is not whole counts as still being copied until nothing was written for this long; a file that is
    gone as being replaced until then."""
    rescan_s: float = 10.0
    """The folder is looked through after this long, whatever was noticed."""


class Repository:
    """The models of a folder. Its coroutines and methods are called in one event loop.

    Args:
        settings: The folder, and how its models are served.
        metrics: Told what is loaded, unloaded and not taken.
        opener: Makes what answers of a pack.
        pace: How quickly it follows the folder.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, *, opener: Opener = open_served, pace: Pace | None = None
    ) -> None:
        self._settings, self._pace = settings, pace or Pace()
        self._folder = Path(settings.models)
        self._file = StateFile(self._folder)
        self._models: dict[str, Model] = {}
        self._loader = Loader(settings, metrics, self._file, self._models, opener, self._pace.settle_s)
        self._ignored: dict[str, str] = {}
        self._stop, self._scanning = asyncio.Event(), asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = self._again = False

    async def start(self) -> None:
        """Load what is there, and begin to watch the folder; raises `MissingFileError` where there is none."""
        if not self._folder.is_dir():
            raise MissingFileError(self._folder, "folder of models")
        self._begin(self._follow())  # before the first look, so that nothing is missed between the two
        await self.rescan()
        self._started = True

    async def stop(self) -> None:
        """Drain and close everything."""
        self._stop.set()
        self._loader.stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        models = list(self._models.values())
        self._models.clear()
        await self._loader.finish(models)

    def ready(self, name: str, version: str = "") -> Served | None:
        """The version that answers, if it is loaded; None leaves the question to `fetch`.

        Args:
            name: The model.
            version: A version or a label; empty is the default: the label `stable` where it was set, else the highest
                that is ready and was not rolled back.
        """
        model = self._models.get(name)
        return model.table.get(version) if model else None

    async def fetch(self, name: str, version: str = "", timeout_s: float | None = None) -> Served:
        """The version that answers, loaded first where it loads on demand; many may wait for one loading.

        Args:
            name: The model.
            version: As for `ready`.
            timeout_s: How long to wait for it; None takes the model's own deadline.

        Raises:
            NotServedError: There is no such model, version or label; the message lists those there are.
            NotReadyError: It is not ready, and will not be by itself at once.
            DeadlineError: It is still being loaded.
        """
        model = self._model(name)
        timeout_s = model.settings.timeout_s if timeout_s is None else timeout_s
        end = time.monotonic() + timeout_s
        while (served := model.table.get(version)) is None:
            if self._stop.is_set():
                raise NotReadyError("the server is stopping")
            slot = asked.answering(model, version)
            slot.asleep = False
            with slot.claimed():
                await asyncio.wait({self._loader.load(model, slot)}, timeout=max(0.0, end - time.monotonic()))
            if slot.task is not None:
                raise DeadlineError(f"model {name!r} was not loaded within {timeout_s:g} s; come again")
            if slot.copying:
                self._look_again()
        return served

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions of a model that are ready, lowest first."""
        model = self._models.get(name)
        return tuple(str(slot.version) for slot in model.loaded) if model else ()

    def labels(self, name: str) -> dict[str, str]:
        """Label → version of a model."""
        model = self._models.get(name)
        return {label: str(at) for label, at in model.state.labels.items()} if model else {}

    def all_ready(self) -> bool:
        """Whether every model that was there at the start answers, or is known to be bad."""
        return self._started

    def index(self) -> list[IndexEntry]:
        """Every version of every model, whatever its state."""
        return [entry for _, model in sorted(self._models.items()) for entry in model.index()]

    def ignored(self) -> dict[str, str]:
        """What lies in the folder and is no version of a model, and why."""
        return dict(self._ignored)

    async def load(self, name: str, version: str = "") -> None:
        """Load a version, or all that the version policy says.

        A version is served from then on whatever the policy says, and answers again where it was rolled back.

        Raises:
            NotServedError: No such model or version.
            NotReadyError: The pack is still being copied.
            ConflictError: The state cannot be written.
            EdgepackError: Why it is bad, as it was found.
        """
        if name not in self._models or (version and not asked.found(self._models[name], version)):
            await self.rescan()
        model = self._model(name)
        slots = [asked.known(model, version)] if version else list(model.slots.values())
        for slot in slots:
            slot.forgive()
        if version:
            with slots[0].claimed():
                await self._brought(model, slots[0])
                await self._write(name, lambda state: state.loaded(slots[0].version))
        else:
            await self._write(name, ModelState.forgiven)
        await self._settle(model)
        if not version and "" not in model.table:
            asked.answering(model, "")  # raises: it says why nothing answers

    async def unload(self, name: str, version: str = "") -> None:
        """Take a version, or all, out of traffic and give its memory back; it stays so until `load`.

        Raises:
            NotServedError: No such model or version.
            ConflictError: The state cannot be written.
        """
        model = self._model(name)
        slots = [asked.known(model, version)] if version else list(model.slots.values())
        if version:
            await self._write(name, lambda state: state.without(slots[0].version))
        else:
            await self._write(name, lambda state: msgspec.structs.replace(state, unloaded=True, asked=(), out=()))
        self._loader.tidy(model)
        # Who looks through the folder may have seen what was written first, and let go of it already.
        await asyncio.gather(*(task for slot in slots for task in slot.draining))

    async def rollback(self, name: str) -> str:
        """Make the last good version before the one that answers answer again; returns it.

        The one that answered stays away from the default until it is loaded by its version.

        Raises:
            NotServedError: No such model.
            ConflictError: There is no version to go back to.
        """
        model = self._model(name)
        current = model.default()
        reasons = []
        for version in policy.before(current.version, model.slots, model.state) if current else ():
            slot = model.slots[version]
            if await self._goes_back(model, current, slot):
                await self._settle(model)
                return str(version)
            reasons.append(f"; version {version}: {slot.why if slot.refusal else 'its file is not whole'}")
        raise ConflictError(f"model {name!r} has no version to go back to{''.join(reasons)}")

    async def set_label(self, name: str, label: str, version: str) -> None:
        """Let a label point to a version, which must be ready; raises `ConflictError` where it is not.

        An empty version takes the label away. Raises `NotServedError` and `UnknownNameError` for other names.
        """
        model = self._model(name)
        if label not in LABELS:
            raise UnknownNameError("label", label[:40], LABELS)
        number = asked.known(model, version).version if version else None
        if number is not None and model.slots[number].served is None:
            raise ConflictError(
                f"version {version} of model {name!r} is not ready, and label {label!r} stays; load it first"
            )
        await self._write(name, lambda state: state.labelled(label, number))
        await self._settle(model)

    async def rescan(self) -> None:
        """Look through the folder now, and load, swap and unload what that takes."""
        async with self._scanning:
            try:
                layout = await asyncio.to_thread(self._look)
            except OSError as error:  # what is loaded goes on answering
                _LOG.warning("the folder of models cannot be read: %s", error)
                return
            self._notice(layout)
            self._apply(self._file.state)
            for _, model in sorted(self._models.items()):
                await self._settle(model)
            for name in [name for name, model in self._models.items() if not model.slots]:
                del self._models[name]

    def _look(self) -> Layout:
        self._file.read()
        return scan(self._folder)

    def _notice(self, layout: Layout) -> None:
        """Take in what lies in the folder."""
        for path, why in layout.ignored.items():
            if self._ignored.get(path) != why and why != HIDDEN:
                _LOG.info("%s in the folder of models is ignored: %s", path, why)
        self._ignored = dict(layout.ignored)
        for name, places in layout.models.items():
            model = self._models.setdefault(name, Model(name, self._settings.of(name)))
            lazy = self._settings.on_demand or any(slot.asleep for slot in model.slots.values())
            asleep = lazy and not model.loaded
            for version, place in places.items():
                if version in model.slots:
                    model.slots[version].see(place, self._pace.settle_s)
                else:
                    model.slots[version] = Slot(place, asleep=asleep)
        for name, model in self._models.items():
            for version in model.slots.keys() - layout.models.get(name, {}).keys():
                self._miss(model, version)

    def _miss(self, model: Model, version: int) -> None:
        """The file of a version is not there: it may be replaced just now, or it is gone."""
        slot, now = model.slots[version], time.monotonic()
        slot.gone_s = now if slot.gone_s is None else slot.gone_s
        if now - slot.gone_s >= self._pace.settle_s or slot.served is None:
            slot.expired = True
        else:
            self._look_again()

    def _apply(self, state: State) -> None:
        """Take in what was decided, here or by another process, in one step."""
        for name, model in self._models.items():
            before, model.state = model.state, state.get(name, ModelState())
            for version in {*model.state.asked} - {*before.asked}:
                if version in model.slots and model.slots[version].refusal is not None:
                    model.slots[version].forgive()  # somebody asked for it by name, maybe of another process
            model.publish()

    async def _settle(self, model: Model) -> None:
        """Load what is wanted, then let go of what is not."""
        while (slot := model.due()) is not None and not self._stop.is_set():
            await asyncio.wait({self._loader.load(model, slot)})
        if any(slot.copying for slot in model.slots.values()):
            self._look_again()
        self._loader.tidy(model)

    async def _goes_back(self, model: Model, current: Slot | None, slot: Slot) -> bool:
        """Whether a version is ready now; then it answers instead of the current one."""
        assert current is not None
        slot.forgive()
        with slot.claimed():
            if slot.served is None:
                await asyncio.wait({self._loader.load(model, slot)})
            if slot.served is None:
                return False
            await self._write(model.name, partial(ModelState.rolled_back, bad=current.version, good=slot.version))
            return True

    async def _brought(self, model: Model, slot: Slot) -> None:
        """Load a version as it lies there now; raises why it is not taken."""
        if slot.is_due:
            await asyncio.wait({self._loader.load(model, slot)})
        if slot.refusal is not None:
            raise slot.refusal
        if slot.copying or slot.served is None:
            self._look_again()
            raise NotReadyError(f"version {slot.version} of model {model.name!r} is not whole yet; come again")

    async def _write(self, name: str, change: Callable[[ModelState], ModelState]) -> None:
        try:
            await asyncio.to_thread(self._file.change, name, change)
        except OutputError as error:
            why = str(error).replace(str(self._folder), "the folder of models")  # no path of this machine is told
            raise ConflictError(f"the state of {name!r} cannot be kept: {why}") from error
        self._apply(self._file.state)

    async def _follow(self) -> None:
        """Rescan when the folder changed; unless it is watched, when somebody else decided something."""
        pace, watched = self._pace, self._settings.watch
        async for _ in changes(
            self._folder, debounce_s=pace.debounce_s, rescan_s=pace.rescan_s, stop=self._stop, state_alone=not watched
        ):
            try:
                if watched or await asyncio.to_thread(self._file.is_changed):
                    await self.rescan()
            except Exception:  # noqa: BLE001 - a server that follows nothing any more would not say so
                _LOG.exception("a fault of edgepack while the folder of models was looked through")

    def _look_again(self) -> None:
        """Rescan when what is being written now has had its time."""
        if not self._again and not self._stop.is_set():
            self._again = True
            self._begin(self._rescan_later())

    async def _rescan_later(self) -> None:
        await asyncio.sleep(self._pace.settle_s)
        self._again = False
        await self.rescan()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _model(self, name: str) -> Model:
        model = self._models.get(name)
        if model is None:
            served = ", ".join(sorted(self._models)[:20]) or "none"
            raise NotServedError(f"no model {name[:80]!r} is served (served: {served})")
        return model
