"""What a repository knows of each version of each model: where it lies, whether it is loaded, and why it is not."""

import contextlib
import time
from asyncio import Task
from collections.abc import Iterator

from edgepack.runtime.errors import one_line
from edgepack.runtime.serve import policy
from edgepack.runtime.serve.layout import Place
from edgepack.runtime.serve.messages import Cause, IndexEntry
from edgepack.runtime.serve.served import Served
from edgepack.runtime.serve.settings import ModelSettings
from edgepack.runtime.serve.state import ModelState


class Slot:
    """One version of one model.

    Attributes:
        place: Where it lies, as it was seen last.
        seen_s: When it was first seen as it lies there now, by `time.monotonic`.
        gone_s: When its file was first missed; None while it is there.
        expired: Its file is gone for good; it answers until another version does.
        served: What answers, if it is loaded.
        loaded: The place it was loaded from.
        refusal: Why it is not taken as it lies there now.
        copying: It is not whole, and was written to a moment ago.
        asleep: It loads when it is asked for.
        insisted: Somebody asked for it by name, whatever was found before.
        draining: What ends when those that were loaded from here before have answered their last requests.
        claims: How many want it whatever the policy says.
        cost: What loading it took of memory, in bytes; 0 before it was.
        task: The loading that is going on.
    """

    def __init__(self, place: Place, *, asleep: bool) -> None:
        self.place, self.seen_s, self.asleep = place, time.monotonic(), asleep
        self.gone_s: float | None = None
        self.served: Served | None = None
        self.loaded: Place | None = None
        self.refusal: BaseException | None = None
        self.task: Task[None] | None = None
        self.expired = self.copying = self.insisted = False
        self.draining: set[Task[None]] = set()
        self.claims = self.cost = 0

    @property
    def version(self) -> int:
        """Its number."""
        return self.place.version

    @property
    def is_bad(self) -> bool:
        """Whether there is nothing to serve of it now."""
        return self.expired or (self.served is None and (self.copying or self.refusal is not None))

    @property
    def is_due(self) -> bool:
        """Whether it is to be loaded where it is wanted: it is not, or another file lies there now."""
        if self.asleep or self.copying or self.expired or self.refusal is not None:
            return False
        return self.served is None or self.loaded != self.place

    @property
    def why(self) -> str:
        """Why it is not taken, for a client: no path of this machine."""
        return one_line(self.refusal).replace(str(self.place.path), f"version {self.version} of {self.place.name}")

    def see(self, place: Place, settle_s: float) -> None:
        """It lies here now; what was not written to for `settle_s` is no copy that goes on."""
        self.gone_s, self.expired = None, False
        if place.mark != self.place.mark:
            self.place, self.seen_s, self.refusal = place, time.monotonic(), None
        elif time.monotonic() - self.seen_s >= settle_s:
            self.copying = False

    def forgive(self) -> None:
        """Try it again, whatever was found."""
        self.refusal, self.copying, self.asleep, self.insisted = None, False, False, True

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep it loaded while the block runs."""
        self.claims += 1
        try:
            yield
        finally:
            self.claims -= 1


class Model:
    """All versions of one model.

    Attributes:
        table: Version, label or nothing → what answers; it is replaced in one step.
    """

    def __init__(self, name: str, settings: ModelSettings) -> None:
        self.name, self.settings = name, settings
        self.slots: dict[int, Slot] = {}
        self.state = ModelState()
        self.table: dict[str, Served] = {}

    @property
    def wanted(self) -> tuple[int, ...]:
        """Versions that should be loaded, the best first."""
        bad = [slot.version for slot in self.slots.values() if slot.is_bad]
        return policy.wanted(self.slots, bad, self.state, self.settings.versions)

    @property
    def loaded(self) -> list[Slot]:
        """What is loaded, lowest version first."""
        return [slot for _, slot in sorted(self.slots.items()) if slot.served is not None]

    def due(self) -> Slot | None:
        """The next version to load; None where everything that is wanted is."""
        wanted = self.wanted
        good = self.slots.get(self.state.good or 0)
        if good and good.is_due and not self.loaded and self._may_begin_with(good.version, wanted):
            return good  # it answers while a newer one, which may be bad, proves itself
        return next((self.slots[version] for version in wanted if self.slots[version].is_due), None)

    def _may_begin_with(self, version: int, wanted: tuple[int, ...]) -> bool:
        allowed = policy.allows(self.settings.versions, version) and version not in self.kept_away
        return allowed and bool(wanted) and version < wanted[0]

    @property
    def kept_away(self) -> set[int]:
        """Versions that do not answer by default."""
        return {*self.state.away, *self.state.out}

    def default(self) -> Slot | None:
        """The version that should answer by default: one that is loaded, else one that can be; None without any."""
        able = [version for version in self.wanted if version not in self.kept_away]
        for version in able:
            slot = self.slots[version]
            if slot.served or slot.asleep:
                return slot
        left = [slot for slot in reversed(self.loaded) if slot.version not in self.kept_away and not slot.claims]
        if left and not self.state.unloaded:  # the last good one stays until another is ready
            return left[0]
        return self.slots[able[0]] if able else None

    def publish(self) -> None:
        """Let what is loaded now answer."""
        served = {slot.version: slot.served for slot in self.loaded if slot.served is not None}
        table = {str(version): one for version, one in served.items()}
        table.update((label, served[at]) for label, at in self.state.labels.items() if at in served)
        default = self.default()
        if default and default.served:
            table[""] = default.served
        self.table = table

    def unwanted(self) -> list[Slot]:
        """What is loaded and may go: nothing does for a version that is not ready yet."""
        wanted = self.wanted
        is_up = any(self.slots[version].served for version in wanted)
        return [
            slot for slot in self.loaded if slot.version not in wanted and not slot.claims
            and (is_up or slot.expired or self.state.unloaded or slot.version in self.state.out)
        ]  # fmt: skip

    def index(self) -> list[IndexEntry]:
        """Every version, lowest first."""
        wanted = self.wanted
        return [self._entry(slot, slot.version in wanted) for _, slot in sorted(self.slots.items())]

    def _entry(self, slot: Slot, wanted: bool) -> IndexEntry:
        state, reason = _active(slot)
        cause: Cause = ""
        if not state and (why := _why_out(slot, self.state)):
            state, (cause, reason) = "UNAVAILABLE", why
        elif not state and not wanted:
            state, cause = "UNAVAILABLE", "not served"
            taken = policy.told(self.settings.versions)
            reason = f"not served: the version policy takes {taken}; load it by its version"
        labels = tuple(label for label, at in self.state.labels.items() if at == slot.version)
        return IndexEntry(self.name, str(slot.version), state or "LOADING", reason, labels, cause)


def _active(slot: Slot) -> tuple[str, str]:
    """The state of a version that something is done with, and its reason; empty where nothing is."""
    if slot.served is not None:
        reason = f"the file that is there now is not taken: {slot.why}" if slot.refusal else ""
        return "READY", reason
    facts = (
        (bool(slot.draining), "UNLOADING", "its last requests are answered"),
        (slot.task is not None, "LOADING", ""),
        (slot.copying, "LOADING", "its file is not whole yet"),
    )
    return next(((name, reason) for holds, name, reason in facts if holds), ("", ""))


def _why_out(slot: Slot, state: ModelState) -> tuple[Cause, str] | None:
    """Why a version does not answer, as a word and in words; None where only the version policy can say."""
    facts: tuple[tuple[bool, Cause, str], ...] = (
        (slot.refusal is not None, "failed", slot.why if slot.refusal else ""),
        (state.unloaded or slot.version in state.out, "unloaded", "unloaded; load it to serve it again"),
        (slot.version in state.away, "rolled back", "rolled back; load it by its version to serve it again"),
        (slot.asleep, "not loaded yet", "not loaded yet: it loads when it is asked for"),
    )
    return next(((cause, reason) for holds, cause, reason in facts if holds), None)
