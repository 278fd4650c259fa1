"""Giving precision back in a search: a fast file that loses too much is mended, and is then tried again."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from edgepack.convert.giving_back import within_budget
from edgepack.convert.prove import Question
from edgepack.convert.schemes import Scheme
from edgepack.convert.search.choice import loses
from edgepack.convert.search.tried import Tried
from edgepack.convert.sensitivity import Sensitivity
from edgepack.convert.trials import Aim, Trial
from edgepack.convert.writers import Writer
from edgepack.runtime.choose import DEFAULT_DROP
from edgepack.runtime.errors import EdgepackError

_CLEARLY = 1.03  # times: a file that is no better than what is right already is not worth mending


@dataclass(frozen=True, slots=True)
class Missed:
    """A file that is fast, and loses too much."""

    writer: Writer
    """Writes the format; it knows the parts that can be given back, and the ranges."""
    scheme: Scheme
    tried: Tried
    question: Question
    """With the `max_drop` that was missed."""
    seconds: float
    """How long mending may take."""
    tell: Callable[[str], object] = lambda text: None
    """Called with what is being tried."""


class Mending(msgspec.Struct, frozen=True, kw_only=True):
    """What giving precision back to a file came to."""

    options: dict[str, Any] | None = None
    """Those with which the budget is held, as far as they are not the default; None where none were found."""
    reason: str = ""
    """Why none were."""
    trials: tuple[Trial, ...] = ()
    """The files that were tried on the way."""
    sensitivities: tuple[Sensitivity, ...] = ()
    notes: tuple[str, ...] = ()


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A mending that was done, and what it was held to."""

    mends: str
    """The trial that lost too much."""
    max_drop: float
    """What was allowed to be lost."""
    aim: Aim
    mending: Mending

    def tells_of(self, missed: str, max_drop: float, aim: Aim) -> bool:
        """Whether mending again would come to the same: what a budget does not allow, a tighter one does not either."""
        if (self.mends, self.aim) != (missed, aim):
            return False
        return max_drop == self.max_drop if self.mending.options is not None else max_drop <= self.max_drop


Repair = Callable[[Missed], Mending]
"""Finds options that keep the budget, as with more `float_layers`."""


def worth_mending(trials: Iterable[Tried], file_format: str, max_drop: float | None, aim: Aim) -> Tried | None:
    """The best file of a format that loses too much, where it is clearly better than each that is right.

    One of a precision is enough: mending tries its other options too.

    Args:
        trials: What was tried.
        file_format: The format.
        max_drop: The accuracy budget.
        aim: Whether the fastest is the best, or the smallest.
    """
    tried = [one for one in trials if one.format == file_format]
    mended = {one.precision for one in tried if one.mends}
    cost: Callable[[Tried], float] = {
        "latency": lambda one: one.of_float32 or 0.0,
        "size": lambda one: float(one.size_bytes),
    }[aim]
    ran = [one for one in tried if one.of_float32 is not None]
    right = [cost(one) for one in ran if not one.reasons and not loses(one, max_drop)]
    missed = [
        one for one in ran
        if one.parity is not None and (one.reasons or loses(one, max_drop)) and one.precision not in mended
        and _CLEARLY * cost(one) < min(right, default=math.inf)
    ]  # fmt: skip
    return min(missed, key=cost, default=None)


def allowed(question: Question) -> float:
    """What may be lost; where no budget was asked for, what `choose` asks for on a device."""
    return DEFAULT_DROP if question.max_drop is None else question.max_drop


def mend(missed: Missed, *, aim: Aim) -> Mending:
    """Find what holds the budget: other options where they are enough, else as few layers in float as will do.

    Whatever goes wrong is a reason.
    """
    question = replace(missed.question, max_drop=allowed(missed.question), give_back=True)
    try:
        held = within_budget(missed.writer, missed.scheme, question, aim=aim, seconds=missed.seconds, tell=missed.tell)
    except EdgepackError as error:
        return Mending(reason=str(error))
    if held.proof.session is not None:
        held.proof.session.close()
    account = Mending(trials=held.trials, sensitivities=held.sensitivities, notes=held.notes)
    if held.proof.reasons:
        return msgspec.structs.replace(account, reason="; ".join((held.proof.reasons[-1], *held.notes)))
    return msgspec.structs.replace(account, options=held.options.said())
