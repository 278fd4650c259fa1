"""The task metric: how good a file is at what the model is for, and how much of it was lost."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from edgepack.runtime.errors import DataError, UnknownNameError
from edgepack.runtime.manifest import Metric
from edgepack.runtime.tensor import Array, describe

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


AGREEMENT = "agreement"
"""The metric that takes no labels: the share of rows with the winner that Keras has. It is what is left without labels;
asked for by name, labels are left aside."""

NAMES = (*_METRICS, AGREEMENT)


def check_name(asked: str | None) -> None:
    """Raise `UnknownNameError` for a metric that there is none of."""
    if asked is not None and asked not in NAMES:
        raise UnknownNameError("metric", asked, NAMES)


def pick(labels: Mapping[str, Array], outputs: Mapping[str, Array], asked: str | None = None) -> dict[str, str]:
    """The metric of each labelled output; empty where nothing is labelled, or `agreement` was asked for.

    Class numbers against scores make `accuracy`, 0 and 1 against one score `binary_accuracy`, values `r2` (the
    coefficient of determination).

    Args:
        labels: By output name, `(samples, …)`.
        outputs: The model's own, by name, `(samples, …)`.
        asked: One of `NAMES`; outputs it does not fit are left aside. None takes for each the one that fits.

    Raises:
        DataError: The labels fit no metric, or none of them the one that was asked for, or there are none for it.
        UnknownNameError: No metric is called so.
    """
    check_name(asked)
    if asked == AGREEMENT:
        return {}
    if not labels and asked is not None:
        raise DataError(
            f"metric {asked} compares with labels, and the evaluation data holds none: add them under the name of "
            f"an output ({', '.join(map(repr, outputs))}), or ask for metric {AGREEMENT}"
        )
    fitting = {name: _fitting(name, wanted, outputs[name]) for name, wanted in labels.items()}
    if asked is None:
        return fitting
    # Numbers can be judged as numbers all the same: what fits better was not wanted.
    found = {
        name: asked
        for name, best in fitting.items()
        if asked == best or (asked == "r2" and labels[name].size == outputs[name].size)
    }
    if not found:
        name, best = next(iter(fitting.items()))
        raise DataError(
            f"metric {asked} does not fit output {name!r} of shape {describe(outputs[name].shape)} with "
            f"{labels[name].dtype} labels of shape {describe(labels[name].shape)}; {best} does"
        )
    return found


def judge(
    picked: Mapping[str, str],
    labels: Mapping[str, Array],
    reference: Mapping[str, Array],
    outputs: Mapping[str, Array],
) -> Metric | None:
    """The metric of the output that loses most against Keras, the first of equals; None where none is judged.

    Args:
        picked: What `pick` gave: the metric by output name.
        labels: By output name, `(samples, …)`.
        reference: The Keras model's outputs by name, `(samples, …)`.
        outputs: The file's, of the same names and shapes.
    """
    several = len(reference) > 1
    found = [
        Metric(
            metric,
            score(metric, outputs[name], labels[name]),
            score(metric, reference[name], labels[name]),
            len(labels[name]),
            name if several else "",
        )
        for name, metric in picked.items()
    ]
    return max(found, key=lambda one: math.inf if math.isnan(one.lost) else one.lost, default=None)


def _fitting(name: str, wanted: Array, got: Array) -> str:
    """The metric that fits these labels; raises `DataError` where none does."""
    classes = got.shape[-1] if got.ndim > 1 else 1
    whole = wanted.dtype.kind in "biu"
    if whole and wanted.size == len(got) and classes > 1 and got.ndim == 2:
        low, high = int(wanted.min()), int(wanted.max())
        if low < 0 or high >= classes:
            raise DataError(
                f"the labels of {name!r} go from {low} to {high}; the model has {classes} classes (0 to {classes - 1})"
            )
        return "accuracy"
    if whole and classes > 1 and wanted.shape == got.shape and (wanted.sum(axis=-1) == 1).all():
        raise DataError(f"the labels of {name!r} are one-hot rows; give class numbers: labels.argmax(axis=-1)")
    if wanted.dtype.kind == "f" and classes > 1 and wanted.shape == (len(got),) and got.ndim == 2:
        raise DataError(
            f"the labels of {name!r} are {wanted.dtype} numbers; class numbers are integers: labels.astype(int)"
        )
    if whole and classes == 1 and wanted.size == got.size and set(np.unique(wanted)) <= {0, 1}:
        return "binary_accuracy"
    if wanted.size == got.size:
        return "r2"
    raise DataError(
        f"the labels of {name!r} have shape {wanted.shape}, the output {got.shape}: give class numbers (samples,), "
        "or values in the shape of the output"
    )


def score(metric: str, outputs: Array, labels: Array) -> float:
    """The value of a metric of `pick`; NaN outputs count as wrong."""
    return _METRICS[metric](np.nan_to_num(outputs, nan=-np.inf) if metric != "r2" else outputs, labels)


def quality(metric: Metric) -> float:
    """What tells the files of one model apart, more is better: the value, or where there are several outputs the gain.

    Two files may be judged on two outputs, whose values do not compare; what each is short of Keras's does.
    """
    return metric.value - metric.keras if metric.output else metric.value


def basis(metric: Metric) -> str:
    """What `quality` is, for people."""
    return "task metric less Keras's, worst output" if metric.output else metric.name
