"""The commands `bench` and `diff`: thin skins over `latency.bench` and `diff.compare`."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from edgepack import console
from edgepack.benchmarks import html as html_report
from edgepack.benchmarks.diff import compare
from edgepack.benchmarks.latency import bench as measure
from edgepack.benchmarks.report import BenchReport, encode, read_report
from edgepack.plots import require
from edgepack.runtime.errors import EngineError, InputError
from edgepack.runtime.writing import check_output, write_bytes

Json = Annotated[bool, Parameter(name="--json", negative="")]
Flag = Annotated[bool, Parameter(negative="")]


def bench(  # noqa: PLR0913 - each is an option of the command
    pack: Path,
    /,
    *,
    variant: str | None = None,
    engine: str | None = None,
    threads: str | None = None,
    batch: int = 1,
    rounds: int = 5,
    seconds: float = 2.0,
    html: Path | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    force: Flag = False,
    json: Json = False,
) -> int:
    """Measure every variant, engine and thread count on this device.

    Args:
        pack: A pack, or a bare .tflite or .onnx file.
        variant: Names of variants or precisions, separated by commas; by default all.
        engine: "onnx", "litert", "openvino", or several separated by commas; by default all that are installed.
        threads: Threads a call may use, separated by commas; by default 1 and the cores this process may use.
        batch: Rows in a call.
        rounds: How often each candidate takes its turn.
        seconds: Measuring time for each candidate, over all rounds.
        html: Write a page with plots to this file.
        output: Write the report, every lap included, to this JSON file.
        force: Replace files that exist.
        json: Print the report as JSON on stdout and nothing else.
    """
    for path in (html, output):
        if path is not None:
            check_output(path, force=force)
    if html is not None:
        require()
    report = measure(
        pack, variants=_names(variant), engines=_names(engine), threads=_counts(threads), batch=batch, rounds=rounds,
        seconds=seconds, progress=_say,
    )  # fmt: skip
    if output is not None:
        write_bytes(output, encode(report))
    if html is not None:
        write_bytes(html, html_report.page(report).encode())
    if json:
        console.show(encode(report).decode().rstrip())  # on one line: indented, every lap would take a line
    else:
        _show(report)
    if not report.results:
        reason = report.failures[0].reason if report.failures else "the pack holds no variant"
        raise EngineError(f"nothing in {pack} could be measured: {reason}")
    return 0


def diff(before: Path, after: Path, /, *, across_machines: Flag = False, json: Json = False) -> int:
    """Compare two JSON reports of `edgepack bench`.

    Args:
        before: The earlier report.
        after: The later one.
        across_machines: Compare although they are of different machines.
        json: Print one JSON document on stdout and nothing else.
    """
    found = compare(read_report(before), read_report(after), across_machines=across_machines)
    if json:
        console.show_json(found)
        return 0
    rows = [
        (
            one.variant, one.engine, one.threads, html_report.number(one.before_us), html_report.number(one.after_us),
            html_report.times(one.ratio), one.verdict,
        )
        for one in found.changes
    ]  # fmt: skip
    columns = ("variant", "engine", "threads", "before, p50 µs", "after, p50 µs", "after/before", "verdict")
    console.show_table(f"{before} → {after}", columns, rows)
    for place, names in ((before, found.only_before), (after, found.only_after)):
        for name in names:
            console.note(f"only in {place}: {name}")
    return 0


def _show(report: BenchReport) -> None:
    ordered = sorted(report.results, key=lambda result: result.p50_us)
    if ordered:
        settings = report.settings
        title = f"{report.subject.name}, batch {settings.batch}, {settings.rounds} rounds, {settings.input_source}"
        console.show_table(title, html_report.COLUMNS, [html_report.cells(result) for result in ordered])
    for library in dict.fromkeys(f"{one.engine} is {one.library}, on {one.provider}" for one in ordered):
        console.note(library)
    for failure in report.failures:
        console.note(f"failed: {failure.variant}, {failure.engine}, threads={failure.threads}: {failure.reason}")
    for warning in report.warnings:
        console.note(f"warning: {warning}")


def _say(done: int, total: int, text: str) -> None:
    """Progress without a thread of its own: a bar that redraws itself would disturb what is measured."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K[{done}/{total}] {text}" if done < total else "\r\x1b[K")
        sys.stderr.flush()
    elif done * 10 // total != (done - 1) * 10 // total:  # a log needs a tenth of the lines
        console.note(f"[{done}/{total}] {text}")


def _names(text: str | None) -> tuple[str, ...] | None:
    """The names between the commas; None stays None."""
    if text is None:
        return None
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise InputError(f"{text!r} names nothing; give names separated by commas, or leave the option out")
    return names


def _counts(text: str | None) -> tuple[int, ...] | None:
    names = _names(text)
    try:
        return None if names is None else tuple(int(name) for name in names)
    except ValueError as error:
        raise InputError(f"threads is {text!r}; it takes whole numbers separated by commas: 1,2") from error
