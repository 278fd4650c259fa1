"""The task metric: how good a file is at what the model is for, and how much of it was lost."""

from collections.abc import Callable, Mapping

import numpy as np

from edgepack.runtime.errors import DataError
from edgepack.runtime.tensor import Array

# name -> function of (outputs (samples, …), labels (samples, …)); in all of them more is better
_METRICS: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": lambda outputs, labels: float((outputs.argmax(axis=-1) == labels.reshape(len(labels))).mean()),
    "binary_accuracy": lambda outputs, labels: float(((outputs.ravel() > 0.5) == (labels.ravel() > 0.5)).mean()),
    "r2": lambda outputs, labels: (
        1
        - float(np.square(labels - outputs.reshape(labels.shape)).sum())
        / float(np.square(labels - labels.mean(axis=0)).sum() or 1.0)
    ),
}


def pick(labels: Mapping[str, Array], outputs: Mapping[str, Array]) -> tuple[str, str] | None:
    """The first labelled output and the metric that fits it; None where nothing is labelled.

    Class numbers against scores make `accuracy`, 0 and 1 against one score `binary_accuracy`, values `r2` (the
    coefficient of determination).

    Raises:
        DataError: The labels fit none of them.
    """
    if not labels:
        return None
    name = next(iter(labels))
    wanted, got = labels[name], outputs[name]
    classes = got.shape[-1] if got.ndim > 1 else 1
    whole = wanted.dtype.kind in "biu"
    if whole and wanted.size == len(got) and classes > 1 and got.ndim == 2:
        low, high = int(wanted.min()), int(wanted.max())
        if low < 0 or high >= classes:
            raise DataError(
                f"the labels of {name!r} go from {low} to {high}; the model has {classes} classes (0 to {classes - 1})"
            )
        return name, "accuracy"
    if whole and classes > 1 and wanted.shape == got.shape and (wanted.sum(axis=-1) == 1).all():
        raise DataError(f"the labels of {name!r} are one-hot rows; give class numbers: labels.argmax(axis=-1)")
    if wanted.dtype.kind == "f" and classes > 1 and wanted.shape == (len(got),) and got.ndim == 2:
        raise DataError(
            f"the labels of {name!r} are {wanted.dtype} numbers; class numbers are integers: labels.astype(int)"
        )
    if whole and classes == 1 and wanted.size == got.size and set(np.unique(wanted)) <= {0, 1}:
        return name, "binary_accuracy"
    if wanted.size == got.size:
        return name, "r2"
    raise DataError(
        f"the labels of {name!r} have shape {wanted.shape}, the output {got.shape}: give class numbers (samples,), "
        "or values in the shape of the output"
    )


def score(metric: str, outputs: Array, labels: Array) -> float:
    """The value of a metric of `pick`; NaN outputs count as wrong."""
    return _METRICS[metric](np.nan_to_num(outputs, nan=-np.inf) if metric != "r2" else outputs, labels)
