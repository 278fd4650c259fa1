"""What a recipe is to learn: the loss it is fitted by, how good it is then, and the picture that shows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgepack import plots
from edgepack.page import Plot
from edgepack.runtime.tensor import Array

__all__ = ["CLASSES", "REBUILD", "VALUES", "YES_NO", "Task"]

_MOST_POINTS = 500
_MOST_CLASSES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One kind of learning."""

    loss: str
    """Keras's name of the loss."""
    metric: str
    """Keras's name of what is watched while fitting."""
    is_sorting: bool
    """Whether labels are classes, whose shares every part of the data keeps."""
    rebuilds: bool = False
    """Whether the model is to give its own input back; labels are not used then."""
    judge: Callable[[Array, Array], dict[str, float]]
    """Takes outputs and labels of held-out samples, gives figures by name."""
    picture: Callable[[Array, Array, Sequence[str]], Plot | None]
    """Takes the same and the labels' names, gives what to look at; None where there is nothing to see."""


def _judge_classes(outputs: Array, labels: Array) -> dict[str, float]:
    from sklearn.metrics import f1_score

    found = outputs.argmax(axis=-1)
    return {
        "accuracy": float((found == labels).mean()),
        "macro_f1": float(f1_score(labels, found, average="macro", zero_division=0.0)),
    }


def _judge_yes_no(outputs: Array, labels: Array) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    scores = outputs.reshape(len(outputs))
    both = len(np.unique(labels)) == 2
    return {
        "accuracy": float(((scores > 0.5) == (labels > 0.5)).mean()),
        **({"roc_auc": float(roc_auc_score(labels, scores))} if both else {}),
    }


def _judge_values(outputs: Array, labels: Array) -> dict[str, float]:
    found, wanted = outputs.reshape(len(outputs), -1), labels.reshape(len(labels), -1)
    errors = found - wanted
    spread = float(np.square(wanted - wanted.mean(axis=0)).sum())
    return {
        "r2": 1 - float(np.square(errors).sum()) / (spread or 1.0),
        "mean_absolute_error": float(np.abs(errors).mean()),
        "root_mean_squared_error": float(np.sqrt(np.square(errors).mean())),
    }


def _confusion(outputs: Array, labels: Array, names: Sequence[str]) -> Plot | None:
    """How often each class was taken for each."""
    found = outputs.argmax(axis=-1) if outputs.ndim > 1 and outputs.shape[-1] > 1 else outputs.reshape(-1) > 0.5
    size = max(len(names), int(labels.max()) + 1)
    if size > _MOST_CLASSES:
        return None
    counts = np.zeros((size, size), np.int64)
    np.add.at(counts, (labels.astype(np.int64), found.astype(np.int64)), 1)
    shown = [*names, *map(str, range(len(names), size))]
    drawn = plots.grid(counts.tolist(), shown, x_label="what the model says", y_label="what it is")
    return Plot("Confusion matrix", drawn, "Rows add up to the test samples of that class; what is right is diagonal.")


def _residuals(outputs: Array, labels: Array, names: Sequence[str]) -> Plot | None:
    """What was said over what is, for a part of the samples that is spread evenly."""
    wanted, found = labels.reshape(-1), outputs.reshape(-1)
    chosen = np.linspace(0, len(wanted) - 1, min(_MOST_POINTS, len(wanted))).astype(np.int64)
    points = [(float(wanted[index]), float(found[index])) for index in chosen]
    drawn = plots.cloud(points, x_label="what it is", y_label="what the model says")
    return Plot("Said and true values", drawn, "On the dotted line the model is right; how far off is its error.")


CLASSES = Task(
    loss="sparse_categorical_crossentropy", metric="accuracy", is_sorting=True, judge=_judge_classes, picture=_confusion
)
"""One of several classes: a softmax, and class numbers."""
YES_NO = Task(
    loss="binary_crossentropy", metric="binary_accuracy", is_sorting=True, judge=_judge_yes_no, picture=_confusion
)
"""Yes or no: one sigmoid, and 0 or 1."""
VALUES = Task(
    loss="mean_squared_error", metric="mean_absolute_error", is_sorting=False, judge=_judge_values, picture=_residuals
)
"""Numbers."""
REBUILD = Task(
    loss="mean_squared_error", metric="mean_absolute_error", is_sorting=False, rebuilds=True, judge=_judge_values,
    picture=_residuals,
)  # fmt: skip
"""The input itself, through a narrow place."""
