"""The commands `train` and `recipes`."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

import edgepack.train
from edgepack.console import note, progress, show_json, show_table
from edgepack.train.recipe import TrainResult

__all__ = ["recipes", "train"]

_Flag = Parameter(negative="")  # without a --no-… beside it


def train(
    name: str,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    seed: int = 0,
    epochs: int | None = None,
    data: Path | None = None,
    force: Annotated[bool, _Flag] = False,
    json: Annotated[bool, _Flag] = False,
) -> int:
    """Train a recipe: a Keras model, with everything that is needed to convert it.

    Beside NAME.keras it writes NAME.card.json (steps, labels, results), NAME.training.svg (the training curve),
    NAME.calibration.npz and NAME.evaluation.npz (samples to convert with). Ctrl-C ends the training early and keeps
    the best weights so far.

    Args:
        name: Name of the recipe; `edgepack recipes` lists them.
        output: Where the model goes: NAME.keras.
        seed: Seed of weights, order and distortion; the same seed gives the same model on the same machine.
        epochs: Passes over the training samples; the recipe knows a good number.
        data: A file with another data set; for digits, the full MNIST set as Keras keeps it (mnist.npz).
        force: Replace files that are there already.
        json: Print the result as JSON.
    """
    recipe = edgepack.train.find(name)
    with progress(f"Training {name}", epochs or recipe.plan.epochs) as advance:
        result = edgepack.train.train(
            recipe, output, seed=seed, epochs=epochs, data=data, force=force, progress=advance
        )
    if json:
        show_json(_facts(result))
    else:
        show_table(f"Trained {name}", ("what", "value"), _rows(result))
    _note_what_follows(result)
    return 0


def recipes(*, json: Annotated[bool, _Flag] = False) -> int:
    """List the recipes that `edgepack train` knows.

    Args:
        json: Print them as JSON.
    """
    known = edgepack.train.known()
    if json:
        show_json({"recipes": [{"name": name, "summary": summary} for name, summary in known.items()]})
    else:
        show_table("Recipes", ("name", "what it trains"), known.items())
    return 0


def _facts(result: TrainResult) -> dict[str, Any]:
    """The result as plain data."""
    return {
        "name": result.card.name,
        "files": {name: str(path) for name, path in asdict(result.files).items()},
        "metrics": result.card.metrics,
        "recipe": result.card.recipe,
        "stopped_early": result.stopped_early,
    }


def _rows(result: TrainResult) -> list[tuple[str, str]]:
    """The result for people."""
    metrics, recipe = result.card.metrics, result.card.recipe
    scores = {name: value for name, value in metrics.items() if name.startswith(("test_", "validation_"))}
    return [
        *((name.replace("_", " "), f"{value:.4f}") for name, value in scores.items()),
        ("test samples", f"{recipe['data']['test']:,}"),
        ("epochs", f"{recipe['epochs']} of {recipe['epochs_planned']}, weights of epoch {recipe['best_epoch']}"),
        ("parameters", f"{metrics['parameters']:,.0f}"),
        ("training time", f"{metrics['train_seconds']:.1f} s"),
        *(asdict(result.files).items()),
    ]


def _note_what_follows(result: TrainResult) -> None:
    """Say what happened that was not planned, and which command comes next."""
    files, recipe = result.files, result.card.recipe
    if result.stopped_early:
        note(
            f"Stopped early, after {recipe['epochs']} of {recipe['epochs_planned']} epochs; "
            f"the model has the weights of the best, epoch {recipe['best_epoch']}."
        )
    command = ["edgepack", "convert", files.model, "-o", files.model.with_suffix(".edgepack"),
               "--calibration", files.calibration, "--evaluation", files.evaluation]  # fmt: skip
    note(f"Next: {shlex.join(map(str, command))}")
