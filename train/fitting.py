"""Fit a Keras model: epoch after epoch, the best weights kept, and Ctrl-C a way to be content with them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack.runtime.tensor import Array
from edgepack.train.data import Samples

__all__ = ["Epoch", "Fit", "Plan", "Progress", "fit"]

Progress = Callable[[int, str], object]
"""Told how many epochs are done, and how the last one went."""

_PIECE = 1_024  # samples distorted at once, which bounds the memory that takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a model is fitted: with Adam, its learning rate falling along a cosine to zero."""

    loss: str
    metric: str
    epochs: int
    batch_size: int
    learning_rate: float
    augment: Callable[[Array, np.random.Generator], Array] | None = None
    """Gives changed copies of prepared samples, anew in each epoch."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """How one epoch went; the first two are means over the epoch, on samples as they were distorted."""

    loss: float
    metric: float
    validation_loss: float
    validation_metric: float


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What fitting has given so far."""

    history: tuple[Epoch, ...]
    best_epoch: int
    """The epoch with the lowest loss on the validation part, counted from 1."""
    weights: list[Array]
    """The model's weights after that epoch."""


def fit(
    model: Any, train: Samples, validation: Samples, plan: Plan, *, rng: np.random.Generator, progress: Progress
) -> Fit:
    """Fit `model` and leave it with the weights of the epoch that had the lowest loss on `validation`.

    Ctrl-C ends the fitting with what the whole epochs until then have given.

    Args:
        model: A Keras model, not compiled yet.
        train: Prepared tensors and labels that the weights are fitted to.
        validation: Those that the epoch is chosen by.
        plan: Loss, metric and settings.
        rng: Order and distortion of the samples.
        progress: Told after each epoch.

    Raises:
        KeyboardInterrupt: Ctrl-C came before the first epoch was over.
    """
    _compile(model, plan, steps=plan.epochs * -(-len(train) // plan.batch_size))
    fitted = None
    try:
        for done in range(1, plan.epochs + 1):
            epoch = _run_epoch(model, _reorder(train, plan, rng), validation, plan)
            fitted = _extend(fitted, epoch, model)  # one assignment, so that Ctrl-C meets the old state or the new
            progress(done, _describe(epoch, plan.metric))
    except KeyboardInterrupt:
        if fitted is None:
            raise
    assert fitted is not None, "a plan has at least one epoch"
    model.set_weights(fitted.weights)
    return fitted


def _extend(before: Fit | None, epoch: Epoch, model: Any) -> Fit:
    """What is known after one more epoch."""
    if before is None:
        return Fit((epoch,), 1, model.get_weights())
    history = (*before.history, epoch)
    if epoch.validation_loss < before.history[before.best_epoch - 1].validation_loss:
        return Fit(history, len(history), model.get_weights())
    return Fit(history, before.best_epoch, before.weights)


def _compile(model: Any, plan: Plan, steps: int) -> None:
    import keras

    rate = keras.optimizers.schedules.CosineDecay(plan.learning_rate, steps)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=plan.loss, metrics=[plan.metric])


def _reorder(train: Samples, plan: Plan, rng: np.random.Generator) -> Samples:
    """The samples in another order, distorted anew."""
    shuffled = train.take(rng.permutation(len(train)))
    if plan.augment is None:
        return shuffled
    pieces = np.split(shuffled.values, range(_PIECE, len(train), _PIECE))
    return Samples(np.concatenate([plan.augment(piece, rng) for piece in pieces]), shuffled.labels)


def _run_epoch(model: Any, train: Samples, validation: Samples, plan: Plan) -> Epoch:
    fitted = model.fit(
        train.values, train.labels, batch_size=plan.batch_size, shuffle=False, verbose=0,
        validation_data=(validation.values, validation.labels), validation_batch_size=256,
    )  # fmt: skip
    names = ("loss", plan.metric, "val_loss", f"val_{plan.metric}")
    return Epoch(*(float(fitted.history[name][0]) for name in names))


def _describe(epoch: Epoch, metric: str) -> str:
    return f"{metric} {epoch.metric:.4f}, validation {epoch.validation_metric:.4f}"
