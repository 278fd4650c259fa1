"""A recipe, and `train`, which turns it into a model with everything that is needed to ship it."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.quiet import import_keras
from edgepack.runtime.errors import InputError
from edgepack.runtime.manifest import FORMAT_VERSION, Card, Steps, encode
from edgepack.runtime.steps import prepare
from edgepack.train import curve
from edgepack.train.data import Data, Samples, stratified
from edgepack.train.fitting import Epoch, Fit, Plan, Progress, fit
from edgepack.train.outputs import Files, check_files, name_files, write_files

__all__ = ["Recipe", "TrainResult", "train"]

_VALIDATION_SHARE = 0.1  # of the training samples
_CALIBRATION_SAMPLES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One reproducible training: the data, the model, its steps, and how it is fitted."""

    name: str
    summary: str
    load: Callable[[Path | None], Data]
    """Reads the data set: the one of the recipe, or the one in a file of the user."""
    build: Callable[[], Any]
    """Builds the Keras model, its input named `input` and its output layer named `output`."""
    input: str
    output: str
    steps: Steps
    labels: dict[str, tuple[str, ...]]
    meanings: dict[str, str]
    plan: Plan


@dataclass(frozen=True, slots=True, eq=False)
class TrainResult:
    """A trained model, and the files that were written."""

    model: Any
    card: Card
    files: Files
    history: tuple[Epoch, ...]
    stopped_early: bool


def train(
    recipe: Recipe,
    output: str | os.PathLike[str],
    *,
    seed: int = 0,
    epochs: int | None = None,
    data: str | os.PathLike[str] | None = None,
    force: bool = False,
    progress: Progress = lambda done, text: None,
) -> TrainResult:
    """Train a recipe and write the model, its card, the training curve, and samples to calibrate and evaluate with.

    The same seed gives the same weights on the same machine: Keras's random generators are seeded and TensorFlow's
    operators made deterministic, for the rest of the process. Weights are chosen on a tenth of the training samples
    that is held out; the test samples are looked at once, at the end. Ctrl-C after the first epoch is an early stop.

    Args:
        recipe: What is trained.
        output: Where the model goes, as `NAME.keras`; the other files are named after it.
        seed: Of the weights, the order and distortion of samples, and the validation part; not of the test samples.
        epochs: Passes over the training samples; the recipe's own number if None.
        data: A file with another data set, in the layout the recipe takes.
        force: Whether files that are there already are replaced.
        progress: Told what is done now, with 0, and after each epoch their number and how the last one went.

    Raises:
        InputError: A seed or number of epochs that cannot be, or an output of another name.
        OutputError: A file exists already, or cannot be written.
        DataError: The data set does not fit.
        MissingFileError: There is no file `data`.
        MissingExtraError: A package for training is not installed.
        KeyboardInterrupt: Ctrl-C came before the first epoch was over, or while files were written: none was.
    """
    plan = _plan(recipe, seed, epochs)
    files = name_files(Path(output))
    check_files(files, force=force)
    raw = recipe.load(None if data is None else Path(data))
    progress(0, "starting TensorFlow")
    curve.import_matplotlib()
    _begin(seed)
    rng = np.random.default_rng(seed)
    parts = _prepare(recipe, raw, rng)
    model, start = recipe.build(), time.monotonic()
    fitted = fit(model, parts.fitting, parts.validation, plan, rng=rng, progress=progress)
    seconds = round(time.monotonic() - start, 3)
    scores = model.evaluate(parts.test.values, parts.test.labels, batch_size=256, verbose=0, return_dict=True)
    metrics = {"train_seconds": seconds, **{f"test_{name}": round(float(value), 6) for name, value in scores.items()}}
    card = _card(recipe, plan, fitted, metrics, {"seed": seed, "data": _describe(raw, parts), "versions": _versions()})
    bare = _without_optimizer(recipe, fitted)
    write_files(_writers(recipe, files, bare, card, fitted, parts))
    return TrainResult(bare, card, files, fitted.history, card.recipe["stopped_early"])


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The data after the steps, in its parts; calibration samples are some of the others, but never of the test."""

    fitting: Samples
    validation: Samples
    calibration: Samples
    test: Samples


def _plan(recipe: Recipe, seed: int, epochs: int | None) -> Plan:
    """The recipe's plan with the epochs asked for."""
    if not 0 <= seed < 2**32:
        raise InputError(f"seed {seed} cannot be; a whole number from 0 to {2**32 - 1} is taken")
    if epochs is None:
        return recipe.plan
    if epochs < 1:
        raise InputError(f"{epochs} epochs cannot be trained; ask for 1 or more, or leave it to the recipe")
    return replace(recipe.plan, epochs=epochs)


def _begin(seed: int) -> None:
    """Import Keras and make what follows reproducible."""
    keras = import_keras("trains models", "train")
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _prepare(recipe: Recipe, raw: Data, rng: np.random.Generator) -> _Parts:
    """All samples through the very steps that a device runs, and split."""
    steps = prepare(recipe.steps.inputs.get(recipe.input, ()))
    known, test = (Samples(np.stack([steps(value) for value in part.values]), part.labels)
                   for part in (raw.train, raw.test))  # fmt: skip
    held, rest = stratified(known.labels, round(_VALIDATION_SHARE * len(known)), rng)
    calibration, _ = stratified(known.labels, min(_CALIBRATION_SAMPLES, len(known)), rng)
    return _Parts(known.take(rest), known.take(held), known.take(calibration), test)


def _without_optimizer(recipe: Recipe, fitted: Fit) -> Any:
    """The model to keep: an optimizer's state is twice the weights, and of no use on a device."""
    model = recipe.build()
    model.set_weights(fitted.weights)
    return model


def _card(recipe: Recipe, plan: Plan, fitted: Fit, metrics: dict[str, float], provenance: dict[str, Any]) -> Card:
    """The card that goes with the model."""
    best, epochs = fitted.history[fitted.best_epoch - 1], len(fitted.history)
    settings = {
        "name": recipe.name,
        "epochs": epochs,
        "epochs_planned": plan.epochs,
        "stopped_early": epochs < plan.epochs,
        "best_epoch": fitted.best_epoch,
        "batch_size": plan.batch_size,
        "learning_rate": plan.learning_rate,
        "loss": plan.loss,
    }
    return Card(
        format_version=FORMAT_VERSION,
        name=recipe.name,
        summary=recipe.summary,
        meanings=recipe.meanings,
        steps=recipe.steps,
        labels=recipe.labels,
        metrics={
            **metrics,
            "validation_loss": round(best.validation_loss, 6),
            f"validation_{plan.metric}": round(best.validation_metric, 6),
            "epochs": float(epochs),
            "parameters": float(sum(weights.size for weights in fitted.weights)),
        },
        recipe={**settings, **provenance},
    )


def _describe(raw: Data, parts: _Parts) -> dict[str, Any]:
    sizes = {"train": len(parts.fitting), "validation": len(parts.validation), "test": len(parts.test)}
    return {"name": raw.name, "sha256": raw.sha256, **sizes}


def _versions() -> dict[str, str]:
    modules = {name: import_module(name).__version__ for name in ("edgepack", "keras", "tensorflow", "numpy")}
    return {"python": platform.python_version(), **modules}


def _writers(
    recipe: Recipe, files: Files, model: Any, card: Card, fitted: Fit, parts: _Parts
) -> dict[Path, Callable[[Path], object]]:
    """The function that writes each file, by where it belongs."""
    title = f"{recipe.name}, seed {card.recipe['seed']}"
    picture = curve.draw(fitted.history, title=title, metric=recipe.plan.metric, best_epoch=fitted.best_epoch)
    calibration: dict[str, Any] = {recipe.input: parts.calibration.values}
    evaluation: dict[str, Any] = {recipe.input: parts.test.values, recipe.output: parts.test.labels}
    return {
        files.model: model.save,
        files.card: lambda path: path.write_bytes(encode(card)),
        files.curve: lambda path: path.write_bytes(picture),
        files.calibration: lambda path: np.savez_compressed(path, **calibration),
        files.evaluation: lambda path: np.savez_compressed(path, **evaluation),
    }
