"""Into the budget: what a quantized file that loses too much is given back, until it loses little enough.

First what costs no latency: other ranges, other scales. Then float, for as few layers as will do: they are ranked by
`sensitivity`, the worst are kept in float, twice as many each time, until the budget holds; bisection finds how many
were needed, and each of those is tried without. What holds is timed against float32 at last.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from edgepack.convert import sensitivity
from edgepack.convert.options import Options
from edgepack.convert.precisions import FLOATS
from edgepack.convert.prove import Proof, Question, prove
from edgepack.convert.schemes import Scheme
from edgepack.convert.sensitivity import Ranking, Sensitivity
from edgepack.convert.trials import Aim, Bench, Trial, Tried, figures
from edgepack.convert.writers import Writer

_MOST_PRUNED = 24  # layers that are tried without
_MOST_NAMED = 2
_CLEARER_DB = 0.5  # a remedy that gains less is left out of what follows

# field of the options, another value, how that is said: what costs no latency, or little, the likeliest first
_REMEDIES: tuple[tuple[str, Any, str, bool], ...] = (
    ("ranges", "mse", "ranges by mse", True),
    ("ranges", "percentile", "ranges by percentile", True),
    ("ranges", "entropy", "ranges by entropy", True),
    ("granularity", "per-tensor", "one scale a tensor", False),
    ("symmetric", True, "symmetric activations", True),
    ("reduce_range", True, "weights in seven bits", False),
    ("activations", "int8", "int8 activations", True),
)


@dataclass(frozen=True, slots=True)
class Held:
    """What came of it: the file that was chosen, or the plain one with the reasons why there is none."""

    options: Options
    data: bytes
    proof: Proof
    trials: tuple[Trial, ...] = ()
    """The plain file first; empty where nothing had to be tried."""
    sensitivities: tuple[Sensitivity, ...] = ()
    notes: tuple[str, ...] = ()
    """What was done, a line each, for whoever adds which file that is."""


def within_budget(
    writer: Writer,
    scheme: Scheme,
    question: Question,
    *,
    aim: Aim = "latency",
    seconds: float = math.inf,
    tell: Callable[[str], object] = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
) -> Held:
    """Write and prove a file; where it loses more than was allowed, find one of its precision that does not.

    Args:
        writer: Writes the files.
        scheme: What was asked for; options that are not the default are kept.
        question: What is judged on, how much may be lost, and whether anything is given back for it. Where there are
            calibration samples, layers are ranked on those, so that the ones that judge have no part in it.
        aim: `"latency"` leaves a file out that is not faster than the float32 one in its engine.
        seconds: When they are over nothing more is tried, and what was found is timed.
        tell: Called with what is being tried.
        clock: Seconds, monotonic.

    Returns:
        The plain file where it is right, or cannot be helped: it does not run, or nothing in it is quantized. Else the
        chosen one, its proof without reasons; where no file holds the budget, or none of those is faster than float32,
        the plain one with a reason more, that says the best that was found.

    Raises:
        ConvertError: The plain file cannot be written.
    """
    data = writer(scheme)
    proof = prove(writer.target, data, scheme.precision, question)
    helped = question.give_back and scheme.precision.name not in FLOATS
    if not (helped and proof.reasons and _is_quantized(proof, scheme)):
        return Held(scheme.options, data, proof)
    until = clock() + seconds
    bench = Bench(writer, scheme, question, tell, lambda: clock() >= until)
    plain = bench.add("plain", scheme.options, data, proof)
    best = _with_remedies(bench, scheme, plain)
    ranking = Ranking((), 0, complete=True)
    if not (bench.safe or bench.is_over()):
        tell("ranking layers")
        stream = writer.calibration
        few = {name: array[: sensitivity.ROWS] for name, array in question.samples.inputs.items()}
        rows = sensitivity.some_rows(stream) if stream else few
        ranking = sensitivity.rank(
            writer, Scheme(scheme.precision, best.options), rows,
            most_seconds=min(sensitivity.MOST_SECONDS, until - clock()), tell=tell, clock=clock,
        )  # fmt: skip
        _give_back(bench, best.options, _harmed(ranking))
    chosen, reason = bench.choose(aim)
    notes = _notes(ranking, chosen)
    trials = tuple(one.trial for one in bench.tried)
    if chosen is None:
        left_out = _with_reason(proof, reason)
        return Held(scheme.options, data, left_out, trials, ranking.parts, notes)
    return Held(chosen.options, chosen.data, chosen.proof, trials, ranking.parts, notes)


def _is_quantized(proof: Proof, scheme: Scheme) -> bool:
    """Whether it runs in the precision that was asked for: of what is in float anyway, nothing can be given back."""
    return proof.parity is not None and proof.census is not None and proof.census.precision == scheme.precision.name


def _with_remedies(bench: Bench, scheme: Scheme, plain: Tried) -> Tried:
    """Try what costs no latency, each by itself; returns what to go on from, where none is enough."""
    tried = [found for what, options in _remedies(scheme) if (found := bench.attempt(what, options))]
    holding = [one for one in tried if one.holds]
    best = max(holding or [plain, *tried], key=lambda one: one.snr_db)
    return best if best.snr_db > plain.snr_db + _CLEARER_DB else plain


def _remedies(scheme: Scheme) -> Iterator[tuple[str, Options]]:
    """Other options, one changed at a time; what the user chose stays."""
    plain = Options()
    for name, value, what, calibrated in _REMEDIES:
        untouched = getattr(scheme.options, name) == getattr(plain, name)
        if untouched and (scheme.precision.needs_calibration or not calibrated):
            yield what, msgspec.structs.replace(scheme.options, **{name: value})


def _give_back(bench: Bench, base: Options, harmed: Sequence[str]) -> None:
    """Keep more and more of the worst layers in float until the budget holds, then as few of them as will do."""

    def keep(names: Sequence[str]) -> bool:
        options = msgspec.structs.replace(base, float_layers=(*base.float_layers, *names))
        what = f"{len(names)} layers" if len(names) > _MOST_NAMED else ", ".join(names)
        found = bench.attempt(f"{what} in float", options)
        return found is not None and bench.is_safe(found)

    too_few, enough = 0, 1
    while not keep(harmed[:enough]):
        if enough >= len(harmed):
            return
        too_few, enough = enough, min(2 * enough, len(harmed))
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if keep(harmed[:middle]) else (middle, enough)
    kept = list(harmed[:enough])
    for name in reversed(harmed[:enough][-_MOST_PRUNED:]):  # the least sensitive first
        if len(kept) > 1 and keep(fewer := [one for one in kept if one != name]):
            kept = fewer


def _harmed(ranking: Ranking) -> tuple[str, ...]:
    """The parts that are worth keeping in float, the worst first."""
    return tuple(one.name for one in ranking.parts if one.snr_db < sensitivity.UNHARMED_DB)


def _notes(ranking: Ranking, chosen: Tried | None) -> tuple[str, ...]:
    found = []
    if not ranking.complete:
        found.append("time ran out before every layer was measured")
    if chosen is not None and chosen.options.float_layers:
        found.append(f"kept in float: {', '.join(chosen.options.float_layers)} ({figures(chosen)})")
    elif chosen is not None:
        found.append(f"holds the budget with {chosen.trial.what} ({figures(chosen)})")
    return tuple(found)


def _with_reason(proof: Proof, reason: str) -> Proof:
    return replace(proof, reasons=(*proof.reasons, reason), session=None)
