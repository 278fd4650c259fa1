"""A recipe, and `train`, which turns it into a model with everything that is needed to ship it."""

import os
import platform
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.plots import require
from edgepack.quiet import import_keras
from edgepack.runtime.errors import InputError
from edgepack.runtime.manifest import FORMAT_VERSION, Card, Steps, encode
from edgepack.runtime.steps import prepare
from edgepack.runtime.tensor import Array
from edgepack.train import curve, report
from edgepack.train.checkpoints import Checkpoint
from edgepack.train.data import Data, Samples, stratified
from edgepack.train.events import Events
from edgepack.train.fitting import Epoch, Fit, Plan, Progress, fit, is_over
from edgepack.train.outputs import Files, check_files, name_files, write_files
from edgepack.train.summary import summarize
from edgepack.train.tasks import Task

__all__ = ["Recipe", "Ship", "TrainResult", "calibration_part", "train"]

_VALIDATION_SHARE = 0.1  # of the training samples
_CALIBRATION_SAMPLES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Ship:
    """A model that ships in place of the fitted one and has its weights, such as one step of what goes over time."""

    build: Callable[[Any], Any]
    """Gives it, from the fitted model. Its output that is judged has the name it has there."""
    calibration: Callable[[Any, Samples], dict[str, Array]]
    """Its inputs by name, any number of rows, from itself and prepared samples."""
    evaluation: Callable[[Any, Samples], dict[str, Array]]
    """The same, one row for each of the samples, so that their labels are those of the rows."""
    steps: Steps
    meanings: dict[str, str]
    states: dict[str, str]
    """Its inputs that are its own state, each with the output that is its next value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One reproducible training: the data, the model, its steps, and how it is fitted."""

    name: str
    summary: str
    load: Callable[[Path | None], Data]
    """Reads the data set: the one of the recipe, or the one in a file of the user."""
    build: Callable[[Samples], Any]
    """Builds the Keras model, its input named `input` and its output layer named `output`.

    What it is given are the samples that the weights will be fitted to, after the steps: for a vocabulary, or a mean.
    """
    input: str
    output: str
    task: Task
    plan: Plan
    steps: Steps
    labels: dict[str, tuple[str, ...]]
    meanings: dict[str, str]
    front: str = ""
    """The layer behind which fitting begins: what lies before it has no weights, and is computed once for all epochs.
    Empty where fitting begins at the input."""
    figures: Callable[[Any, Samples, Samples], dict[str, float]] | None = None
    """More figures for the card, by name, from the model, the samples it was fitted to and the test samples."""
    notes: tuple[str, ...] = ()
    """What the model is for and what it is not, for the card."""
    precisions: tuple[str, ...] = ("float32", "int8")
    """What `--pack` converts to."""
    ship: Ship | None = None
    """What is written in place of the fitted model; its steps and meanings are then those on the card."""
    lift: bool = False
    """Whether `--pack` makes steps of preprocessing that engines could run too: where inputs are in units of many
    sizes, which no one range of 8 bits holds, before a Normalization layer that makes them alike."""
    ordered: bool = False
    """Whether samples follow one another in time: the validation part is the end of the training part then, not drawn
    from the midst of it."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainResult:
    """A trained model, and the files that were written."""

    model: Any
    """The one that was written."""
    card: Card
    files: Files
    history: tuple[Epoch, ...]
    stopped_early: bool
    interrupted: bool
    """Whether Ctrl-C stopped it; `resume` goes on then."""


def train(  # noqa: PLR0913 - keyword-only, each an independent choice of the user
    recipe: Recipe,
    output: str | os.PathLike[str],
    *,
    seed: int = 0,
    epochs: int | None = None,
    patience: int | None = None,
    balanced: bool | None = None,
    data: str | os.PathLike[str] | None = None,
    resume: bool = False,
    log_dir: str | os.PathLike[str] | None = None,
    force: bool = False,
    progress: Progress = lambda done, text: None,
    tell: Callable[[tuple[tuple[str, str], ...]], object] = lambda rows: None,
) -> TrainResult:
    """Train a recipe and write the model, its card, a report, the training curve, and samples to convert with.

    The same seed gives the same weights on the same machine: Keras's random generators are seeded and TensorFlow's
    operators made deterministic, for the rest of the process. Weights are chosen on a tenth of the training samples
    that is held out; the test samples are looked at once, at the end. Ctrl-C after the first epoch is an early stop.
    The state after each epoch is kept in `NAME.checkpoint.npz` until the training is over.

    Args:
        recipe: What is trained.
        output: Where the model goes, as `NAME.keras`; the other files are named after it.
        seed: Of the weights, the order and distortion of samples, and the validation part; not of the test samples.
        epochs: Passes over the training samples; the recipe's own number if None.
        patience: Epochs without a lower validation loss after which it stops; the recipe's own if None.
        balanced: Whether rare classes weigh as much as common ones; as the recipe says if None.
        data: A file with another data set, in the layout the recipe takes.
        resume: Go on where a training of the same settings was interrupted; it ends with the same weights, bit for
            bit, as one that was not.
        log_dir: A folder for the figures of each epoch, for TensorBoard.
        force: Whether files that are there already are replaced.
        progress: Told what is done now, with 0, and after each epoch their number and how the last one went.
        tell: Given a summary of the data, names and values, before the training begins.

    Raises:
        InputError: A seed or number of epochs that cannot be, an output of another name, or a checkpoint of a training
            with other settings.
        OutputError: A file exists already, or cannot be written.
        DataError: The data set or the checkpoint does not fit.
        MissingFileError: There is no file `data`, or nothing to resume.
        MissingExtraError: A package for training is not installed.
        KeyboardInterrupt: Ctrl-C came before the first epoch was over, or while files were written: none was.
    """
    plan = _plan(recipe, seed, epochs, patience, balanced)
    files = name_files(Path(output))
    check_files(files, force=force)
    raw = recipe.load(None if data is None else Path(data))
    curve.import_matplotlib()
    require()
    rows = summarize(raw, recipe.task, recipe.labels.get(recipe.output, ()))
    tell(rows)
    progress(0, "starting TensorFlow")
    _begin(seed)
    rng = np.random.default_rng(seed)
    parts = _prepare(recipe, raw, rng)
    settings = {"recipe": recipe.name, "seed": seed, "data": raw.sha256, "versions": _versions(), **_facts_of(plan)}
    checkpoint = Checkpoint(files.checkpoint, settings, resume=resume, force=force)
    start = time.monotonic()
    model = recipe.build(parts.fitting)
    core, front = _halves(model, recipe)
    with ExitStack() as stack:
        events = stack.enter_context(Events(None if log_dir is None else Path(log_dir)))
        fitted = fit(
            core, _through(front, parts.fitting), _through(front, parts.validation), plan, task=recipe.task, rng=rng,
            progress=progress, keeper=checkpoint, watch=lambda number, epoch: events.write(number, asdict(epoch)),
        )  # fmt: skip
    seconds = round(time.monotonic() - start, 3)
    outputs = _answers(model, recipe.output, parts.test.values)
    figures = recipe.task.judge(outputs, parts.test.labels)
    if recipe.figures:
        figures |= recipe.figures(model, parts.fitting, parts.test)
    metrics = {"train_seconds": seconds, **{f"test_{name}": round(value, 6) for name, value in figures.items()}}
    card = _card(recipe, plan, fitted, metrics, {"seed": seed, "data": _describe(raw, parts), "versions": _versions()})
    page = report.page(
        card, recipe.task, fitted, rows, (outputs, parts.test.labels), recipe.labels.get(recipe.output, ())
    )
    if recipe.ship:
        model = recipe.ship.build(model)
    write_files(_writers(recipe, files, model, card, fitted, parts, page))
    interrupted = not is_over(fitted, plan)
    if not interrupted:
        checkpoint.remove()
    return TrainResult(model, card, files, fitted.history, card.recipe["stopped_early"], interrupted)


def _halves(model: Any, recipe: Recipe) -> tuple[Any, Any]:
    """The part that is fitted, which shares its layers with the model, and what makes its inputs; None for nothing."""
    import keras

    output = model.get_layer(recipe.output).output
    if not recipe.front:
        return keras.Model(model.inputs, output, name=model.name), None
    border = model.get_layer(recipe.front).output
    return keras.Model(border, output, name=model.name), keras.Model(model.inputs, border)


def _answers(model: Any, output: str, values: Array) -> Array:
    """What the whole model gives at one of its outputs."""
    import keras

    told = keras.Model(model.inputs, model.get_layer(output).output)
    return np.asarray(told.predict(values, batch_size=256, verbose=0))


def _through(front: Any, samples: Samples) -> Samples:
    if front is None:
        return samples
    return Samples(np.asarray(front.predict(samples.values, batch_size=256, verbose=0)), samples.labels)


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The data after the steps, in its parts; calibration samples are some of the others, but never of the test."""

    fitting: Samples
    validation: Samples
    calibration: Samples
    test: Samples


def _plan(recipe: Recipe, seed: int, epochs: int | None, patience: int | None, balanced: bool | None) -> Plan:
    """The recipe's plan with what was asked for."""
    if not 0 <= seed < 2**32:
        raise InputError(f"seed {seed} cannot be; a whole number from 0 to {2**32 - 1} is taken")
    if epochs is not None and epochs < 1:
        raise InputError(f"{epochs} epochs cannot be trained; ask for 1 or more, or leave it to the recipe")
    if patience is not None and patience < 1:
        raise InputError(f"patience is {patience}; it is 1 or more epochs, or left to the recipe")
    if balanced and not recipe.task.is_sorting:
        raise InputError(f"recipe {recipe.name!r} learns numbers, which have no classes to balance; leave that out")
    own = recipe.plan
    return replace(
        own,
        epochs=own.epochs if epochs is None else epochs,
        patience=own.patience if patience is None else patience,
        balanced=own.balanced if balanced is None else balanced,
    )


def _facts_of(plan: Plan) -> dict[str, Any]:
    """The plan without what is no plain value."""
    return {name: value for name, value in asdict(plan).items() if name != "augment"}


def _begin(seed: int) -> None:
    """Import Keras and make what follows reproducible."""
    keras = import_keras("trains models", "train")
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _prepare(recipe: Recipe, raw: Data, rng: np.random.Generator) -> _Parts:
    """All samples through the very steps that a device runs, and split."""
    known, test = (_prepared(recipe, part) for part in (raw.train, raw.test))
    count = round(_VALIDATION_SHARE * len(known))
    if recipe.ordered:
        rest, held = np.split(np.arange(len(known)), [len(known) - count])
        chosen = rng.permutation(len(known))[:_CALIBRATION_SAMPLES]
    elif recipe.task.is_sorting:
        held, rest = stratified(known.labels, count, rng)
        chosen, _ = stratified(known.labels, min(_CALIBRATION_SAMPLES, len(known)), rng)
    else:
        order = rng.permutation(len(known))
        held, rest = np.split(order, [count])
        chosen = rng.permutation(len(known))[:_CALIBRATION_SAMPLES]
    return _Parts(known.take(rest), known.take(held), known.take(chosen), test)


def calibration_part(recipe: Recipe, raw: Data, rng: np.random.Generator) -> Samples:
    """The prepared samples that a training with this generator writes for calibration, with their labels."""
    return _prepare(recipe, raw, rng).calibration


def _prepared(recipe: Recipe, part: Samples) -> Samples:
    chain = recipe.steps.inputs.get(recipe.input, ())
    values = part.values
    if chain:
        steps = prepare(chain)
        values = np.stack([steps(value) for value in part.values])
    return Samples(values, values if recipe.task.rebuilds else part.labels)


def _card(recipe: Recipe, plan: Plan, fitted: Fit, metrics: dict[str, float], provenance: dict[str, Any]) -> Card:
    """The card that goes with the model."""
    best, epochs = fitted.history[fitted.best_epoch - 1], len(fitted.history)
    shipped = recipe.ship or recipe
    settings = {
        "name": recipe.name,
        "epochs": epochs,
        "epochs_planned": plan.epochs,
        "stopped_early": epochs < plan.epochs,
        "best_epoch": fitted.best_epoch,
        "batch_size": plan.batch_size,
        "learning_rate": plan.learning_rate,
        "loss": recipe.task.loss,
        **({"lift": True} if recipe.lift else {}),
    }
    return Card(
        format_version=FORMAT_VERSION,
        name=recipe.name,
        summary=recipe.summary,
        meanings=shipped.meanings,
        steps=shipped.steps,
        labels=recipe.labels,
        metrics={
            **metrics,
            "validation_loss": round(best.validation_loss, 6),
            f"validation_{recipe.task.metric}": round(best.validation_metric, 6),
            "epochs": float(epochs),
            "parameters": float(sum(weights.size for weights in fitted.weights)),
        },
        recipe={**settings, **provenance},
        notes=recipe.notes,
        states=recipe.ship.states if recipe.ship else {},
    )


def _describe(raw: Data, parts: _Parts) -> dict[str, Any]:
    sizes = {"train": len(parts.fitting), "validation": len(parts.validation), "test": len(parts.test)}
    return {"name": raw.name, "sha256": raw.sha256, **sizes}


def _versions() -> dict[str, str]:
    modules = {name: import_module(name).__version__ for name in ("edgepack", "keras", "tensorflow", "numpy")}
    return {"python": platform.python_version(), **modules}


def _writers(
    recipe: Recipe, files: Files, model: Any, card: Card, fitted: Fit, parts: _Parts, page: str
) -> dict[Path, Callable[[Path], object]]:
    """The function that writes each file, by where it belongs."""
    title = f"{recipe.name}, seed {card.recipe['seed']}"
    picture = curve.draw(fitted.history, title=title, metric=recipe.task.metric, best_epoch=fitted.best_epoch)
    calibration: dict[str, Any] = {recipe.input: _storable(parts.calibration.values)}
    evaluation: dict[str, Any] = {recipe.input: _storable(parts.test.values)}
    if recipe.ship:
        calibration = recipe.ship.calibration(model, parts.calibration)
        evaluation = recipe.ship.evaluation(model, parts.test)
    evaluation[recipe.output] = parts.test.labels
    return {
        files.model: model.save,
        files.card: lambda path: path.write_bytes(encode(card)),
        files.report: lambda path: path.write_text(page, encoding="utf-8"),
        files.curve: lambda path: path.write_bytes(picture),
        files.calibration: lambda path: np.savez_compressed(path, **calibration),
        files.evaluation: lambda path: np.savez_compressed(path, **evaluation),
    }


def _storable(values: Array) -> Array:
    """Texts as a file without pickles holds them: each as wide as the longest, which only compression makes small."""
    return values.astype(np.str_) if values.dtype == object else values
