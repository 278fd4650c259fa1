"""Compare two reports: what became faster, what slower, and what chance alone may have moved."""

from typing import Literal

import msgspec

from edgepack.benchmarks.report import BenchReport, Result
from edgepack.runtime.errors import InputError

Verdict = Literal["faster", "slower", "same within noise"]

_LEAST = 0.02  # a smaller change is none, however steady the rounds were
_Key = tuple[str, str, int]


class Change(msgspec.Struct, frozen=True):
    """One candidate before and after."""

    variant: str
    engine: str
    threads: int
    before_us: float
    after_us: float
    ratio: float
    """`after_us` over `before_us`: below 1 is faster."""
    verdict: Verdict


class Diff(msgspec.Struct, frozen=True):
    """Two reports side by side."""

    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]


def compare(before: BenchReport, after: BenchReport, *, across_machines: bool = False) -> Diff:
    """What changed between two reports.

    A candidate is faster or slower only where all rounds of one report lie beyond all rounds of the other, and by 2 %.

    Args:
        before: The earlier report.
        after: The later one.
        across_machines: Compare although the machines differ; the ratios then tell of the machines too.

    Raises:
        InputError: Reports of different machines, or of calls that were not fed the same shapes.
    """
    if before.fingerprint != after.fingerprint and not across_machines:
        raise InputError(
            f"the reports are of different machines ({_machine(before)}; {_machine(after)}): their times do not "
            "compare; pass --across-machines (across_machines=True) if that is what you ask"
        )
    if before.settings.inputs != after.settings.inputs:
        raise InputError(
            f"the reports are of different inputs ({before.settings.inputs}; {after.settings.inputs}); "
            "measure both with the same model and --batch"
        )
    old, new = ({_key(result): result for result in report.results} for report in (before, after))
    return Diff(
        changes=tuple(_change(old[key], new[key]) for key in old if key in new),
        only_before=tuple(result.name for key, result in old.items() if key not in new),
        only_after=tuple(result.name for key, result in new.items() if key not in old),
    )


def _change(before: Result, after: Result) -> Change:
    ratio = after.p50_us / before.p50_us
    verdict: Verdict = "same within noise"
    if max(after.medians_us) < min(before.medians_us) and ratio < 1 - _LEAST:
        verdict = "faster"
    elif min(after.medians_us) > max(before.medians_us) and ratio > 1 + _LEAST:
        verdict = "slower"
    return Change(after.variant, after.engine, after.threads, before.p50_us, after.p50_us, ratio, verdict)


def _key(result: Result) -> _Key:
    return (result.variant, result.engine, result.threads)


def _machine(report: BenchReport) -> str:
    return f"{report.fingerprint}, {report.device.cpu or report.device.machine}, {report.device.usable_cores} cores"
