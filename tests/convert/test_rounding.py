"""A file is not held to less than the model itself makes of a rounding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert.build import convert_model
from edgepack.convert.precisions.float32 import FLOAT32
from edgepack.convert.prove import Question
from edgepack.convert.rounding import movement
from edgepack.convert.samples import Samples
from edgepack.convert.source import open_source
from edgepack.quiet import import_keras

keras = import_keras("builds the models", "convert")


def _model(factor: float) -> Any:
    """Gives small differences of large numbers, as deep nets do in many small steps."""
    x = keras.Input((8,), name="x")
    return keras.Model(x, keras.ops.sin(x * factor))


def _question(moved: float) -> Question:
    return Question(Samples({}, {}, "memory"), {}, (), None, movement=moved)


def test_a_model_that_makes_much_of_a_rounding_says_so() -> None:
    rows = {"x": np.random.default_rng(0).uniform(1, 2, (4, 8)).astype(np.float32)}
    assert movement(open_source(_model(1.0)), rows) < 1e-5
    assert movement(open_source(_model(1000.0)), rows) > 1e-4


def test_whole_numbers_have_no_roundings() -> None:
    x = keras.Input((3,), dtype="int32", name="x")
    model = keras.Model(x, keras.layers.Embedding(5, 2)(x))
    assert movement(open_source(model), {"x": np.ones((4, 3), np.int32)}) == 0


@pytest.mark.parametrize(
    ("moved", "allowed"), [(0.0, 1e-4), (1e-6, 1e-4), (1e-4, 4e-4), (0.5, 2e-3)], ids=["none", "little", "much", "all"]
)
def test_the_budget_widens_with_it_and_only_so_far(moved: float, allowed: float) -> None:
    budget = _question(moved).allowed(FLOAT32.budget)
    assert budget.max_rel == pytest.approx(allowed)
    assert budget.min_cosine == FLOAT32.budget.min_cosine


def test_such_a_model_still_converts(tmp_path: Path) -> None:
    x = keras.Input((8,), name="x")
    y = keras.ops.sin(keras.layers.Dense(8)(x) * 300.0)
    assert len(convert_model(keras.Model(x, y), tmp_path / "m.edgepack").passed) == 2
