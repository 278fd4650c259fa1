"""The seam for giving precision back: a fast file that loses too much may be mended, and is then tried again."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edgepack.convert.prove import Question
from edgepack.convert.schemes import Scheme
from edgepack.convert.search.choice import loses
from edgepack.convert.search.tried import Tried
from edgepack.convert.writers import Writer

_CLEARLY = 1.03  # times: a file that is no faster than what is right already is not worth mending


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


Repair = Callable[[Missed], Scheme | None]
"""Returns a scheme that keeps the budget, as with more `float_layers`; None where there is none."""


def worth_mending(trials: Iterable[Tried], file_format: str, max_drop: float | None) -> Tried | None:
    """The fastest file of a format that loses too much, is faster than each that is right, and was not mended yet."""
    tried = [one for one in trials if one.format == file_format]
    mended = {one.mends for one in tried}
    mine = [one for one in tried if one.of_float32 is not None]
    right = [one.of_float32 or 0.0 for one in mine if not one.reasons and not loses(one, max_drop)]
    missed = [
        one for one in mine
        if one.parity is not None and (one.reasons or loses(one, max_drop)) and one.variant not in mended
        and _CLEARLY * (one.of_float32 or 0.0) < min(right, default=1.0)
    ]  # fmt: skip
    return min(missed, key=lambda one: one.of_float32 or 0.0, default=None)
