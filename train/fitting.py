"""Fit a Keras model: epoch after epoch, the best weights kept, and Ctrl-C a way to be content with them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edgepack.runtime.tensor import Array
from edgepack.train.data import Samples
from edgepack.train.tasks import Task

__all__ = ["Epoch", "Fit", "Keeper", "Plan", "Progress", "fit", "is_over"]

Progress = Callable[[int, str], object]
"""Told how many epochs are done, and how the last one went."""

_PIECE = 1_024  # samples distorted at once, which bounds the memory that takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a model is fitted: with AdamW, its learning rate falling along a cosine to zero."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    """Of all weights but biases and the like, in each step, as AdamW does it (Loshchilov and Hutter, 2019)."""
    patience: int | None = None
    """Epochs without a lower validation loss after which fitting stops; None never stops early."""
    balanced: bool = False
    """Whether rare classes weigh as much as common ones."""
    augment: Callable[[Array, np.random.Generator], Array] | None = None
    """Gives changed copies of prepared samples, anew in each epoch."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """How one epoch went; the first two are means over the epoch, on samples as they were distorted."""

    loss: float
    metric: float
    validation_loss: float
    validation_metric: float


class Keeper(Protocol):
    """What keeps the state of a fitting: `edgepack.train.checkpoints`."""

    def restore(self, model: Any, rng: np.random.Generator) -> "Fit | None":
        """Bring model and generator to where they were; None where the fitting begins."""

    def save(self, model: Any, rng: np.random.Generator, fitted: "Fit") -> None:
        """Keep what is known after an epoch."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What fitting has given so far."""

    history: tuple[Epoch, ...]
    best_epoch: int
    """The epoch with the lowest loss on the validation part, counted from 1."""
    weights: list[Array]
    """The model's weights after that epoch."""


def fit(  # noqa: PLR0913 - keyword-only
    model: Any,
    train: Samples,
    validation: Samples,
    plan: Plan,
    *,
    task: Task,
    rng: np.random.Generator,
    progress: Progress,
    keeper: Keeper | None = None,
    watch: Callable[[int, Epoch], object] = lambda number, epoch: None,
) -> Fit:
    """Fit `model` and leave it with the weights of the epoch that had the lowest loss on `validation`.

    Ctrl-C ends the fitting with what the whole epochs until then have given.

    Args:
        model: A Keras model, not compiled yet.
        train: Prepared tensors and labels that the weights are fitted to.
        validation: Those that the epoch is chosen by.
        plan: The settings.
        task: Loss and metric.
        rng: Order and distortion of the samples.
        progress: Told after each epoch.
        keeper: Where the state is kept after each epoch, and taken from before the first.
        watch: Given each epoch's number and figures.

    Raises:
        KeyboardInterrupt: Ctrl-C came before the first epoch was over.
    """
    _compile(model, plan, task, steps=plan.epochs * -(-len(train) // plan.batch_size))
    fitted = keeper.restore(model, rng) if keeper else None
    weights = _class_weights(train.labels) if plan.balanced and task.is_sorting else None
    try:
        for done in range(len(fitted.history) + 1 if fitted else 1, plan.epochs + 1):
            if fitted and is_over(fitted, plan):
                break
            epoch = _run_epoch(model, _reorder(train, plan, rng), validation, plan, task, weights)
            fitted = _extend(fitted, epoch, model)  # one assignment, so that Ctrl-C meets the old state or the new
            if keeper:
                keeper.save(model, rng, fitted)
            watch(done, epoch)
            progress(done, _describe(epoch, task.metric))
    except KeyboardInterrupt:
        if fitted is None:
            raise
    assert fitted is not None, "a plan has at least one epoch"
    model.set_weights(fitted.weights)
    return fitted


def is_over(fitted: Fit, plan: Plan) -> bool:
    """Whether the plan asks for no more epochs."""
    idle = len(fitted.history) - fitted.best_epoch
    return len(fitted.history) >= plan.epochs or (plan.patience is not None and idle >= plan.patience)


def _class_weights(labels: Array) -> dict[int, float]:
    """Weights by which every class counts as much as any other, 1 on average."""
    classes, counts = np.unique(labels, return_counts=True)
    return {
        int(one): len(labels) / (len(classes) * int(count)) for one, count in zip(classes, counts, strict=True)
    }  # fmt: skip


def _extend(before: Fit | None, epoch: Epoch, model: Any) -> Fit:
    """What is known after one more epoch."""
    if before is None:
        return Fit((epoch,), 1, model.get_weights())
    history = (*before.history, epoch)
    if epoch.validation_loss < before.history[before.best_epoch - 1].validation_loss:
        return Fit(history, len(history), model.get_weights())
    return Fit(history, before.best_epoch, before.weights)


def _compile(model: Any, plan: Plan, task: Task, steps: int) -> None:
    import keras

    rate = keras.optimizers.schedules.CosineDecay(plan.learning_rate, steps)
    if plan.weight_decay:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=plan.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "embedding"])
    else:
        optimizer = keras.optimizers.Adam(rate)
    model.compile(optimizer=optimizer, loss=task.loss, metrics=[task.metric])
    optimizer.build(model.trainable_variables)


def _reorder(train: Samples, plan: Plan, rng: np.random.Generator) -> Samples:
    """The samples in another order, distorted anew."""
    shuffled = train.take(rng.permutation(len(train)))
    if plan.augment is None:
        return shuffled
    pieces = np.split(shuffled.values, range(_PIECE, len(train), _PIECE))
    return Samples(np.concatenate([plan.augment(piece, rng) for piece in pieces]), shuffled.labels)


def _run_epoch(
    model: Any, train: Samples, validation: Samples, plan: Plan, task: Task, weights: dict[int, float] | None
) -> Epoch:
    fitted = model.fit(
        train.values, train.labels, batch_size=plan.batch_size, shuffle=False, verbose=0, class_weight=weights,
        validation_data=(validation.values, validation.labels), validation_batch_size=256,
    )  # fmt: skip
    names = ("loss", task.metric, "val_loss", f"val_{task.metric}")
    return Epoch(*(float(fitted.history[name][0]) for name in names))


def _describe(epoch: Epoch, metric: str) -> str:
    return f"{metric.replace('_', ' ')} {epoch.metric:.4f}, validation {epoch.validation_metric:.4f}"
