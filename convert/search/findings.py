"""What a search came to: every trial in one line, the front, the choice and what it costs."""

from typing import Any

import msgspec

from edgepack.convert.search.asked import Search
from edgepack.convert.search.tried import Tried


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One trial under the budgets that were asked."""

    tried: Tried
    latency_us: float | None = None
    """Median of one row; of those that were not in the last rounds, worked out from their ratio to float32."""
    of_fastest: float | None = None
    """Its latency over that of the fastest float32 file of any format."""
    of_own: float | None = None
    """Its latency over that of float32 in its own format."""
    finalist: bool = False
    """Whether it was timed beside all the others, in several openings."""
    loses: tuple[str, ...] = ()
    """Why it is outside the accuracy budget; empty when it is inside, or is wrong anyway."""
    over: tuple[str, ...] = ()
    """Which of the budgets of size and latency it misses."""
    on_front: bool = False
    packed: str = ""
    """The name of its file in the pack; empty where it is not there."""

    @property
    def is_right(self) -> bool:
        """Whether it is a proved file inside the accuracy budget."""
        return not self.tried.reasons and not self.loses and self.latency_us is not None

    @property
    def verdict(self) -> str:
        """What became of it, for people."""
        return "; ".join((*self.tried.reasons, *self.loses, *self.over)) or ("front" if self.on_front else "right")


class Untried(msgspec.Struct, frozen=True):
    """A candidate that was not tried, and why."""

    variant: str
    reason: str


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a search came to."""

    asked: Search
    max_drop: float | None
    basis: str
    """What quality is: the task metric, or what stands in for it."""
    lines: tuple[Line, ...]
    untried: tuple[Untried, ...]
    chosen: str
    """The choice of all, by the name of the trial."""
    chosen_by_format: dict[str, str]
    because: str
    """One sentence: what was chosen and why, and what it costs against float32."""
    seconds: float
    noise: float
    """How far the rounds of the choice were apart, as a share of their median."""
    warnings: tuple[str, ...]
    machine: dict[str, str]

    def line(self, variant: str) -> Line:
        """The trial of that name."""
        return next(one for one in self.lines if one.tried.variant == variant)

    @property
    def choice(self) -> Line:
        """The chosen one."""
        return self.line(self.chosen)

    def provenance(self) -> dict[str, Any]:
        """What a manifest says of it, with the names of the files in the pack."""
        return {
            "chosen": self.choice.packed,
            "chosen_by_format": {name: self.line(one).packed for name, one in self.chosen_by_format.items()},
            "of_float32": self.choice.of_fastest,
            "budgets": {"max_drop": self.max_drop, **msgspec.to_builtins(self.asked)},
            "quality": self.basis,
            "machine": self.machine,
            "trials": len(self.lines),
            "untried": len(self.untried),
        }
