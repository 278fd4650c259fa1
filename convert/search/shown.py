"""A search for people: the table of the front, the page's plot and its table of all trials."""

from edgepack import page, plots
from edgepack.convert.search.choice import said
from edgepack.convert.search.findings import Findings, Line
from edgepack.runtime.manifest import FORMATS

COLUMNS = ("file", "in the pack as", "latency µs", "of float32", "size kB", "quality", "lost", "verdict")


def front_rows(findings: Findings) -> list[tuple[str, ...]]:
    """The front and float32, a row each for `COLUMNS`; the choice is the first."""
    shown = [one for one in findings.lines if one.packed or one.on_front or one.tried.precision == "float32"]
    return [_row(one, findings) for one in _ordered(shown, findings)]


def sections_of(findings: Findings) -> list[page.Section]:
    """The front as a plot, and every trial as a table.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    rows: tuple[tuple[page.Cell, ...], ...] = tuple(
        (*_row(one, findings)[:-1], page.Mark(_verdict(one, findings), "good" if one.is_right else "bad"))
        for one in _ordered(findings.lines, findings)
    )
    untried = tuple(f"{one.variant}: {one.reason}" for one in findings.untried)
    return [
        page.Plot(
            "Search",
            plots.scatter(
                [_point(one, findings) for one in findings.lines if one.latency_us is not None],
                x_label="median latency in µs", y_label=findings.basis, log_x=True, groups=tuple(FORMATS),
                title=f"{len(findings.lines)} trials by latency and {findings.basis}; {findings.because}",
            ),
            "Up and to the left is better; the larger the bubble, the larger the file. Rings: the Pareto front; the "
            "thick one: the choice. Names: the front, the choice of each format, and float32.",
        ),
        page.Table("Trials", COLUMNS, rows, note=_note(findings)),
        *([page.Notes("Not tried", untried)] if untried else []),
        *([page.Notes("Before you trust it", findings.warnings)] if findings.warnings else []),
    ]  # fmt: skip


def _point(one: Line, findings: Findings) -> plots.Point:
    chosen = one.tried.variant == findings.chosen
    plain = one.tried.precision == "float32"
    named = one.on_front or chosen or plain or one.tried.variant in findings.chosen_by_format.values()
    return plots.Point(
        label=one.tried.variant if named else "", x=one.latency_us or 0.0, y=one.tried.quality,
        size=one.tried.size_bytes, group=one.tried.format, ring=2.4 if chosen else 0.9 if one.on_front else 0.0,
    )  # fmt: skip


def _row(one: Line, findings: Findings) -> tuple[str, ...]:
    lost = one.tried.lost
    return (
        one.tried.variant,
        one.packed or "–",
        "–" if one.latency_us is None else f"{one.latency_us:,.1f}",
        "–" if one.of_fastest is None else f"{one.of_fastest:.2f}",
        f"{one.tried.size_bytes / 1000:,.1f}" if one.tried.size_bytes else "–",
        "–" if one.tried.parity is None else f"{one.tried.quality:.4g}",
        "–" if lost is None else f"{lost:.4f}",
        _verdict(one, findings),
    )


def _verdict(one: Line, findings: Findings) -> str:
    if one.tried.variant == findings.chosen:
        return "chosen"
    if one.tried.variant in findings.chosen_by_format.values():
        return f"chosen for {one.tried.format}"
    return one.verdict


def _ordered(lines: "tuple[Line, ...] | list[Line]", findings: Findings) -> list[Line]:
    """The choice, then the right ones, then the others, the fastest first."""
    return sorted(
        lines,
        key=lambda one: (one.tried.variant != findings.chosen, not one.is_right, one.latency_us or float("inf")),
    )


def _note(findings: Findings) -> str:
    asked = findings.asked
    budgets = [
        *([f"at most {findings.max_drop:g} may be lost"] if findings.max_drop is not None else []),
        *([f"at most {said(asked.max_size)}"] if asked.max_size is not None else []),
        *([f"at most {asked.max_latency_us:,.0f} µs"] if asked.max_latency_us is not None else []),
    ]
    return (
        f"{findings.because}. Aim: {asked.aim}{''.join(f'; {one}' for one in budgets)}. Latency: one row, "
        f"{asked.said_threads}, beside float32 in the same rounds, on {findings.machine['cpu']}; 'of float32' is of "
        f"the faster of the float32 files. Quality: {findings.basis}. It took {findings.seconds:,.0f} s."
    )
