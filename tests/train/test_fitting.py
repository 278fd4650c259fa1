"""Fitting: which weights are kept, and what Ctrl-C does. A fake model stands in for Keras's."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgepack.train.data import Samples
from edgepack.train.fitting import Fit, Plan, fit
from edgepack.train.tasks import CLASSES, VALUES, Task

SAMPLES = Samples(np.zeros((10, 4), np.float32), np.zeros(10, np.int64))


@dataclass
class FakeModel:
    """Its weights are the number of the epoch; its validation losses are given; at None, Ctrl-C comes."""

    losses: tuple[float | None, ...]
    epoch: int = 0
    weights: list[np.ndarray] = field(default_factory=list)
    seen: list[np.ndarray] = field(default_factory=list)
    class_weights: list[dict[int, float] | None] = field(default_factory=list)
    trainable_variables: tuple[Any, ...] = ()

    def compile(self, **settings: Any) -> None:
        self.settings = settings

    def fit(self, values: np.ndarray, labels: np.ndarray, **settings: Any) -> SimpleNamespace:
        self.seen.append(values)
        self.class_weights.append(settings["class_weight"])
        self.epoch += 1
        self.weights = [np.array(self.epoch)]
        loss = self.losses[self.epoch - 1]
        if loss is None:
            raise KeyboardInterrupt
        name = self.settings["metrics"][0]
        return SimpleNamespace(history={"loss": [1.0], name: [2.0], "val_loss": [loss], f"val_{name}": [3.0]})

    def get_weights(self) -> list[np.ndarray]:
        return self.weights

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.weights = weights


def run(model: FakeModel, samples: Samples = SAMPLES, task: Task = VALUES, **changed: Any) -> Fit:
    settings = {"epochs": len(model.losses), "batch_size": 4, "learning_rate": 0.1}
    plan = Plan(**(settings | changed))
    rng = np.random.default_rng(0)
    return fit(model, samples, samples, plan, task=task, rng=rng, progress=lambda done, text: None)


@pytest.mark.parametrize(
    ("losses", "best"),
    [((3.0, 1.0, 2.0), 2), ((3.0, 2.0, 1.0), 3), ((1.0, 1.0), 1), ((2.0, float("nan"), 1.0), 3)],
    ids=["in the middle", "last", "first of equals", "not a number is never best"],
)
def test_the_weights_with_the_lowest_validation_loss_are_kept(losses: tuple[float, ...], best: int) -> None:
    model = FakeModel(losses)
    fitted = run(model)
    assert fitted.best_epoch == best
    assert model.weights == [best]
    assert len(fitted.history) == len(losses)


def test_ctrl_c_keeps_the_best_of_the_whole_epochs() -> None:
    model = FakeModel((1.0, 2.0, None, 0.5))
    fitted = run(model)
    assert (fitted.best_epoch, len(fitted.history)) == (1, 2)
    assert model.weights == [1]


def test_ctrl_c_in_the_first_epoch_is_passed_on() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(FakeModel((None, 1.0)))


def test_samples_are_distorted_anew_in_each_epoch() -> None:
    model = FakeModel((1.0, 1.0))
    run(model, augment=lambda values, rng: values + rng.random(values.shape, np.float32))
    first, second = model.seen
    assert first.shape == SAMPLES.values.shape
    assert not np.array_equal(first, second)


def test_patience_ends_a_fitting_that_no_longer_gets_better() -> None:
    model = FakeModel((3.0, 2.0, 2.5, 2.2, 1.0))
    fitted = run(model, patience=2)
    assert (len(fitted.history), fitted.best_epoch) == (4, 2)
    assert model.weights == [2]


def test_balanced_classes_weigh_the_same_together() -> None:
    labels = np.array([0] * 8 + [1] * 2)
    model = FakeModel((1.0,))
    run(model, Samples(np.zeros((10, 4), np.float32), labels), CLASSES, balanced=True)
    [weights] = model.class_weights
    assert weights is not None
    assert weights[0] * 8 == pytest.approx(weights[1] * 2)
    assert sum(weights[int(label)] for label in labels) == pytest.approx(len(labels))


def test_numbers_have_no_classes_to_balance() -> None:
    model = FakeModel((1.0,))
    run(model, balanced=True)
    assert model.class_weights == [None]
