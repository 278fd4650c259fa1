"""What files are judged on: samples, the Keras model's own answers, and what may be lost."""

import numpy as np

from edgepack.convert import metrics, shapes
from edgepack.convert.calibrate import Stream
from edgepack.convert.prove import Question
from edgepack.convert.raw_samples import random_raw
from edgepack.convert.rounding import movement
from edgepack.convert.samples import Given, Samples, random_samples, read_samples
from edgepack.convert.subject import Subject
from edgepack.runtime.compare import compare
from edgepack.runtime.errors import DataError, ModelError
from edgepack.runtime.tensor import Array

DEFAULT_DROP = 0.01  # of the task metric, where labels are given and nothing else was asked

_GOLDENS = 4
_RANDOM_SAMPLES = 64
_MOST_JUDGED, _MOST_JUDGED_BYTES = 1_000, 64_000_000  # of the calibration samples, where there are no others


def judged_on(subject: Subject, evaluation: Given | None, calibrating: Stream | None) -> Samples:
    """The samples every file is judged on, as tensors for what is converted.

    Raises:
        DataError: The evaluation samples do not fit the model.
    """
    source, lifted = subject.whole, subject.lifted
    if evaluation is not None:
        samples = read_samples(evaluation, source, "evaluation")
        return lifted.tensors(samples) if lifted else samples
    if calibrating is not None:
        return calibrating.collect(_MOST_JUDGED, _MOST_JUDGED_BYTES)
    return random_raw(lifted, _RANDOM_SAMPLES) if lifted else random_samples(source, _RANDOM_SAMPLES)


def ask(subject: Subject, judged: Samples, max_drop: float | None, metric: str | None = None) -> Question:
    """What every file is held against: the Keras model's own answers on the samples.

    Args:
        subject: What is converted.
        judged: The samples every file is judged on.
        max_drop: How much may be lost, as it was asked; None is a default where there are labels.
        metric: The metric that was asked for; None takes the one that fits the labels.

    Raises:
        ModelError: The model cannot be run on these samples, or gives NaN on them.
        DataError: Labels, or a metric, that do not fit its outputs; or a loss to be judged, and neither labels nor
            classes to judge it by.
    """
    source, lifted = subject.whole, subject.lifted
    try:
        outputs = lifted.predict(judged) if lifted else source.predict(judged.inputs, judged.rows_at_once)
    except ModelError as error:
        raise ModelError(f"{error}; {hint}" if (hint := shapes.hint(source)) else str(error)) from error
    _check_reference(outputs)
    # Labels that do not fit are refused before anything is built.
    picked = metrics.pick(judged.labels, outputs, metric)
    if not picked:
        _check_agreement(outputs, max_drop, metric)
    allowed = DEFAULT_DROP if max_drop is None and picked else max_drop
    converted = subject.rest
    stretched = shapes.stretched(converted, judged.inputs)
    moved = movement(converted, judged.inputs)
    return Question(
        judged,
        outputs,
        _golden_rows(outputs),
        allowed,
        stretched,
        give_back=max_drop is not None,
        metric=metric,
        movement=moved,
    )


def _check_reference(outputs: dict[str, Array]) -> None:
    """A model that gives NaN itself cannot be held against anything."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ModelError(
                f"the Keras model itself gives NaN in output {name!r} on the evaluation samples; mend it first"
            )


def _check_agreement(outputs: dict[str, Array], max_drop: float | None, metric: str | None) -> None:
    """Refuse to judge agreement where no row has a winner: a budget that nothing is held to would be no budget."""
    if (metric is None and max_drop is None) or compare(outputs, outputs).agreement is not None:
        return
    asked, instead = f"max_drop {max_drop}", "give"
    if metric is not None:
        asked, instead = f"metric {metric}", "leave it out, and give"
    raise DataError(
        f"{asked} asks for the agreement with Keras, and no output has classes to agree on; {instead} --evaluation "
        f"with the true values by output name ({', '.join(map(repr, outputs))})"
    )


def _golden_rows(outputs: dict[str, Array]) -> tuple[int, ...]:
    """A few rows whose answers differ most: the first of each winning class, where there are classes."""
    first = next(iter(outputs.values()))
    rows = len(first)
    winners = first.reshape(rows, -1).argmax(axis=1)
    firsts = sorted(np.unique(winners, return_index=True)[1].tolist())
    spread = list(dict.fromkeys([*firsts, *np.linspace(0, rows - 1, min(rows, _GOLDENS)).astype(int).tolist()]))
    return tuple(sorted(spread[:_GOLDENS]))
