"""What a training has come to, as one page: figures, curves, what was mistaken for what, and where it comes from."""

from collections.abc import Sequence
from typing import Any

from edgepack import plots
from edgepack.page import Facts, Notes, Plot, Section, render
from edgepack.runtime.manifest import Card
from edgepack.runtime.tensor import Array
from edgepack.train.fitting import Fit
from edgepack.train.tasks import Task

__all__ = ["page"]


def page(
    card: Card,
    task: Task,
    fitted: Fit,
    data: Sequence[tuple[str, str]],
    tested: tuple[Array, Array],
    names: Sequence[str],
) -> str:
    """The report of one training as an HTML page.

    Args:
        card: The model's card.
        task: What was learned.
        fitted: The epochs.
        data: Names and values that tell what the data is.
        tested: The model's outputs on the test samples, and their labels.
        names: The labels' names, in the order of their numbers.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    history = fitted.history
    metric = task.metric.replace("_", " ")
    loss = plots.curves(
        {"training": [one.loss for one in history], "validation": [one.validation_loss for one in history]},
        x_label="epoch", y_label="loss", mark=fitted.best_epoch,
    )  # fmt: skip
    quality = plots.curves(
        {"training": [one.metric for one in history], "validation": [one.validation_metric for one in history]},
        x_label="epoch", y_label=metric, mark=fitted.best_epoch,
    )  # fmt: skip
    picture = task.picture(*tested, names)
    sections: list[Section] = [
        Facts("Result", tuple((name.replace("_", " "), f"{value:,.4g}") for name, value in card.metrics.items())),
        *([picture] if picture else []),
        Plot("Loss", loss, f"The weights of epoch {fitted.best_epoch} were kept, the dotted line."),
        Plot(metric[0].upper() + metric[1:], quality),
        Facts("Data", tuple(data)),
        Facts("Tensors", tuple(card.meanings.items())),
        *([Notes("What it is for, and what not", card.notes)] if card.notes else []),
        Facts("Training", tuple((name.replace("_", " "), _text(value)) for name, value in card.recipe.items())),
    ]
    return render(f"{card.name}: training report", f"{card.summary[:1].upper()}{card.summary[1:]}.", sections)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return str(value)
