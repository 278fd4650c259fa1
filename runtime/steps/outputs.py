"""Steps on outputs: from the numbers of a model to results a person reads."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from edgepack.runtime.errors import StepError
from edgepack.runtime.tensor import Array


class Score(NamedTuple):
    """A label and the score the model gives it (0 to 1 behind a softmax)."""

    label: str
    score: float


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
