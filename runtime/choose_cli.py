"""The command `edgepack choose`, a thin skin: arguments in, one library call, a table, a page or JSON out."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from edgepack import console
from edgepack.page import Facts, Notes, Plot, Section, Table, render
from edgepack.plots import Bar, bars, require
from edgepack.runtime.choices import Choice, Measurement
from edgepack.runtime.choose import DEFAULT_DROP
from edgepack.runtime.choose import choose as choose_way
from edgepack.runtime.writing import check_output, write_bytes

_COLUMNS = ("variant", "engine", "provider", "threads", "p50 µs", "p90 µs", "rows/s", "memory MB", "size kB", "verdict")


def choose(  # noqa: PLR0913 - options of a command
    pack: Path,
    /,
    *,
    objective: str = "latency",
    seconds: float = 60.0,
    max_drop: float = DEFAULT_DROP,
    variant: str = "auto",
    engine: str | None = None,
    provider: str = "all",
    threads: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    rows: int | None = None,
    remember: bool = True,
    html: Path | None = None,
    force: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Measure variant × engine × provider × threads on this device, and remember the best.

    Args:
        pack: A pack.
        objective: What is to be best: latency (the median), p90, throughput, memory or size.
        seconds: How long measuring may take.
        max_drop: How much of the task metric, or of the agreement with Keras, a variant may lose.
        variant: A name or a precision; by default all that are inside the budget.
        engine: One engine; by default all that are installed.
        provider: all, or names as run takes them, separated by commas.
        threads: Numbers of threads to try; by default 1 and all usable cores.
        rows: Rows of one call; by default 1, and 16 for throughput.
        remember: Let load and run take this choice from now on.
        html: Write a page with a plot there.
        force: Replace what is at --html.
        json: Print one JSON document on stdout and nothing else.
    """
    if html is not None:
        check_output(html, force=force)
        require()
    names = tuple(part.strip() for part in provider.split(","))
    with console.progress("choosing", total=1) as advance:
        choice = choose_way(
            pack, objective=objective, seconds=seconds, max_drop=max_drop, variant=variant, engine=engine,
            provider=names, threads=threads or None, rows=rows, remember=remember,
            progress=lambda text: advance(0, text),
        )  # fmt: skip
        advance(1)
    if html is not None:
        write_bytes(html, _page(choice).encode())
        console.note(f"wrote {html}")
    if json:
        console.show_json(choice)
        return 0
    console.show_table(
        f"Ways to run {pack} here, best {_aim(choice)} first", _COLUMNS, map(_cells, choice.measurements)
    )
    console.show(f"chosen: {choice.way}")
    for warning in choice.warnings:
        console.note(f"edgepack: {warning}")
    return 0


def _aim(choice: Choice) -> str:
    return {"p90": "90 % latency", "size": "file size"}.get(choice.objective, choice.objective)


def _cells(one: Measurement) -> tuple[str, ...]:
    provider = f"{one.way.provider} ({one.device}{', software' if one.software else ''})" if one.device else ""
    return (
        one.way.variant, one.way.engine, provider or one.way.provider, str(one.way.threads), _number(one.p50_us),
        _number(one.p90_us), _number(one.rows_per_second, digits=0), _number(one.memory_bytes, 1e6),
        _number(one.size_bytes, 1e3), one.reason or "measured",
    )  # fmt: skip


def _number(value: float | None, unit: float = 1.0, digits: int = 1) -> str:
    return "–" if value is None else f"{value / unit:,.{digits}f}"


def _bar(one: Measurement) -> Bar:
    low, high = min(one.rounds_us), max(one.rounds_us)
    return Bar(str(one.way), one.p50_us or 0.0, low, high, group=one.way.engine, text=f"{_number(one.p50_us)} µs")


def _page(choice: Choice) -> str:
    """The choice as one HTML page; raises `MissingExtraError` where matplotlib or jinja2 is not installed."""
    measured = [one for one in choice.measurements if one.p50_us is not None]
    others = [one for one in choice.measurements if one.p50_us is None]
    best = choice.best
    sections: list[Section] = [Notes("Read this first", choice.warnings)] if choice.warnings else []
    sections.append(Table("Measured here, best first", _COLUMNS[:-1], tuple(_cells(one)[:-1] for one in measured)))
    sections.append(
        Plot(
            "Time of one call",
            bars([_bar(one) for one in measured], x_label="µs, median of the laps"),
        )
    )
    if others:
        rows = tuple((str(one.way), one.reason) for one in others)
        sections.append(Table("Not candidates, or not measured", ("Way", "Reason"), rows))
    facts = {
        "measured": choice.measured, "device": choice.device, "rows of a call": str(choice.rows),
        "rounds of the best differ by": f"{choice.noise:.0%}",
    }  # fmt: skip
    sections.append(Facts("How it was measured", tuple(facts.items())))
    lead = f"Best {_aim(choice)} of {len(measured)} ways: {choice.way}, {_number(best.p50_us)} µs."
    return render(f"{Path(choice.pack).name}: chosen on this device", lead, sections)
