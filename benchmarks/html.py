"""A report as a table for the terminal and as a page for the browser."""

from collections.abc import Callable

from edgepack.benchmarks.report import BenchReport, Result
from edgepack.page import Facts, Mark, Notes, Plot, Section, Table, render
from edgepack.plots import Bar, Point, bars, scatter

# column -> its cell; the page shows speed and cost as two tables, the terminal both as one
_NAMES: dict[str, Callable[[Result], str]] = {
    "variant": lambda one: one.variant,
    "engine": lambda one: one.engine,
    "on": lambda one: one.provider,
    "threads": lambda one: str(one.threads),
}
_SPEED: dict[str, Callable[[Result], str]] = {
    "p50 µs": lambda one: number(one.p50_us),
    "p90 µs": lambda one: number(one.p90_us),
    "p99 µs": lambda one: number(one.p99_us),
    "samples/s": lambda one: f"{one.per_second:,.0f}",
    "spread": lambda one: f"{one.spread:.1%}",
    "vs fastest": lambda one: times(one.to_fastest),
    "vs float32": lambda one: "–" if one.to_float32 is None else times(one.to_float32),
}
_COST: dict[str, Callable[[Result], str]] = {
    "size kB": lambda one: f"{one.file_bytes / 1e3:,.1f}",
    "load ms": lambda one: f"{one.load_ms:,.0f}",
    "first ms": lambda one: f"{one.first_ms:,.2f}",
    "peak MB": lambda one: f"{one.peak_bytes / 1e6:,.0f}",
}
_MEMORY: dict[str, Callable[[Result], str]] = {
    "beyond Python MB": lambda one: f"{one.beyond_bytes / 1e6:,.0f}",
    "laps": lambda one: f"{sum(map(len, one.rounds)):,}",
}
_ALL = {**_NAMES, **_COST, **_SPEED}
COLUMNS = tuple(_ALL)


def cells(result: Result) -> tuple[str, ...]:
    """One row under `COLUMNS`."""
    return tuple(cell(result) for cell in _ALL.values())


def number(value: float) -> str:
    """Microseconds with as many digits as mean something."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def times(ratio: float) -> str:
    """A ratio as a person reads it."""
    return f"{ratio:.2f}×"


def page(report: BenchReport) -> str:
    """The report as one HTML page.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    ordered = sorted(report.results, key=lambda result: result.p50_us)
    sections: list[Section] = []
    if report.warnings:
        sections.append(
            Notes("Read this first", tuple(warning[0].upper() + warning[1:] for warning in report.warnings))
        )
    if ordered:
        sections += [*_tables(ordered, report), *_plots(ordered)]
    if report.failures:
        failed = tuple(
            (one.variant, one.engine, str(one.threads), Mark("failed", "bad"), one.reason) for one in report.failures
        )
        sections.append(Table("What did not run", ("Variant", "Engine", "Threads", "Verdict", "Reason"), failed))
    sections += [_machine(report), _method(report)]
    return render(f"{report.subject.name}: latency on this device", _lead(report, ordered), sections)


def _lead(report: BenchReport, ordered: list[Result]) -> str:
    if not ordered:
        return "Nothing could be measured; the reasons are below."
    best = ordered[0]
    return (
        f"Fastest of {len(ordered)} measured: {best.name}, {number(best.p50_us)} µs for a call with a batch of "
        f"{report.settings.batch} (p50), on {report.device.cpu or report.device.machine}."
    )


def _tables(ordered: list[Result], report: BenchReport) -> tuple[Table, Table]:
    memory = " and ".join(dict.fromkeys(result.memory_source for result in ordered))
    speed = (
        f"Times of one call of session.run with a batch of {report.settings.batch}. Spread: how far the medians of the "
        f"{report.settings.rounds} rounds lie apart. Vs float32: in the same engine with the same threads."
    )
    cost = (
        "Load: imports, reading and preparing in a fresh process; the first one may wait for the disk. First: the "
        f"first inference. Peak: the most memory resident in its own process ({memory}), Python and libraries included."
    )
    return _table("Speed", _SPEED, ordered, speed), _table(
        "Size, start and memory", {**_COST, **_MEMORY}, ordered, cost
    )


def _table(title: str, columns: dict[str, Callable[[Result], str]], ordered: list[Result], note: str) -> Table:
    columns = {**_NAMES, **columns}
    heads = tuple(
        name if name.startswith("p") and name[1].isdigit() else name[0].upper() + name[1:] for name in columns
    )
    return Table(title, heads, tuple(tuple(cell(one) for cell in columns.values()) for one in ordered), note)


def _plots(ordered: list[Result]) -> tuple[Plot, Plot]:
    wide = ordered[-1].p50_us / ordered[0].p50_us > 30
    latency = bars(
        [
            Bar(one.name, one.p50_us, None, one.p90_us, one.library, f"{number(one.p50_us)} µs")
            for one in ordered
        ],
        x_label="p50 of one call in µs; whiskers to p90", log_x=wide,
    )  # fmt: skip
    points = [
        Point(f"{one.variant}, {one.threads}", one.p50_us, one.file_bytes / 1e3, one.peak_bytes, one.library)
        for one in ordered
    ]
    size = scatter(points, x_label="p50 of one call in µs", y_label="file size in kB", log_x=wide)
    return (
        Plot("Latency", latency, "Shorter is better."),
        Plot(
            "Size and latency", size,
            "Lower left is better. A label names variant and threads; the area of a bubble is the peak of memory.",
        ),
    )  # fmt: skip


def _machine(report: BenchReport) -> Facts:
    device = report.device
    memory = "unknown" if device.memory_bytes is None else f"{device.memory_bytes / 1e9:.1f} GB"
    facts = (
        ("Processor", device.cpu), ("Instruction sets", " ".join(device.cpu_flags)),
        ("Usable cores", str(device.usable_cores)), ("Memory", memory),
        ("System", f"{device.system}, {device.machine}"), ("Governor", device.governor),
        ("Temperature", "" if device.temperature_celsius is None else f"{device.temperature_celsius:.0f} °C"),
        ("Load average", "" if device.load_average is None else f"{device.load_average:.2f}"),
        ("Fingerprint", report.fingerprint),
    )  # fmt: skip
    return Facts("This device", tuple((name, value or "unknown") for name, value in facts))


def _method(report: BenchReport) -> Facts:
    settings = report.settings
    providers = ", ".join(dict.fromkeys(f"{one.library} on {one.provider}" for one in report.results))
    return Facts(
        "How it was measured",
        (
            ("Model", f"{report.subject.path}, sha256 {report.subject.sha256[:12]}…"),
            ("Inputs", "; ".join(f"{name}: {text}" for name, text in settings.inputs.items()) or "none"),
            ("Values", settings.input_source or "none"),
            ("Engines", providers or "none"),
            ("Rounds", f"{settings.rounds}, interleaved; each candidate in its own process, the others paused"),
            ("Time", f"{settings.seconds:g} s for each candidate over all rounds"),
            ("Libraries", ", ".join(f"{name} {version}" for name, version in report.libraries.items())),
            ("Begun", report.created),
        ),
    )
