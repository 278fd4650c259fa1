"""What trials depend on: they count again only where all of it is the same."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from edgepack.convert.options import Options
from edgepack.convert.plan import Plan
from edgepack.convert.prove import Question
from edgepack.convert.search.asked import Search
from edgepack.convert.source import Source
from edgepack.runtime.tensor import Array


def key_of(
    provenance: Mapping[str, Any], source: Source, question: Question, plan: Plan, asked: tuple[Search, Options]
) -> dict[str, Any]:
    """Digests of model, data and answers, the options, and the versions of the libraries, as JSON has them.

    The budgets and the aim are no part of it: they judge trials that are there.

    Args:
        provenance: What the pack says of where it comes from; its date is left out.
        source: The model.
        question: The samples, their labels and what is asked of them, and Keras's answers, which tell two models apart
            that have no file.
        plan: What was asked.
        asked: The search, of which the threads that files are timed with count, and the options that the user fixed.
    """
    own = {name: value for name, value in provenance.items() if name != "created"}
    search, options = asked
    fixed = {
        "options": options.said(), "batch": plan.batch,
        "shapes": {name: list(shape) for name, shape in plan.shapes.items()}, "metric": question.metric,
        "threads": search.threads,
    }  # fmt: skip
    return {
        **own, **fixed, "weights": _weights(source.model), "labels": _digest(question.samples.labels),
        "answers": _digest(question.reference),
    }  # fmt: skip


def _weights(model: Any) -> str | None:
    """A SHA-256 over the weights of a Keras model; None for one that does not list them."""
    weights = getattr(model, "weights", None)
    if weights is None:
        return None
    return _digest({f"{index}": np.asarray(weight) for index, weight in enumerate(weights)})


def _digest(arrays: Mapping[str, Array]) -> str:
    state = hashlib.sha256()
    for name, array in arrays.items():
        state.update(f"{name} {array.dtype} {array.shape}".encode())
        state.update(msgspec.json.encode(array.tolist()) if array.dtype == object else array.tobytes())
    return state.hexdigest()
