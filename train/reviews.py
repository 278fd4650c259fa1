"""What the recipes of Chinese reviews have in common: data, task, steps and words; they differ in the net."""

from collections.abc import Callable
from typing import Any

from edgepack.runtime.steps import Step, Steps
from edgepack.train.data import Samples
from edgepack.train.datasets.reviews import LABELS, load_reviews
from edgepack.train.fitting import Plan
from edgepack.train.recipe import Recipe
from edgepack.train.tasks import YES_NO

__all__ = ["of_reviews"]


def of_reviews(
    name: str, summary: str, *, build: Callable[[Samples], Any], notes: tuple[str, ...], plan: Plan
) -> Recipe:
    """A recipe whose model takes a raw `text`, cuts it in a layer `tokens`, and says in `positive` how good it is."""
    return Recipe(
        name=name,
        summary=summary,
        load=load_reviews,
        build=build,
        input="text",
        output="positive",
        front="tokens",
        steps=Steps(outputs={"positive": (Step("decide", {"labels": list(LABELS)}),)}),
        labels={"positive": LABELS},
        meanings={"text": "a review in Chinese", "positive": "how likely the review is a good one, 0 to 1"},
        notes=notes,
        task=YES_NO,
        plan=plan,
        precisions=("float32", "dynamic_int8"),
    )
