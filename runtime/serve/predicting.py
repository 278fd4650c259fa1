"""Raw samples on their way to tensors and back: what a request may hold, and which of its samples is bad."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgepack.runtime.errors import InputError, StepError
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array

_LIGHT_SIZE = 4096  # characters or numbers of a sample that steps are through with at once
_LIGHT_SAMPLES = 8
_LIGHT_KINDS = frozenset({"array", "row", "series", "text"})
_LIGHT_OUTPUT = 2**14
_TEXTS = frozenset({"row", "text"})  # kinds of raw values of which a str is the value itself, and no path to it


def check_samples(session: Session, samples: Sequence[Any]) -> None:
    """Raise `InputError` where there is no sample, or one is a path: a request never names files of this machine."""
    if not samples:
        raise InputError("got no samples; give one or more")
    for place, sample in enumerate(samples):
        named = _by_name(session, sample)
        for raw in session.raw_values:
            value = named.get(raw.name)
            if isinstance(value, os.PathLike) or (isinstance(value, str) and raw.kind not in _TEXTS):
                raise InputError(f"{_which(place, samples)}{raw.name!r} is a text; it takes {raw.told}, and no path")


def is_light(session: Session, samples: Sequence[Any]) -> bool:
    """Whether the steps on samples are so short that a thread would cost more."""
    return (
        len(samples) <= _LIGHT_SAMPLES
        and all(raw.kind in _LIGHT_KINDS for raw in session.raw_values)
        and all(_size(value) <= _LIGHT_SIZE for sample in samples for value in _by_name(session, sample).values())
    )


def is_light_output(session: Session, outputs: Mapping[str, Array]) -> bool:
    """Whether results are read from outputs so quickly that a thread would cost more."""
    return not session.picture_outputs and sum(array.size for array in outputs.values()) <= _LIGHT_OUTPUT


def prepared(session: Session, samples: Sequence[Any]) -> dict[str, Array]:
    """Return samples as checked tensors, one row each.

    Raises:
        InputError, StepError: A sample is not of the kind that is taken; of several, it says which.
    """
    try:
        return session.check(session.prepare(samples))
    except (InputError, StepError):
        for place in range(len(samples)):
            _prepared_one(session, samples, place)
        raise  # each is right by itself: they do not go together


def prepared_after(
    session: Session, samples: Sequence[Any], place: int, state: Mapping[str, Array]
) -> dict[str, Array]:
    """Return one of several samples as checked tensors, with the state that the one before it left; as `prepared`."""
    return session.check({**_prepared_one(session, samples, place), **state})


def _prepared_one(session: Session, samples: Sequence[Any], place: int) -> dict[str, Array]:
    try:
        return session.prepare([samples[place]])
    except InputError as error:
        raise InputError(f"{_which(place, samples)}{error}") from error
    except StepError as error:
        raise StepError(f"{_which(place, samples)}{error}") from error


def _which(place: int, samples: Sequence[Any]) -> str:
    return f"sample {place + 1} of {len(samples)}: " if len(samples) > 1 else ""


def _by_name(session: Session, sample: Any) -> Mapping[str, Any]:
    """A sample's raw values by name; of a row that is a dict by column, the row is the one value."""
    names = [raw.name for raw in session.raw_values]
    if isinstance(sample, Mapping) and set(sample) & set(names):
        return sample
    return dict.fromkeys(names[:1], sample)


def _size(value: Any) -> int:
    """How much a sample holds, as far as that can be told at a glance."""
    if isinstance(value, np.ndarray):
        return value.size
    if isinstance(value, (list, tuple)):
        return len(value) * (len(value[0]) if value and isinstance(value[0], (list, tuple, str, bytes)) else 1)
    return len(value) if isinstance(value, (str, bytes, Mapping)) else 1
