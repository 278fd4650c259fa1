"""The training curve: loss and metric of each epoch, as an SVG picture."""

import io
from collections.abc import Sequence
from typing import Any

from edgepack.runtime.errors import MissingExtraError
from edgepack.train.fitting import Epoch

_STYLE = {"svg.hashsalt": "edgepack", "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False}
_TRAIN, _VALIDATION, _KEPT = "#3b76d6", "#d9691e", "#808080"


def import_matplotlib() -> Any:
    """The module matplotlib; called before a training, so that it is not missed only after.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        import matplotlib.backends.backend_svg
        import matplotlib.figure
    except ImportError as error:
        raise MissingExtraError("matplotlib, which draws the training curve,", "train") from error
    return mpl


def draw(history: Sequence[Epoch], *, title: str, metric: str, best_epoch: int) -> bytes:
    """The curve as an SVG file; the same history gives the same bytes.

    Args:
        history: The epochs, in order.
        title: What is written above.
        metric: Name of the metric.
        best_epoch: The epoch whose weights were kept, counted from 1.
    """
    mpl = import_matplotlib()
    panels = (
        ("loss", [epoch.loss for epoch in history], [epoch.validation_loss for epoch in history]),
        (metric, [epoch.metric for epoch in history], [epoch.validation_metric for epoch in history]),
    )
    with mpl.rc_context(_STYLE):
        figure = mpl.figure.Figure(figsize=(9, 3.6), layout="constrained")
        mpl.backends.backend_svg.FigureCanvasSVG(figure)
        figure.suptitle(title)
        for axes, (name, train, validation) in zip(figure.subplots(1, 2), panels, strict=True):
            numbers = range(1, len(history) + 1)
            axes.plot(numbers, train, color=_TRAIN, marker=".", label="training")
            axes.plot(numbers, validation, color=_VALIDATION, marker=".", label="validation")
            axes.axvline(best_epoch, color=_KEPT, linestyle=":", label=f"kept: epoch {best_epoch}")
            axes.set(xlabel="epoch", ylabel=name)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(visible=True, alpha=0.2)
            axes.legend(frameon=False)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
