"""What a benchmark found: frozen values, their JSON, and the figures worked out of the laps."""

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from edgepack.runtime.device import Device
from edgepack.runtime.errors import InputError, MissingFileError
from edgepack.runtime.timing import Timing

SCHEMA_VERSION = 1

_NOISY = 0.15  # a spread between rounds from which on small differences mean nothing


class Subject(msgspec.Struct, frozen=True):
    """What was measured; the digest is of the pack's manifest or of the bare file."""

    path: str
    name: str
    sha256: str


class Settings(msgspec.Struct, frozen=True):
    """How it was measured."""

    batch: int
    rounds: int
    seconds: float
    """Measuring time for each candidate, over all rounds."""
    input_source: str
    inputs: dict[str, str]
    """Element type and shape of what was fed, by name."""


class Result(msgspec.Struct, frozen=True):
    """One candidate that ran; times are of one call of `session.run`, a whole batch."""

    variant: str
    format: str
    precision: str
    engine: str
    library: str
    """The library behind the engine and its version."""
    provider: str
    placement: dict[str, int]
    threads: int
    file_bytes: int
    load_ms: float
    """Imports, reading and preparing, in a fresh process; the first one may wait for the disk."""
    first_ms: float
    """The first inference."""
    p50_us: float
    p90_us: float
    p99_us: float
    per_second: float
    """Samples a second: calls a second times the batch."""
    peak_bytes: int
    """The most memory that was resident in its process."""
    beyond_bytes: int
    """The part of it beyond a bare Python interpreter."""
    memory_source: str
    spread: float
    """(largest - smallest) / median of the rounds' medians: how far chance moves the numbers."""
    to_fastest: float
    """`p50_us` over that of the fastest candidate: 1 is the fastest."""
    to_float32: float | None
    """`p50_us` over that of float32 in the same format and engine with the same threads."""
    rounds: tuple[tuple[int, ...], ...]
    """Every lap in nanoseconds, round by round."""

    @property
    def name(self) -> str:
        """How it is called in tables and plots."""
        return f"{self.variant}, {self.engine}, {self.threads} thread{'' if self.threads == 1 else 's'}"

    @property
    def medians_us(self) -> tuple[float, ...]:
        """The median of each round."""
        return tuple(Timing(laps).p50_us for laps in self.rounds)


class Failure(msgspec.Struct, frozen=True):
    """One candidate that did not run, and why."""

    variant: str
    engine: str
    threads: int
    reason: str


class BenchReport(msgspec.Struct, frozen=True):
    """Everything a reader needs to judge the numbers."""

    schema_version: int
    created: str
    """When the measuring began, ISO 8601 in UTC."""
    subject: Subject
    device: Device
    fingerprint: str
    libraries: dict[str, str]
    settings: Settings
    results: tuple[Result, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]


class _Version(msgspec.Struct):
    schema_version: int


def encode(report: BenchReport) -> bytes:
    """The report as JSON with a newline at its end."""
    return msgspec.json.encode(report) + b"\n"


def read_report(path: str | os.PathLike[str]) -> BenchReport:
    """Read the JSON of a report.

    Raises:
        MissingFileError: Nothing is at `path`.
        InputError: It is no report of `edgepack bench`, or of another schema version.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(path, "report") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {version}; this edgepack reads version {SCHEMA_VERSION}: "
                "measure again, or use the edgepack that wrote it"
            )
        return msgspec.json.decode(data, type=BenchReport)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is no report of edgepack bench: {error}; write one with --output") from error


def spread_of(medians: Sequence[float]) -> float:
    """(largest - smallest) / median; 0 for a single round."""
    return (max(medians) - min(medians)) / median(medians)


def related(results: Sequence[Result]) -> tuple[Result, ...]:
    """The results with their ratios to the fastest, and to float32 in the same format, engine and threads."""
    if not results:
        return ()
    fastest = min(result.p50_us for result in results)
    floats = {_kin(result): result.p50_us for result in results if result.precision == "float32"}
    return tuple(
        msgspec.structs.replace(
            result,
            to_fastest=result.p50_us / fastest,
            to_float32=result.p50_us / floats[_kin(result)] if _kin(result) in floats else None,
        )
        for result in results
    )


def tied_with_fastest(results: Sequence[Result]) -> tuple[Result, ...]:
    """Those whose rounds overlap with the fastest one's rounds: chance alone may have put them behind it."""
    if not results:
        return ()
    fastest = min(results, key=lambda result: result.p50_us)
    worst_round = max(fastest.medians_us)
    return tuple(result for result in results if result is not fastest and min(result.medians_us) <= worst_round)


def warnings_about(results: Sequence[Result], device: Device) -> tuple[str, ...]:
    """What a reader must know before believing the order of the results."""
    found = []
    noise = median(result.spread for result in results) if results else 0.0
    if noise > _NOISY:
        found.append(
            "this machine is too noisy to tell close candidates apart: the medians of the rounds differ by "
            f"{noise:.0%}; stop other work, or measure longer with --seconds and --rounds"
        )
    tied = tied_with_fastest(results)
    if tied:
        fastest = min(results, key=lambda result: result.p50_us)
        names = "; ".join(result.name for result in tied)
        found.append(f"the rounds of {fastest.name} overlap with those of {names}: take none for the faster one")
    if device.load_average is not None and device.load_average > device.usable_cores / 2:
        found.append(
            f"other work was running: load average {device.load_average:.1f} on {device.usable_cores} "
            f"core{'' if device.usable_cores == 1 else 's'} before the measuring began"
        )
    return tuple(found)


def _kin(result: Result) -> tuple[str, str, int]:
    return (result.format, result.engine, result.threads)
