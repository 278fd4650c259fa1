"""Measure a model: every candidate in its own process, in rounds that meet them all in the same mood of the machine."""

import hashlib
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Protocol

from edgepack.benchmarks.candidates import Candidate, plan
from edgepack.benchmarks.process import Opened, Process, Round, Runner
from edgepack.benchmarks.report import (
    SCHEMA_VERSION,
    BenchReport,
    Failure,
    Result,
    Settings,
    Subject,
    related,
    spread_of,
    warnings_about,
)
from edgepack.runtime.device import this_device
from edgepack.runtime.errors import EngineError, InputError
from edgepack.runtime.manifest import encode
from edgepack.runtime.pack import Pack, is_pack
from edgepack.runtime.timing import Timing

_FEWEST_LAPS, _MOST_LAPS = 3, 5_000  # in one round
_LIBRARIES = ("edgepack", "numpy", "onnxruntime", "ai-edge-litert", "tflite-runtime", "openvino")

Start = Callable[[Candidate], Runner]


class Progress(Protocol):
    """Hears how far the measuring is."""

    def __call__(self, done: int, total: int, text: str) -> None:
        """`done` pieces of work out of `total` are done; `text` says what comes now."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a candidate: rounds, or the reason why there are none."""

    candidate: Candidate
    opened: Opened | None
    rounds: tuple[Round, ...]
    reason: str = ""


def bench(
    pack: str | os.PathLike[str],
    *,
    variants: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
    threads: Sequence[int] | None = None,
    batch: int = 1,
    rounds: int = 5,
    seconds: float = 2.0,
    progress: Progress | None = None,
) -> BenchReport:
    """Measure variants × engines × threads of a pack, or of a bare file, on this machine.

    What is timed is one call of `session.run`: tensors in, tensors out, without a pack's steps. All candidates stay
    loaded at once, each paused while another is measured.

    Args:
        pack: A pack, or a bare `.tflite` or `.onnx` file.
        variants: Names of variants or precisions; None is all of them.
        engines: Names of engines; None is every installed one that reads a variant.
        threads: How many threads a call may use; None is one, and all usable cores.
        batch: Rows in a call.
        rounds: How often each candidate takes its turn.
        seconds: Measuring time for each candidate, over all rounds.
        progress: Called before each piece of work.

    Returns:
        The figures of every candidate that ran, and the reasons of those that did not.

    Raises:
        InputError: A number that is not positive, or engines that read none of the variants.
        MissingFileError, ModelError, PackError: There is no model at `pack`, or none that runs.
        UnknownNameError: No such variant or engine; the message lists those there are.
        MissingExtraError: An engine or psutil is not installed.
    """
    for name, value in (("batch", batch), ("rounds", rounds)):
        if value < 1:
            raise InputError(f"{name} is {value}; it takes 1 or more")
    if not seconds > 0:
        raise InputError(f"seconds is {seconds}; it takes more than 0")
    candidates = plan(pack, variants=variants, engines=engines, threads=threads)
    device, created = this_device(), datetime.now(UTC)
    outcomes = interleave(
        candidates, partial(Process, path=pack, batch=batch), rounds=rounds, seconds=seconds, progress=progress
    )
    results = related([_result(outcome, outcome.opened, batch) for outcome in outcomes if outcome.opened])
    opened = next((outcome.opened for outcome in outcomes if outcome.opened), None)
    return BenchReport(
        schema_version=SCHEMA_VERSION,
        created=created.isoformat(timespec="seconds"),
        subject=_subject(Path(pack)),
        device=device,
        fingerprint=device.fingerprint,
        libraries=_libraries(),
        settings=Settings(
            batch, rounds, seconds, opened.input_source if opened else "", opened.inputs if opened else {}
        ),
        results=results,
        failures=tuple(_failure(outcome) for outcome in outcomes if not outcome.opened),
        warnings=warnings_about(results, device),
    )


def interleave(
    candidates: Sequence[Candidate],
    start: Start,
    *,
    rounds: int,
    seconds: float,
    progress: Progress | None = None,
) -> tuple[Outcome, ...]:
    """Open every candidate, then measure them in turn, each round in the opposite order of the one before.

    One that fails is ended and reported; the others go on. Whatever happens, Ctrl-C included, none is left running.

    Args:
        candidates: What is measured.
        start: Makes the runner of a candidate.
        rounds: How often each takes its turn.
        seconds: Measuring time for each, over all rounds.
        progress: Called before each piece of work.
    """
    turns = _Turns(start, rounds, seconds)
    total, done = len(candidates) * (rounds + 1), 0
    try:
        for number in range(rounds + 1):
            for candidate in candidates if number % 2 == 0 else reversed(candidates):
                if progress and not turns.failed(candidate):
                    progress(done, total, f"{f'round {number} of {rounds}' if number else 'loading'}: {candidate.name}")
                turns.take(candidate)
                done += 1
    finally:
        turns.stop()
    if progress:
        progress(total, total, "measured")
    return tuple(turns.outcome(candidate) for candidate in candidates)


class _Turns:
    """The runners between their turns, and what each brought back."""

    def __init__(self, start: Start, rounds: int, seconds: float) -> None:
        self._start, self._seconds_a_round = start, seconds / rounds
        self._runners: dict[Candidate, Runner] = {}
        self._opened: dict[Candidate, Opened] = {}
        self._rounds: dict[Candidate, tuple[Round, ...]] = {}
        self._reasons: dict[Candidate, str] = {}

    def failed(self, candidate: Candidate) -> bool:
        """Whether it is out of the race."""
        return candidate in self._reasons

    def take(self, candidate: Candidate) -> None:
        """Open the candidate at its first turn, measure it at the others; pause it after each."""
        if self.failed(candidate):
            return
        try:
            if candidate in self._opened:
                self._measure(candidate)
            else:
                self._runners[candidate] = self._start(candidate)
                self._opened[candidate] = self._runners[candidate].open()
            self._runners[candidate].pause()
        except EngineError as error:
            self._reasons[candidate] = str(error)
            self._runners.pop(candidate).stop()

    def _measure(self, candidate: Candidate) -> None:
        runner = self._runners[candidate]
        runner.resume()
        fitting = int(self._seconds_a_round * 1e6 / max(self._opened[candidate].warm_us, 1e-3))
        repeat = min(max(fitting, _FEWEST_LAPS), _MOST_LAPS)
        warmup = min(max(fitting // 10, 1), _MOST_LAPS)  # caches and clock are cold after a pause
        taken = runner.measure(warmup=warmup, repeat=repeat)
        self._rounds[candidate] = (*self._rounds.get(candidate, ()), taken)

    def stop(self) -> None:
        """End every runner that is left."""
        while self._runners:
            self._runners.popitem()[1].stop()

    def outcome(self, candidate: Candidate) -> Outcome:
        """What became of the candidate."""
        reason = self._reasons.get(candidate, "")
        opened = None if reason else self._opened[candidate]
        return Outcome(candidate, opened, self._rounds.get(candidate, ()), reason)


def _result(outcome: Outcome, opened: Opened, batch: int) -> Result:
    """The figures of a candidate that ran; its ratios to the others come later."""
    candidate = outcome.candidate
    rounds = tuple(taken.ns for taken in outcome.rounds)
    timing = Timing(tuple(lap for laps in rounds for lap in laps))
    peak = outcome.rounds[-1].peak_bytes
    return Result(
        variant=candidate.variant,
        format=candidate.format,
        precision=candidate.precision,
        engine=candidate.engine,
        library=opened.library,
        provider=opened.provider,
        placement=opened.placement,
        threads=candidate.threads,
        file_bytes=candidate.file_bytes,
        load_ms=opened.load_ms,
        first_ms=opened.first_ms,
        p50_us=timing.p50_us,
        p90_us=timing.p90_us,
        p99_us=timing.p99_us,
        per_second=timing.per_second * batch,
        peak_bytes=peak,
        beyond_bytes=peak - opened.baseline_bytes,
        memory_source=opened.memory_source,
        spread=spread_of([Timing(laps).p50_us for laps in rounds]),
        to_fastest=1.0,
        to_float32=None,
        rounds=rounds,
    )


def _failure(outcome: Outcome) -> Failure:
    candidate = outcome.candidate
    return Failure(candidate.variant, candidate.engine, candidate.threads, outcome.reason)


def _subject(path: Path) -> Subject:
    if is_pack(path):
        with Pack(path) as pack:
            return Subject(str(path), pack.manifest.name, hashlib.sha256(encode(pack.manifest)).hexdigest())
    return Subject(str(path), path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def _libraries() -> dict[str, str]:
    """The versions of what is installed of the libraries that matter, and of Python."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
