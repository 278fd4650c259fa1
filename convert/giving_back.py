"""Into the budget: what a quantized file that loses too much is given back, until it loses little enough.

First what costs no latency: other ranges, other scales. Then float, for as few layers as will do: they are ranked by
`sensitivity`, the worst are kept in float, twice as many each time, until the budget holds; bisection finds how many
were needed, and each of those is tried without. What holds is timed against float32 at last.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Any, Literal

import msgspec

from edgepack.convert import sensitivity
from edgepack.convert.options import Options
from edgepack.convert.precisions import FLOATS
from edgepack.convert.prove import Proof, Question, drop_reasons, lost, open_here, prove
from edgepack.convert.schemes import Scheme
from edgepack.convert.sensitivity import Ranking, Sensitivity
from edgepack.convert.writers import Writer
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.session import Session
from edgepack.runtime.timing import laps_for, measure_interleaved

Aim = Literal["latency", "size"]
"""What the file is for: being faster than float32, or being small, however fast."""

_MOST_PRUNED = 24  # layers that are tried without
_MOST_NAMED = 2
_CLEARER_DB = 0.5  # a remedy that gains less is left out of what follows
_ROUND_SECONDS, _MOST_LAPS = 0.3, 50
_ROUNDS = 8

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


class Trial(msgspec.Struct, frozen=True):
    """One file that was tried, and what it came to."""

    what: str
    """What differs from the plain file."""
    options: dict[str, Any]
    """All that differs from the defaults of its precision."""
    size_bytes: int
    value: float | None
    """The task metric, or the agreement with Keras where there are no labels."""
    lost: float | None
    """How much less that is than Keras's own."""
    snr_db: float | None
    reasons: tuple[str, ...]
    """Why it does not do; empty where it holds the budget."""
    p50_us: float | None = None
    """Median latency, one row, one thread; of those that hold the budget."""


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
    bench = _Bench(writer, scheme, question, tell, lambda: clock() >= until)
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


@dataclass(slots=True)
class _Tried:
    """A trial with what is needed to choose it."""

    options: Options
    trial: Trial
    proof: Proof
    data: bytes = field(repr=False)

    @property
    def holds(self) -> bool:
        return not self.proof.reasons

    @property
    def snr_db(self) -> float:
        return self.proof.parity.snr_db if self.proof.parity else -math.inf


class _Bench:
    """Writes, proves and remembers files; what was written before is not proved again."""

    def __init__(
        self,
        writer: Writer,
        scheme: Scheme,
        question: Question,
        tell: Callable[[str], object],
        is_over: Callable[[], bool],
    ) -> None:
        self.is_over = is_over
        self._writer, self._precision, self._question, self._tell = writer, scheme.precision, question, tell
        self._known: dict[str, _Tried] = {}
        self.tried: list[_Tried] = []

    def add(self, what: str, options: Options, data: bytes, proof: Proof) -> _Tried:
        """Remember a file; data and session of one that does not hold the budget are let go."""
        trial = Trial(
            what=what, options=options.said(), size_bytes=len(data), value=_value(proof),
            lost=lost(proof.parity, proof.metric), snr_db=proof.parity.snr_db if proof.parity else None,
            reasons=proof.reasons,
        )  # fmt: skip
        if proof.reasons:
            proof, kept = _closed(proof), b""
        else:
            kept = data
        found = _Tried(options, trial, proof, kept)
        self._known[sha256(data).hexdigest()] = found
        self.tried.append(found)
        return found

    def attempt(self, what: str, options: Options) -> _Tried | None:
        """One file more; None where it cannot be written, or time is up."""
        if self.is_over():
            return None
        self._tell(what)
        try:
            data = self._writer(Scheme(self._precision, options))
        except ConvertError:
            return None
        same = self._known.get(sha256(data).hexdigest())
        if same is not None:
            return same
        return self.add(what, options, data, prove(self._writer.target, data, self._precision, self._question))

    def is_safe(self, tried: _Tried) -> bool:
        """Whether it holds the budget with a standard error to spare, for it was chosen on the rows that judge it.

        What is lost is a mean over rows, of which those that answer otherwise than Keras move it; its standard error
        is at most the root of their share over the number of rows.
        """
        parity, allowed = tried.proof.parity, self._question.max_drop
        missing = lost(parity, tried.proof.metric)
        if not tried.holds or parity is None:
            return False
        if missing is None or allowed is None or parity.agreement is None:
            return True
        return missing + math.sqrt((1 - parity.agreement) / parity.samples) <= allowed + 1e-12

    @property
    def safe(self) -> list[_Tried]:
        """Those that hold the budget with something to spare."""
        return [one for one in self.tried if self.is_safe(one)]

    def choose(self, aim: Aim) -> tuple[_Tried | None, str]:
        """The best file that holds the budget, or None and why there is none; those that hold it are timed."""
        holding = [one for one in self.tried if one.holds]
        if not holding:
            return None, self._best_found()
        self._tell("timing what holds the budget")
        float32_us = self._time(holding)
        allowed = [one for one in holding if aim == "size" or (one.trial.p50_us or math.inf) < float32_us]
        if not allowed:
            fastest = min(holding, key=lambda one: one.trial.p50_us or math.inf)
            return None, (
                f"held with {fastest.trial.what} ({_figures(fastest)}), but that is no faster than float32: "
                f"{fastest.trial.p50_us:,.1f} µs against {float32_us:,.1f}"
            )
        ranked = [one for one in allowed if self.is_safe(one)] or allowed
        first: Callable[[_Tried], float] = {
            "size": lambda one: one.trial.size_bytes,
            "latency": lambda one: one.trial.p50_us or math.inf,
        }[aim]
        best = min(ranked, key=first)
        for one in holding:
            if one is not best:
                one.proof = _closed(one.proof)
        return best, ""

    def _best_found(self) -> str:
        """What came nearest, where nothing holds: of what lacks the budget alone, or else little beside it."""
        best = min(
            self.tried,
            key=lambda one: (
                len(self._others(one)), math.inf if one.trial.lost is None else one.trial.lost, -one.snr_db
            ),
        )  # fmt: skip
        others = self._others(best)
        lacking, but = ("is right", f", but {'; '.join(others)}") if others else ("holds the budget", "")
        return (
            f"nothing of {len(self.tried)} files tried {lacking}; the best was {best.trial.what}: {_figures(best)}{but}"
        )

    def _others(self, tried: _Tried) -> tuple[str, ...]:
        """Why it does not do beside the budget."""
        parity, proof = tried.proof.parity, tried.proof
        losing = drop_reasons(self._question.max_drop, parity, proof.metric) if parity else []
        return tuple(reason for reason in proof.reasons if reason not in losing)

    def _time(self, holding: Sequence[_Tried]) -> float:
        """Write the latency of each into its trial; returns that of float32, measured between them, in µs."""
        row = {name: array[:1] for name, array in self._question.samples.inputs.items()}
        with Session(open_here(self._writer.target, self._writer.float32), "float32") as float32:
            sessions = [float32, *(one.proof.session for one in holding if one.proof.session)]
            calls = [partial(session.run, row) for session in sessions]
            laps = laps_for(calls, seconds=_ROUND_SECONDS, most=_MOST_LAPS, shared=True)
            first, *others = measure_interleaved(calls, rounds=_ROUNDS, warmup=2, repeat=laps)
        for one, timing in zip(holding, others, strict=True):
            one.trial = msgspec.structs.replace(one.trial, p50_us=timing.p50_us)
        return first.p50_us


def _is_quantized(proof: Proof, scheme: Scheme) -> bool:
    """Whether it runs in the precision that was asked for: of what is in float anyway, nothing can be given back."""
    return proof.parity is not None and proof.census is not None and proof.census.precision == scheme.precision.name


def _with_remedies(bench: _Bench, scheme: Scheme, plain: _Tried) -> _Tried:
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


def _give_back(bench: _Bench, base: Options, harmed: Sequence[str]) -> None:
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


def _notes(ranking: Ranking, chosen: _Tried | None) -> tuple[str, ...]:
    found = []
    if not ranking.complete:
        found.append("time ran out before every layer was measured")
    if chosen is not None and chosen.options.float_layers:
        found.append(f"kept in float: {', '.join(chosen.options.float_layers)} ({_figures(chosen)})")
    elif chosen is not None:
        found.append(f"holds the budget with {chosen.trial.what} ({_figures(chosen)})")
    return tuple(found)


def _with_reason(proof: Proof, reason: str) -> Proof:
    return replace(proof, reasons=(*proof.reasons, reason), session=None)


def _figures(tried: _Tried) -> str:
    trial = tried.trial
    missing = "" if trial.lost is None else f"{trial.lost:.4f} lost, "
    return f"{missing}SNR {tried.snr_db:.1f} dB, {trial.size_bytes / 1000:,.1f} kB"


def _value(proof: Proof) -> float | None:
    return proof.metric.value if proof.metric else proof.parity.agreement if proof.parity else None


def _closed(proof: Proof) -> Proof:
    if proof.session:
        proof.session.close()
    return replace(proof, session=None)
