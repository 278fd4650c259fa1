"""Steps on outputs: from the numbers of a model to results a person reads."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgepack.runtime.errors import StepError
from edgepack.runtime.tensor import Array, describe

_CHANNELS = {"grayscale": 1, "rgb": 3}
_MOST_PIXELS = 64_000_000
_MOST_DECIMALS = 15  # a float64 has no more


class Score(NamedTuple):
    """A label and the score the model gives it (0 to 1 behind a softmax)."""

    label: str
    score: float


class Value(NamedTuple):
    """A number the model gives, with its name and its unit where they have been told: `12.3 degC`."""

    name: str
    number: float
    unit: str

    def __str__(self) -> str:
        shown = repr(self.number).removesuffix(".0")
        return " ".join(part for part in (self.name, shown, self.unit) if part)


def classify(labels: Sequence[str], top: int = 3) -> Callable[[Array], list[Score]]:
    """Return a function that names the `top` best labels of one row of scores `(classes,)`, best first."""
    names = tuple(map(str, labels))
    if not (isinstance(top, int) and top > 0):
        raise ValueError(f"top is {top!r}; it is a whole number of labels, 1 or more")

    def run(scores: Array) -> list[Score]:
        if scores.shape != (len(names),):
            raise StepError(f"the model gives scores of shape {scores.shape} for {len(names)} labels; rebuild the pack")
        best = np.argsort(-scores, kind="stable")[:top]
        return [Score(names[index], float(scores[index])) for index in best]

    return run


def decide(labels: Sequence[str], threshold: float = 0.5) -> Callable[[Array], list[Score]]:
    """Return a function that names what one sigmoid says: both labels, the one it decides for first.

    Args:
        labels: For no and for yes; the score of yes is the number itself, that of no what is missing to 1.
        threshold: Above it, the answer is yes. Where it is not one half, the first label may have the lower score.
    """
    names = _texts("labels", labels)
    if len(names) != 2:
        raise ValueError(f"there are {len(names)} labels; one score decides between two, that of no and that of yes")
    no, yes = names
    if not (isinstance(threshold, (int, float)) and 0 <= threshold <= 1):
        raise ValueError(f"threshold is {threshold!r}; it is a number from 0 to 1")

    def run(scores: Array) -> list[Score]:
        if scores.shape not in {(), (1,)}:
            raise StepError(f"the model gives shape {describe(scores.shape)} where one score decides; rebuild the pack")
        score = float(scores.reshape(()))
        answers = [Score(no, 1 - score), Score(yes, score)]
        return answers[::-1] if score > threshold else answers

    return run


def number(
    unit: str = "", decimals: int | None = None, names: Sequence[str] | None = None
) -> Callable[[Array], Value | list[Value]]:
    """Return a function that gives each of the model's numbers `(n,)` its name and unit: one Value, or a list of them.

    Args:
        unit: That of all of them; empty where they have none.
        decimals: How many places are kept behind the point; None keeps what the number holds.
        names: One for each number. Without, a single one has none, and several are counted from 1.
    """
    told = None if names is None else _texts("names", names)
    if not isinstance(unit, str):
        raise TypeError(f"unit is {unit!r}; it is a text")
    if decimals is not None and not (isinstance(decimals, int) and 0 <= decimals <= _MOST_DECIMALS):
        raise ValueError(f"decimals is {decimals!r}; it is a whole number up to {_MOST_DECIMALS}, or None")

    def run(numbers: Array) -> Value | list[Value]:
        flat = numbers.reshape(1) if numbers.shape == () else numbers
        if flat.ndim != 1 or (told is not None and len(flat) != len(told)):
            wanted = "of any number" if told is None else f"for {len(told)} names"
            raise StepError(f"the model gives shape {describe(numbers.shape)}; numbers {wanted} are one row of them")
        called = told or ([""] if len(flat) == 1 else [str(index + 1) for index in range(len(flat))])
        values = [Value(name, _rounded(one, decimals), unit) for name, one in zip(called, flat, strict=True)]
        return values[0] if len(values) == 1 else values

    return run


def picture(height: int, width: int, mode: str = "grayscale") -> Callable[[Array], Array]:
    """Return a function that gives pixels `(height, width, channels)`, uint8, of floats from 0 (dark) to 1 (bright).

    Args:
        height: Rows.
        width: Columns.
        mode: `"grayscale"` (one channel) or `"rgb"` (three).
    """
    if mode not in _CHANNELS:
        raise ValueError(f"mode {mode!r} is none of {', '.join(_CHANNELS)}")
    if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
        raise ValueError("height and width are whole numbers of pixels, 1 or more")
    if height * width > _MOST_PIXELS:
        raise ValueError(f"{height} x {width} pixels are told; at most {_MOST_PIXELS:,} are made")
    shape = (height, width, _CHANNELS[mode])

    def run(values: Array) -> Array:
        same = {shape, (height * width * shape[2],)} | ({shape[:2]} if shape[2] == 1 else set())
        if values.shape not in same:
            raise StepError(
                f"the model gives shape {describe(values.shape)} for a picture of {describe(shape)}; rebuild the pack"
            )
        bright = np.nan_to_num(values.reshape(shape).astype(np.float32), nan=0.0, posinf=1.0, neginf=0.0)
        return np.asarray(np.rint(np.clip(bright, 0, 1) * np.float32(255)), np.uint8)

    return run


def _rounded(one: Any, decimals: int | None) -> float:
    """A number of numpy as the shortest float that is read back as it, or rounded."""
    return float(str(one)) if decimals is None else round(float(one), decimals)


def _texts(option: str, given: Any) -> list[str]:
    if not (isinstance(given, (list, tuple)) and given and all(isinstance(text, str) for text in given)):
        raise TypeError(f"{option} is a list of texts, one or more")
    return list(given)
