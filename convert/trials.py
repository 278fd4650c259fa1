"""Files that are tried to hold a budget: written, held against Keras, remembered; what holds is timed."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Any, Literal

import msgspec

from edgepack.convert.options import Options
from edgepack.convert.prove import Proof, Question, drop_reasons, lost, open_here, prove
from edgepack.convert.schemes import Scheme
from edgepack.convert.writers import Writer
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.session import Session
from edgepack.runtime.timing import laps_for, measure_interleaved

Aim = Literal["latency", "size"]
"""What the file is for: being faster than float32, or being small, however fast."""

_ROUND_SECONDS, _MOST_LAPS = 0.3, 50
_ROUNDS = 8


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


@dataclass(slots=True)
class Tried:
    """A trial with what is needed to choose it."""

    options: Options
    trial: Trial
    proof: Proof
    data: bytes = field(repr=False)

    @property
    def holds(self) -> bool:
        """Whether it is right, and inside the budget."""
        return not self.proof.reasons

    @property
    def snr_db(self) -> float:
        """Its signal-to-noise ratio against Keras; minus infinity where it did not run."""
        return self.proof.parity.snr_db if self.proof.parity else -math.inf


class Bench:
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
        self._known: dict[str, Tried] = {}
        self.tried: list[Tried] = []

    def add(self, what: str, options: Options, data: bytes, proof: Proof) -> Tried:
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
        found = Tried(options, trial, proof, kept)
        self._known[sha256(data).hexdigest()] = found
        self.tried.append(found)
        return found

    def attempt(self, what: str, options: Options) -> Tried | None:
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

    def is_safe(self, tried: Tried) -> bool:
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
    def safe(self) -> list[Tried]:
        """Those that hold the budget with something to spare."""
        return [one for one in self.tried if self.is_safe(one)]

    def choose(self, aim: Aim) -> tuple[Tried | None, str]:
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
                f"held with {fastest.trial.what} ({figures(fastest)}), but that is no faster than float32: "
                f"{fastest.trial.p50_us:,.1f} µs against {float32_us:,.1f}"
            )
        ranked = [one for one in allowed if self.is_safe(one)] or allowed
        first: Callable[[Tried], float] = {
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
            f"nothing of {len(self.tried)} files tried {lacking}; the best was {best.trial.what}: {figures(best)}{but}"
        )

    def _others(self, tried: Tried) -> tuple[str, ...]:
        """Why it does not do beside the budget."""
        parity, proof = tried.proof.parity, tried.proof
        losing = drop_reasons(self._question.max_drop, parity, proof.metric) if parity else []
        return tuple(reason for reason in proof.reasons if reason not in losing)

    def _time(self, holding: Sequence[Tried]) -> float:
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


def figures(tried: Tried) -> str:
    """What was lost, the signal-to-noise ratio and the size, for one line."""
    trial = tried.trial
    missing = "" if trial.lost is None else f"{trial.lost:.4f} lost, "
    return f"{missing}SNR {tried.snr_db:.1f} dB, {trial.size_bytes / 1000:,.1f} kB"


def _value(proof: Proof) -> float | None:
    return proof.metric.value if proof.metric else proof.parity.agreement if proof.parity else None


def _closed(proof: Proof) -> Proof:
    if proof.session:
        proof.session.close()
    return replace(proof, session=None)
