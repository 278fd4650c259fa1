"""Which way of running a pack is best on this device: every candidate in a process of its own, measured in turn.

Candidates meet in heats, each with the best so far in it, in interleaved rounds, so that a change of the machine's mood
meets them all. After every round those that are clearly behind leave: successive halving (Jamieson and Talwalkar,
2016), with the rounds of the last ones growing longer.
"""

import contextlib
import datetime as dt
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgepack.runtime import candidates, choices, providers
from edgepack.runtime.choices import OBJECTIVES, Choice, Measurement
from edgepack.runtime.compare import Parity
from edgepack.runtime.device import check_threads, this_device, usable_cores
from edgepack.runtime.errors import EngineError, InputError, UnknownNameError
from edgepack.runtime.manifest import Variant
from edgepack.runtime.pack import Pack
from edgepack.runtime.timing import Timing
from edgepack.runtime.trials import OPEN_SECONDS, Trial
from edgepack.runtime.ways import Way

ALL = "all"
DEFAULT_DROP = 0.005
_LEAST_SNR_DB = 20.0  # where there is no task metric
_LEAST_OPEN_SECONDS = 5.0
_HEAT = 6  # processes that are open at once
_ROUND_SECONDS = 0.15  # of one candidate in the first round; doubled in every later one
_ROUNDS = 4
_MOST_LAPS = 400
_BEHIND = 1.5  # times the best: who is slower leaves after the first round
_CLOSE = 1.3  # in later rounds: one process tells no more of a small net
NOISY = 0.25
TOO_NOISY = 1.0
_FINAL_ROUNDS = 4  # with each of the processes of a finalist
_FINAL_PROCESSES = 3  # where a process's memory lies makes small nets faster or slower by a tenth
_FINALISTS = 5

Progress = Callable[[str], None]
Clock = Callable[[], float]


@dataclass(slots=True)
class _Runner:
    """One candidate while it is measured."""

    way: Way
    variant: Variant
    trial: Trial
    facts: Measurement
    laps: list[tuple[int, ...]] = field(default_factory=list)

    def value(self, objective: str) -> float:
        """What is to be small."""
        timing = Timing(tuple(ns for lap in self.laps for ns in lap))
        if objective == "memory":
            return float(self.facts.memory_bytes or 0)
        if objective == "size":
            return float(self.facts.size_bytes)
        return timing.p90_us if objective == "p90" else statistics.median(self.rounds_us)

    @property
    def rounds_us(self) -> list[float]:
        return [Timing(lap).p50_us for lap in self.laps]

    def measured(self, rows: int) -> Measurement:
        """What was found."""
        timing = Timing(tuple(ns for lap in self.laps for ns in lap))
        return msgspec.structs.replace(
            self.facts, p50_us=timing.p50_us, p90_us=timing.p90_us, rows_per_second=rows * 1e6 / timing.p50_us,
            rounds_us=tuple(self.rounds_us),
        )  # fmt: skip


def choose(  # noqa: PLR0913 - keyword-only, each an independent choice of the user
    path: str | os.PathLike[str],
    *,
    objective: str = "latency",
    seconds: float = 60.0,
    max_drop: float = DEFAULT_DROP,
    variant: str = "auto",
    engine: str | None = None,
    provider: str | tuple[str, ...] = ALL,
    threads: Sequence[int] | None = None,
    rows: int | None = None,
    remember: bool = True,
    progress: Progress | None = None,
    clock: Clock = time.monotonic,
) -> Choice:
    """Measure every way to run a pack on this device, and remember the best.

    Args:
        path: The pack.
        objective: What is to be best: `"latency"` (the median of one call), `"p90"`, `"throughput"` (rows a second),
            `"memory"` or `"size"`; ties of the last two are broken by latency.
        seconds: How long measuring may take; candidates that it does not reach are reported so.
        max_drop: How much of the task metric a variant may lose against Keras. Where no labels were given when it was
            built, it must agree with Keras on all but that share of winners, or have a signal-to-noise ratio of 20 dB.
        variant: `"auto"` for all that are inside the budget, a name, or a precision.
        engine: One engine; None takes all that are installed.
        provider: `"all"`, or what `load` takes.
        threads: Numbers of threads to try; None tries one, and all usable cores.
        rows: Rows of one call; None is 1, and 16 where throughput is asked for.
        remember: Let `load` take this choice from now on.
        progress: Called with what is done next.
        clock: Monotonic seconds.

    Raises:
        UnknownNameError: No such objective, variant, engine or provider.
        InputError: A number that cannot be.
        PackError, MissingFileError, MissingExtraError: As `load` raises them.
        EngineError: Nothing runs here inside the budget; the message has every reason.
    """
    if objective not in OBJECTIVES:
        raise UnknownNameError("objective", objective, OBJECTIVES)
    if not seconds > 0 or not max_drop >= 0 or (rows is not None and rows < 1):
        raise InputError(f"seconds={seconds}, max_drop={max_drop}, rows={rows}: seconds and rows take more than 0")
    for count in threads or ():
        check_threads(count)
    path = Path(path)
    rows = rows or (16 if objective == "throughput" else 1)
    deadline = clock() + seconds
    with Pack(path) as pack:
        manifest = pack.manifest
    ways, rejected = _ways(manifest.variants, variant, engine, provider, threads, max_drop)
    by_name = {one.name: one for one in manifest.variants}
    contest = _Contest(path, by_name, objective, rows, deadline, clock, progress or (lambda _: None))
    with contextlib.ExitStack() as stack:
        best = contest.run(ways, stack)
        if not best:
            reasons = "; ".join(f"{one.way}: {one.reason}" for one in (*rejected, *contest.out))
            raise EngineError(f"no way to run {path} here is inside the budget: {reasons}")
        measured = sorted(
            [*(one.measured(rows) for one in best), *(one for one in contest.out if one.p50_us is not None)],
            key=lambda one: _order(one, objective),
        )
    winner = best[0].measured(rows)
    measured = [winner, *(one for one in measured if one.way != winner.way)]
    apart = noise(winner.rounds_us)
    choice = Choice(
        str(path), objective, winner.way, dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        this_device().fingerprint, rows, (*measured, *(one for one in contest.out if one.p50_us is None), *rejected),
        apart, _warnings(apart, measured, objective),
    )  # fmt: skip
    if remember and apart < TOO_NOISY:
        choices.remember(manifest, choice)
    return choice


def _ways(
    variants: tuple[Variant, ...],
    variant: str,
    engine: str | None,
    provider: str | tuple[str, ...],
    threads: Sequence[int] | None,
    max_drop: float,
) -> tuple[list[Way], list[Measurement]]:
    """Every candidate, the likeliest first, and what is none."""
    everything = provider in {ALL, (ALL,)}
    asked = providers.KINDS if everything else providers.asked(provider)
    counts = sorted(set(threads or (1, usable_cores())))
    ways: list[Way] = []
    rejected: list[Measurement] = []
    for one in candidates.rank(variants, variant, engine):
        reason = outside(one.variant, max_drop)
        offers = {offer.name: offer for name in asked for offer in providers.fitting(one.engine, name)}
        for offer in offers.values():
            way = Way(one.variant.name, one.engine, offer.name, counts[0])
            why = reason or offer.missing()
            if why:
                if reason or not everything:  # what is simply not installed is no news
                    rejected.append(Measurement(way, why, size_bytes=one.variant.file.size_bytes))
                continue
            own = [msgspec.structs.replace(way, threads=count) for count in counts]
            ways += own if offer.kind == "cpu" else own[:1]
    # Every variant and engine once before any of them a second time: where time is short, that tells most.
    return sorted(ways, key=lambda one: one.threads), rejected


def outside(variant: Variant, max_drop: float) -> str:
    """Why a variant is outside the accuracy budget; empty where it is inside."""
    if variant.metric is not None:
        lost, what = variant.metric.lost, variant.metric.title
        return "" if lost <= max_drop + 1e-12 else f"it loses {lost:.4f} of {what}, allowed {max_drop:g}"
    return too_far(variant.parity, max_drop)


def too_far(parity: Parity, max_drop: float) -> str:
    """Why a file for which there is no task metric is outside the accuracy budget; empty where it is inside."""
    if parity.snr_db >= _LEAST_SNR_DB or (parity.agreement is not None and 1 - parity.agreement <= max_drop + 1e-12):
        return ""
    agrees = "" if parity.agreement is None else f", and it agrees with Keras on {parity.agreement:.2%}"
    return f"its signal-to-noise ratio is {parity.snr_db:.1f} dB, at least {_LEAST_SNR_DB:g} asked{agrees}"


class _Contest:
    """Heats of candidates."""

    def __init__(
        self,
        path: Path,
        variants: dict[str, Variant],
        objective: str,
        rows: int,
        deadline: float,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._path, self._variants, self._objective, self._rows = path, variants, objective, rows
        self._deadline, self._clock, self._progress = deadline, clock, progress
        self.out: list[Measurement] = []
        """Those that left, with or without figures."""

    def run(self, ways: Sequence[Way], stack: contextlib.ExitStack) -> list[_Runner]:
        """The last ones, best first; their processes end with `stack`."""
        waiting = list(ways)
        best: list[_Runner] = []
        while waiting:
            heat = best
            while waiting and len(heat) < _HEAT:
                runner = self._open(waiting.pop(0), stack, urgent=not heat)
                if runner is not None:
                    heat = [*heat, runner]
            best = self._heat(heat, keep=_FINALISTS if not waiting else 3)
        if len(best) > 1:
            best = self._final(best, stack)
        return best

    def _open(self, way: Way, stack: contextlib.ExitStack, *, urgent: bool) -> _Runner | None:
        """Open a candidate; None where it does not run, or time is up and there are others."""
        size = self._variants[way.variant].file.size_bytes
        if self._clock() > self._deadline and not urgent:
            self.out.append(Measurement(way, "it was not measured: time was up", size_bytes=size))
            return None
        self._progress(str(way))
        trial = stack.enter_context(Trial())
        # The first one is waited for, as an answer late is better than none.
        seconds = OPEN_SECONDS if urgent else max(_LEAST_OPEN_SECONDS, self._deadline - self._clock())
        found = trial.open(self._path, way, seconds=min(seconds, OPEN_SECONDS))
        if found.reason:
            trial.close()
            self.out.append(Measurement(way, found.reason, size_bytes=size))
            return None
        facts = Measurement(
            way, memory_bytes=found.memory_bytes, size_bytes=size, load_us=found.load_us, device=found.device,
            software=found.software, placement=found.placement,
        )  # fmt: skip
        return _Runner(way, self._variants[way.variant], trial, facts)

    def _heat(self, heat: list[_Runner], *, keep: int) -> list[_Runner]:
        """Rounds in turn; whoever is behind leaves after each."""
        seconds = _ROUND_SECONDS
        for number in range(_ROUNDS):
            heat = self._round(heat, seconds)
            if not heat:
                return []
            behind = _BEHIND if number == 0 else _CLOSE
            heat = self._drop(heat, lambda value, best, limit=behind: value > limit * best)  # type: ignore[misc]
            if len(heat) == 1 or self._clock() > self._deadline:
                break
            seconds *= 2 if len(heat) <= keep else 1
        return self._rest(heat, keep)

    def _final(self, best: list[_Runner], stack: contextlib.ExitStack) -> list[_Runner]:
        """More rounds for those that are close together, in several processes each; these alone count."""
        for runner in best:
            runner.laps = []
        for number in range(_FINAL_PROCESSES):
            if number:
                best = [runner for runner in best if self._reopen(runner, stack)]
            for _ in range(_FINAL_ROUNDS):
                best = self._round(best, 2 * _ROUND_SECONDS)
                if not best or self._clock() > self._deadline:
                    return sorted(best, key=self._key)
        return sorted(best, key=self._key)

    def _reopen(self, runner: _Runner, stack: contextlib.ExitStack) -> bool:
        """Put a finalist into another process; one that does not open there leaves."""
        runner.trial.close()
        runner.trial = stack.enter_context(Trial())
        found = runner.trial.open(self._path, runner.way)
        if found.reason:
            self._leave(runner, found.reason)
        return not found.reason

    def _round(self, heat: list[_Runner], seconds: float) -> list[_Runner]:
        """One round; whoever fails leaves."""
        still = []
        for runner in heat:
            found = runner.trial.measure(_MOST_LAPS, seconds, self._rows)
            if found.reason or not found.ns:
                self._leave(runner, found.reason or "it gave no laps")
            else:
                runner.laps.append(found.ns)
                still.append(runner)
        return still

    def _drop(self, heat: list[_Runner], behind: Callable[[float, float], bool]) -> list[_Runner]:
        best = min(self._key(runner)[0] for runner in heat)
        for runner in [one for one in heat if behind(self._key(one)[0], best)]:
            self._leave(runner, "")
        return [one for one in heat if not behind(self._key(one)[0], best)]

    def _rest(self, heat: list[_Runner], keep: int) -> list[_Runner]:
        ordered = sorted(heat, key=self._key)
        for runner in ordered[keep:]:
            self._leave(runner, "")
        return ordered[:keep]

    def _leave(self, runner: _Runner, reason: str) -> None:
        runner.trial.close()
        measured = runner.measured(self._rows) if runner.laps else runner.facts
        self.out.append(msgspec.structs.replace(measured, reason=reason))

    def _key(self, runner: _Runner) -> tuple[float, float]:
        return (runner.value(self._objective), runner.value("latency"))


def _order(one: Measurement, objective: str) -> tuple[float, float]:
    latency = one.p50_us or float("inf")
    first = {"memory": float(one.memory_bytes or 0), "size": float(one.size_bytes), "p90": one.p90_us or latency}
    return (first.get(objective, latency), latency)


def noise(rounds_us: Sequence[float]) -> float:
    """How far rounds of the same way are apart, as a share of their median."""
    return (max(rounds_us) - min(rounds_us)) / statistics.median(rounds_us) if len(rounds_us) > 1 else 0.0


def _warnings(apart: float, measured: Sequence[Measurement], objective: str) -> tuple[str, ...]:
    """What to know before the choice is trusted."""
    return tuple(_told(apart, measured, objective))


def _told(apart: float, measured: Sequence[Measurement], objective: str) -> Iterator[str]:
    if apart >= TOO_NOISY:
        yield f"this machine is too busy to tell: rounds of the same way differ by {apart:.0%}; nothing is remembered"
    elif apart >= NOISY:
        yield f"this machine is busy: rounds of the same way differ by {apart:.0%}; choose again when it is not"
    if len(measured) > 1 and objective in {"latency", "p90", "throughput"}:
        first, second = (_order(one, objective)[0] for one in measured[:2])
        if second < 1.03 * first:
            yield f"{measured[1].way} is as good within {second / first - 1:.1%}"
