"""What speaks against calibration samples: why the ranges they give may not be those of what is run later."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgepack.convert.calibrate.stream import Stream, Survey
from edgepack.convert.samples import Samples
from edgepack.runtime.tensor import TensorSpec

FEWEST_SAMPLES = 100
"""TensorFlow Lite's guide to post-training quantization asks for 100 to 500 samples."""

_LEFT = 0.01  # of the calibrated range: beyond it, evaluation data is said to leave it
_NAMED = 10  # classes that are named one by one


def doubts(
    stream: Stream, judged: Samples | None, outputs: Sequence[TensorSpec], labels: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Sentences that say what is not as it should be; none where nothing is.

    Args:
        stream: The calibration samples.
        judged: The evaluation samples, where others than these were given.
        outputs: The model's outputs.
        labels: Names of classes by output, as far as they are known.
    """
    survey = stream.survey
    return (
        *_few(survey),
        *_constant(survey),
        *_missing(survey, judged, outputs, labels),
        *(_left(survey, judged) if judged else ()),
        *(_repeated(stream, judged) if judged else ()),
    )


def _few(survey: Survey) -> Iterator[str]:
    if survey.count < FEWEST_SAMPLES:
        one = survey.count == 1
        yield (
            f"ranges are calibrated on {survey.count:,} sample{'' if one else 's'}: {FEWEST_SAMPLES} to 500 that look "
            "like what is run later are usual"
        )


def _constant(survey: Survey) -> Iterator[str]:
    constant = [name for name, low in survey.lowest.items() if low == survey.highest[name]]
    for name in constant:
        yield f"input {name!r} is {survey.lowest[name]:g} throughout the calibration data: it has no range"
    if survey.count > 1 and len(survey.rows) == 1 and not constant:
        yield f"all {survey.count:,} calibration samples are the same"


def _missing(
    survey: Survey, judged: Samples | None, outputs: Sequence[TensorSpec], labels: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for output in outputs:
        if output.name not in survey.classes:
            continue
        known = _known(output, judged)
        missing = sorted(known - survey.classes[output.name])
        if missing:
            names = labels.get(output.name, ())
            told = [repr(names[number]) if number < len(names) else str(number) for number in missing[:_NAMED]]
            more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
            yield (
                f"the calibration data has no sample of {len(missing):,} of the {len(known):,} classes of "
                f"{output.name!r}: {', '.join(told)}{more}"
            )


def _known(output: TensorSpec, judged: Samples | None) -> set[int]:
    """Class numbers that an output is known to have; those of the evaluation data where that has labels."""
    found = judged.labels.get(output.name) if judged else None
    if found is not None and found.dtype.kind in "iu" and found.size == len(found):
        return set(map(int, np.unique(found)))
    classes = output.shape[-1] if len(output.shape) == 2 else None
    return set(range(classes)) if classes is not None and classes > 1 else set()


def _left(survey: Survey, judged: Samples) -> Iterator[str]:
    for name, array in judged.inputs.items():
        if name not in survey.lowest or array.dtype.kind not in "fiu":
            continue
        low, high = survey.lowest[name], survey.highest[name]
        lowest, highest = float(array.min()), float(array.max())
        span = high - low
        beyond = max(low - lowest, highest - high)
        if span > 0 and beyond > _LEFT * span:
            yield (
                f"input {name!r} goes from {lowest:.4g} to {highest:.4g} in the evaluation data and from {low:.4g} to "
                f"{high:.4g} in the calibration data: {beyond / span:.0%} of that range beyond it"
            )


def _repeated(stream: Stream, judged: Samples) -> Iterator[str]:
    if judged.digest == stream.digest:
        yield "the evaluation data is the calibration data: how a file does on samples it has not seen stays unknown"
    elif repeated := stream.repeats(judged):
        yield (
            f"{repeated:,} of the {len(judged):,} evaluation samples are among the calibration samples: "
            "files are judged on what their ranges were made for"
        )
