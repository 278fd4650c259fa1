"""Plots as `<svg …>` text that stands in a page: its colours, its fonts, and words for those who hear it."""

import hashlib
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from typing import Any
from xml.etree import ElementTree as ET

from edgepack.labels import Box, Bubble, place
from edgepack.runtime.errors import MissingExtraError

__all__ = ["Bar", "Point", "bars", "cloud", "curves", "grid", "require", "scatter"]

_MAKERS = {"matplotlib": "draws the plots", "jinja2": "fills in the page"}
_INK = "#010203"  # stands for the colour of the text, which the page decides; becomes currentColor
_COLOURS = ("#3b76d6", "#d9691e", "#15908a", "#9a5fd0", "#d1477f", "#85861f")  # each 3:1 on white and on black
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_FONT_SIZE = 8.5  # points, of 460 across
_WIDTH, _HEIGHT = 460.0, 290.0  # points
_BIGGEST_BUBBLE, _ONLY_BUBBLE = 420.0, 90.0  # square points; the second where all are of one size
_ALIGNED = {1: "left", 0: "center", -1: "right"}  # by the side of the bubble on which a label lies
_STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "svg.hashsalt": "edgepack",
    "text.parse_math": False,  # a name may hold dollar signs
    "font.family": "DejaVu Sans",  # ships with matplotlib, and is wide: what fits with it fits with the page's own
    "font.size": _FONT_SIZE,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
_CONTROL = re.compile(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML cannot hold


@dataclass(frozen=True, slots=True)
class Point:
    """A bubble: where, how large (its area grows with `size`), in whose colour, and with a ring of so many points."""

    label: str
    x: float
    y: float
    size: float = 1.0
    group: str = ""
    ring: float = 0.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A horizontal bar, with whiskers from `low` to `high`; `text` is written at its end instead of the value."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    group: str = ""
    text: str = ""


def require() -> None:
    """Raise `MissingExtraError` unless what makes pages is installed; ask before the long work, not after it."""
    for module, what in _MAKERS.items():
        if find_spec(module) is None:
            raise MissingExtraError(f"{module}, which {what},", "page")


def scatter(
    points: Sequence[Point],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    log_x: bool = False,
    groups: Sequence[str] = (),
) -> str:
    """A bubble for each point with its label beside it, as `<svg …>` text; the wider its ring, the nearer its label.

    Args:
        points: Those without a finite place are left out, and on a logarithmic axis those at or below zero.
        x_label: What runs to the right, with its unit.
        y_label: What runs upward, with its unit.
        title: What the drawing shows, for those who hear the page; made up from the axes when empty.
        log_x: Whether the x axis is logarithmic.
        groups: The order in which colours are given; without it the first group that comes has the first.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    shown = [point for point in points if _can_show(point.x, log=log_x) and _can_show(point.y)]
    colours = _colours((point.group for point in shown), groups)
    shown.sort(key=lambda point: -point.ring)
    areas = _areas([point.size for point in shown])
    with _figure(_HEIGHT) as figure:
        axes = figure.add_subplot()
        for point, area in sorted(zip(shown, areas, strict=True), key=lambda pair: -pair[1]):  # small ones on top
            axes.scatter([point.x], [point.y], s=area, color=colours[point.group], alpha=0.75, linewidths=0)
            if point.ring:
                axes.scatter([point.x], [point.y], s=area, facecolors="none", edgecolors=_INK, linewidths=point.ring)
        axes.margins(x=0.12, y=0.16)
        axes.grid(visible=True)
        _prepare(axes, [point.x for point in shown], x_label, y_label, log_x=log_x)
        _add_legend(figure, colours, named=bool(groups))
        figure.draw_without_rendering()  # fixes where the axes are, which the labels need
        places = [axes.transData.transform((point.x, point.y)) * 72 / figure.dpi for point in shown]
        _write_labels(axes, [_text(point.label) for point in shown], places, areas)
        return _svg(figure, title or f"{y_label} over {x_label}, {len(shown)} points")


def bars(rows: Sequence[Bar], *, x_label: str, log_x: bool = False, groups: Sequence[str] = ()) -> str:
    """A horizontal bar for each row, the first on top, as `<svg …>` text.

    Args:
        rows: Those without a finite value are left out, and on a logarithmic axis those at or below zero.
        x_label: What the length of a bar means, with its unit.
        log_x: Whether the axis is logarithmic; it then starts below the smallest value.
        groups: The order in which colours are given; without it the first group that comes has the first.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    shown = [row for row in rows if _can_show(row.value, log=log_x)]
    colours = _colours((row.group for row in shown), groups)
    with _figure(64 + 21 * len(shown)) as figure:
        axes = figure.add_subplot()
        ends = [max(row.value, row.high or 0.0) for row in shown]
        _prepare(axes, ends, x_label, log_x=log_x)
        for place, (row, end) in enumerate(zip(shown, ends, strict=True)):
            axes.barh([place], [row.value], height=0.62, color=colours[row.group], alpha=0.85)
            low, high = row.low if row.low is not None else row.value, row.high if row.high is not None else row.value
            if high > low:
                axes.plot([low, high], [place, place], color=_INK, linewidth=1, marker="|", markersize=5)
            text = _text(row.text or _number(row.value))
            axes.annotate(text, (end, place), (5, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(shown)), [_text(row.label) for row in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        if shown:
            low, high = axes.get_xlim()
            axes.set_xlim(low, high * (high / low) ** 0.18 if log_x else high * 1.16)  # room for the texts at the ends
        axes.grid(visible=True, axis="x")
        _add_legend(figure, colours, named=bool(groups))
        return _svg(
            figure, f"{x_label}: " + "; ".join(f"{row.label} {row.text or _number(row.value)}" for row in shown)
        )


def curves(series: Mapping[str, Sequence[float]], *, x_label: str, y_label: str, mark: int | None = None) -> str:
    """A line for each series over 1, 2, 3, …, as `<svg …>` text.

    Args:
        series: Values by name; what is not finite leaves a gap.
        x_label: What is counted to the right.
        y_label: What runs upward, with its unit.
        mark: A place along x that a dotted line stands at.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    colours = _colours(series)
    with _figure(_HEIGHT * 0.8) as figure:
        axes = figure.add_subplot()
        for name, values in series.items():
            axes.plot(range(1, len(values) + 1), values, color=colours[name], marker=".", linewidth=1.4)
        if mark is not None:
            axes.axvline(mark, color=_INK, linestyle=":", linewidth=1)
        axes.grid(visible=True)
        _prepare(axes, [], x_label, y_label, log_x=False)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _add_legend(figure, colours)
        last = "; ".join(f"{name} ends at {_number(values[-1])}" for name, values in series.items() if len(values))
        return _svg(figure, f"{y_label} over {x_label}: {last}")


def cloud(points: Sequence[tuple[float, float]], *, x_label: str, y_label: str) -> str:
    """Many points and the line on which both are equal, as `<svg …>` text.

    Args:
        points: Pairs of what runs to the right and what runs upward, in one unit.
        x_label: What runs to the right, with its unit.
        y_label: What runs upward, with its unit.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    shown = [point for point in points if all(map(math.isfinite, point))]
    with _figure(_HEIGHT) as figure:
        axes = figure.add_subplot()
        ends = [value for point in shown for value in point] or [0.0, 1.0]
        axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color=_INK, linestyle=":", linewidth=1)
        axes.scatter(
            [x for x, _ in shown], [y for _, y in shown], s=12, color=_COLOURS[0], alpha=0.55, linewidths=0
        )  # fmt: skip
        axes.grid(visible=True)
        _prepare(axes, [x for x, _ in shown], x_label, y_label, log_x=False)
        return _svg(figure, f"{y_label} over {x_label}, {len(shown)} points")


def grid(counts: Sequence[Sequence[int]], names: Sequence[str], *, x_label: str, y_label: str) -> str:
    """A square of counts, the larger the darker, as `<svg …>` text; shades are of a row's own sum.

    Args:
        counts: As many rows as columns.
        names: What row and column of each number stand for.
        x_label: What the columns are.
        y_label: What the rows are.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    size = len(names)
    with _figure(90 + 22 * size) as figure:
        axes = figure.add_subplot()
        for row, values in enumerate(counts):
            total = sum(values) or 1
            for column, value in enumerate(values):
                axes.add_patch(_square(column, row, min(1.0, 0.08 + 0.92 * value / total) if value else 0.0))
                dark = value / total > 0.5
                axes.text(column, row, f"{value:,}", ha="center", va="center", color="white" if dark else _INK)
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.set_xticks(range(size), [_text(name) for name in names])
        axes.set_yticks(range(size), [_text(name) for name in names])
        axes.tick_params(length=0)
        axes.set_xlabel(_text(x_label))
        axes.set_ylabel(_text(y_label))
        right = sum(values[place] for place, values in enumerate(counts))
        return _svg(figure, f"{x_label} for each of {y_label}: {right} of {sum(map(sum, counts))} on the diagonal")


def _square(column: int, row: int, shade: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=_COLOURS[0], alpha=shade, linewidth=0)


def _can_show(value: float, *, log: bool = False) -> bool:
    return math.isfinite(value) and (value > 0 or not log)


def _text(text: str) -> str:
    """The text without what XML cannot hold, on one line."""
    return " ".join(_CONTROL.sub("�", text).split())


def _areas(sizes: Sequence[float]) -> list[float]:
    """The area of each bubble in square points, by its size; small ones can still be seen."""
    largest = max(sizes, default=0.0)
    if largest <= min(sizes, default=0.0):
        return [_ONLY_BUBBLE] * len(sizes)
    return [max(14.0, _BIGGEST_BUBBLE * size / largest) for size in sizes]


def _number(value: float) -> str:
    """Three digits, and no exponent where people expect none."""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e9 else f"{value:.3g}"


def _colours(found: Iterable[str], order: Sequence[str] = ()) -> dict[str, str]:
    """A colour for each group that is found, in the order asked for, then in the order they come."""
    known = list(dict.fromkeys(found))
    every = dict.fromkeys((*order, *known))
    return {group: _COLOURS[index % len(_COLOURS)] for index, group in enumerate(every) if group in known}


@contextmanager
def _figure(height: float) -> Iterator[Any]:
    """A figure of our style, `height` points high; everything is drawn and written inside of the block."""
    require()
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has the fonts, not matplotlib
        figure = Figure(figsize=(_WIDTH / 72, height / 72), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure


def _prepare(axes: Any, values: Sequence[float], x_label: str, y_label: str = "", *, log_x: bool) -> None:
    """Label the axes and their ticks, in plain numbers on a logarithmic axis too; `values` are those along x."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.ticklabel_format(style="plain", useOffset=False)
    if log_x and values:
        axes.set_xscale("log")
        spread = max(values) / min(values)
        subs = (1, 1.5, 2, 3, 4, 5, 7) if spread < 10 else (1, 2, 5) if spread < 300 else (1,)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: _number(value))
    axes.set_xlabel(_text(x_label))
    axes.set_ylabel(_text(y_label))
    axes.tick_params(length=0)


def _add_legend(figure: Any, colours: dict[str, str], *, named: bool = False) -> None:
    """Say whose colour is whose, above the drawing; one colour needs no words where it has no name that stays."""
    from matplotlib.lines import Line2D

    if not colours or (len(colours) < 2 and not named):
        return
    dots = [Line2D([], [], color=colour, linestyle="", marker="o", markersize=6) for colour in colours.values()]
    names = [_text(group) for group in colours]
    figure.legend(dots, names, loc="outside upper left", ncols=5, handlelength=1, handletextpad=0.4, borderpad=0.3)


def _write_labels(axes: Any, labels: Sequence[str], places: Sequence[Sequence[float]], areas: Sequence[float]) -> None:
    """Write each label beside its bubble, the first ones first; far ones get a thin line. Unit: points."""
    bubbles = [
        Bubble(float(x), float(y), math.sqrt(area / math.pi), _width(label))
        for label, (x, y), area in zip(labels, places, areas, strict=True)
    ]
    frame = Box(*(72 / axes.figure.dpi * edge for edge in axes.bbox.extents))
    for label, bubble, found in zip(labels, bubbles, place(bubbles, frame, 1.15 * _FONT_SIZE), strict=True):
        if found is None:
            continue
        box, (dx, dy) = found.box, found.side
        line: dict[str, Any] = {
            "arrowstyle": "-", "color": _INK, "alpha": 0.4, "linewidth": 0.5, "shrinkA": 0, "shrinkB": bubble.radius,
            "relpos": ((1 - dx) / 2, (1 - dy) / 2),
        }  # fmt: skip
        axes.annotate(
            label, (bubble.x, bubble.y), (box.left + (box.right - box.left) * (1 - dx) / 2, (box.bottom + box.top) / 2),
            xycoords="figure points", textcoords="figure points", va="center",
            ha=_ALIGNED[dx], arrowprops=line if found.line else None,
            annotation_clip=False,
        ).set_in_layout(False)  # fmt: skip


def _width(label: str) -> float:
    """About how many points a label is wide."""
    return 0.58 * _FONT_SIZE * sum(2 if ord(letter) > 0x2E7F else 1 for letter in label)


def _svg(figure: Any, spoken: str) -> str:
    """The figure as `<svg …>` that can stand inside of a page: own ids, no style of its own for the rest."""
    stream = StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(stream.getvalue())
    mine = f"p{hashlib.sha256(stream.getvalue().encode()).hexdigest()[:8]}-"
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update({name: _inlined(name, value, mine) for name, value in attributes.items()})
    box = root.get("viewBox", "")
    root.attrib.clear()
    style = f"font-family: {_FONT}; stroke-linejoin: round; stroke-linecap: butt"
    root.attrib.update(xmlns="http://www.w3.org/2000/svg", viewBox=box, role="img", style=style)
    root.set("aria-label", _text(spoken))
    return ET.tostring(root, encoding="unicode")


def _inlined(name: str, value: str, mine: str) -> str:
    """An attribute's value with ids that no other drawing has, in the colour and the font of the page."""
    if name == "id":
        return mine + value
    value = re.sub(r"(?<=url\(#)|(?<=^#)", mine, value) if name in {"href", "clip-path"} else value
    value = value.replace(_INK, "currentColor")
    value = re.sub(r"font: ([\d.]+px) [^;]*", r"font-size: \1", value)  # some versions of matplotlib write it short
    return re.sub(r"font-family: [^;]*; *", "", value)
