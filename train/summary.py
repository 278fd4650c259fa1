"""What a data set holds, in a few lines, before anything is trained on it."""

from collections.abc import Iterator, Sequence

import numpy as np

from edgepack.runtime.tensor import Array, describe
from edgepack.train.data import Data, Samples
from edgepack.train.tasks import Task

__all__ = ["summarize"]

_MOST_CLASSES = 20


def summarize(data: Data, task: Task, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Names and values for people: how many samples, what they look like, how the labels are spread.

    Args:
        data: The raw data set.
        task: What is learned of it.
        names: The labels' names, in the order of their numbers; empty where they have none.
    """
    rows: list[tuple[str, str]] = [("data", data.name)]
    for part, samples in (("to train on", data.train), ("to test with", data.test)):
        rows.append((f"samples {part}", f"{len(samples):,}"))
    rows += _values(data.train.values)
    if not task.rebuilds:
        rows += list(_labels(data.train, task, names))
    same = _shared(data)
    if same:
        rows.append(("in both parts", f"{same:,} test samples are also trained on"))
    return tuple(rows)


def _values(values: Array) -> list[tuple[str, str]]:
    if values.dtype.kind in "UO":
        lengths = np.array([len(str(one)) for one in values.reshape(-1)])
        middle, long, longest = np.percentile(lengths, (50, 95, 100))
        return [
            ("a sample", "text"),
            ("characters", f"{middle:,.0f} (half), at most {long:,.0f} (19 of 20), longest {longest:,.0f}"),
        ]
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    rows = [("a sample", describe(values.shape[1:], str(values.dtype)))]
    if finite.size:
        rows.append(("values", f"{finite.min():.4g} to {finite.max():.4g}, mean {finite.mean():.4g}"))
    if finite.size != values.size:
        rows.append(("not finite", f"{values.size - finite.size:,} of {values.size:,} values"))
    return rows


def _labels(samples: Samples, task: Task, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    labels = samples.labels
    if not task.is_sorting:
        yield "labels", f"{labels.min():.4g} to {labels.max():.4g}, mean {labels.mean():.4g}"
        return
    classes, counts = np.unique(labels, return_counts=True)
    shown = [
        f"{names[int(one)] if int(one) < len(names) else one}: {count:,}"
        for one, count in zip(classes[:_MOST_CLASSES], counts[:_MOST_CLASSES], strict=True)
    ]
    yield "labels", ", ".join(shown) + (" …" if len(classes) > _MOST_CLASSES else "")
    if counts.max() > 3 * counts.min():
        yield "balance", f"the commonest label has {counts.max() / counts.min():.1f} times the rarest: --class-weights"


def _shared(data: Data) -> int:
    """How many samples of the test are in the training part too, to the bit."""
    known = {_key(value) for value in data.train.values}
    return sum(_key(value) in known for value in data.test.values)


def _key(value: object) -> object:
    return value.tobytes() if isinstance(value, np.ndarray) else value
