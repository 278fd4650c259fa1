"""The layers of files on a page: how much noise each has, as bars, with the figures behind them."""

from edgepack import page, plots
from edgepack.convert.layers import Layer, LayerReport, table

_SHOWN = 60
_MARKED = 5
_FLOOR_DB, _TOP_DB = 0.0, 80.0  # what a bar shows; beyond it nobody sees a difference
_LONGEST_NAME = 40

_NOTE = (
    "SNR is the power of the values in the other file over the power of the difference: six decibels are one bit. "
    "It is of the layer's output, with all the noise that came before it. Layers that a file computes in one step are "
    "one row; of a layer that is called several times, the last call is shown."
)


def sections(report: LayerReport) -> list[page.Section]:
    """The plot of a file's layers, where it is compared with another, and the table behind it.

    Args:
        report: What was found; of more than sixty layers those with the most noise are shown.
    """
    rows = _shown(report)
    columns, cells = table(report, rows)
    less = f" {len(rows)} of {len(report.layers)} layers." if len(rows) < len(report.layers) else ""
    where = f"On {report.rows} rows of {report.samples}.{less} {_NOTE}"
    found: list[page.Section] = []
    if report.against and report.worst:
        worst = {one.layer for one in report.worst[:_MARKED]}
        bars = [
            plots.Bar(
                short_name(one.layer),
                min(max(one.against.snr_db, _FLOOR_DB), _TOP_DB),
                group="most noise" if one.layer in worst else "others",
                text=cell[columns.index("SNR dB")],
            )
            for one, cell in zip(rows, cells, strict=True)
            if one.against
        ]
        caption = "Longer is better; layers in the order in which they run."
        title = f"{report.file} against {report.against}, layer by layer"
        drawing = plots.bars(bars, x_label="SNR in dB", groups=("others", "most noise"))
        found.append(page.Plot(title, drawing, caption))
    return [*found, page.Table(f"Layers of {report.file}", columns, tuple(map(tuple, cells)), note=where)]


def render(report: LayerReport) -> str:
    """A page of its own about one file.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    lead = f"What each layer of {report.file} holds" + (f", against {report.against}." if report.against else ".")
    return page.render(f"{report.file}: layer by layer", lead, sections(report))


def short_name(name: str) -> str:
    """The end of a long name: where a file has no layer's name for an operator, it can be hundreds of letters."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[-_LONGEST_NAME + 1 :]}"


def _shown(report: LayerReport) -> list[Layer]:
    """All layers, or those with the most noise, in the order in which they run."""
    if len(report.layers) <= _SHOWN:
        return list(report.layers)
    chosen = {one.layer for one in (report.worst or report.layers)[:_SHOWN]}
    return [one for one in report.layers if one.layer in chosen]
