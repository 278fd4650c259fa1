"""The commands `train` and `recipes`."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from msgspec.json import decode

import edgepack.train
from edgepack.console import note, progress, show_json, show_table
from edgepack.runtime.errors import InputError
from edgepack.runtime.pack import check_pack_output
from edgepack.train.packing import to_pack
from edgepack.train.recipe import Recipe, TrainResult

if TYPE_CHECKING:
    from edgepack.convert.report import Report

__all__ = ["recipes", "train"]

_Flag = Parameter(negative="")  # without a --no-… beside it


def train(  # noqa: PLR0913 - one option each
    name: str,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    seed: int = 0,
    epochs: int | None = None,
    patience: int | None = None,
    class_weights: Literal["balanced", "equal"] | None = None,
    data: Path | None = None,
    resume: Annotated[bool, _Flag] = False,
    log_dir: Path | None = None,
    pack: Path | None = None,
    precision: str | None = None,
    max_drop: float = 0.005,
    force: Annotated[bool, _Flag] = False,
    json: Annotated[bool, _Flag] = False,
) -> int:
    """Train a recipe: a Keras model, with everything that is needed to convert it.

    Beside NAME.keras it writes NAME.card.json (steps, labels, results), NAME.training.html (figures, curves, what was
    mistaken for what), NAME.training.svg (the training curve), NAME.calibration.npz and NAME.evaluation.npz (samples to
    convert with). Ctrl-C ends the training early and keeps the best weights so far.

    Args:
        name: Name of the recipe; `edgepack recipes` lists them.
        output: Where the model goes: NAME.keras.
        seed: Seed of weights, order and distortion; the same seed gives the same model on the same machine.
        epochs: Passes over the training samples; the recipe knows a good number.
        patience: Epochs without a lower validation loss after which training stops.
        class_weights: Let rare classes weigh as much as common ones ("balanced"), or every sample alike ("equal").
        data: A file with another data set, in the layout the recipe takes; for digits, the full MNIST set as Keras
            keeps it (mnist.npz); for tables and series, a CSV file with the same columns.
        resume: Go on where a training of the same settings was interrupted; the result is the same, bit for bit.
        log_dir: A folder for the figures of each epoch, which TensorBoard shows.
        pack: Go on to convert, prove and pack: where the pack goes.
        precision: With --pack, precisions as edgepack convert takes them; the recipe knows which suit it.
        max_drop: With --pack, how much of the task metric a file may lose against Keras.
        force: Replace files that are there already.
        json: Print the result as JSON.
    """
    recipe = edgepack.train.find(name)
    if pack is None and precision is not None:
        raise InputError("--precision says what --pack OUT converts to; give that too")
    if pack is not None:
        check_pack_output(pack, force=force)  # before the long work, not after it
    with progress(f"Training {name}", epochs or recipe.plan.epochs) as advance:
        result = edgepack.train.train(
            recipe, output, seed=seed, epochs=epochs, patience=patience, data=data, resume=resume, log_dir=log_dir,
            balanced=None if class_weights is None else class_weights == "balanced", force=force, progress=advance,
            tell=_show_data,
        )  # fmt: skip
    report = _packed(result, recipe, pack, precision, max_drop, force=force) if pack is not None else None
    if json:
        show_json(_facts(result) | ({"pack": decode(report.to_json())} if report else {}))
    else:
        show_table(f"Trained {name}", ("what", "value"), _rows(result))
        if report:
            _show_pack(report)
    _note_what_follows(result, report, lift=recipe.lift)
    return 0


def _show_data(rows: tuple[tuple[str, str], ...]) -> None:
    """Say what is trained on, on stderr, before it begins."""
    for name, value in rows:
        note(f"{name}: {value}")


def _packed(
    result: TrainResult, recipe: Recipe, pack: Path, precision: str | None, max_drop: float, *, force: bool
) -> "Report":
    """Convert what was trained."""
    from edgepack.convert.report import report_paths, write_reports

    pieces = 2 * (precision.count(",") + 1 if precision else len(recipe.precisions))
    with progress("Converting", pieces) as advance:
        report = to_pack(recipe, result, pack, precisions=precision, max_drop=max_drop, force=force, progress=advance)
        advance(pieces, "")
    write_reports(report, report_paths(pack), note)
    return report


def _show_pack(report: "Report") -> None:
    from edgepack.convert.report import COLUMNS

    show_table(
        f"{report.name}: {len(report.passed)} of {len(report.results)} files agree with Keras", COLUMNS, report.rows()
    )


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


def _note_what_follows(result: TrainResult, report: "Report | None", *, lift: bool) -> None:
    """Say what happened that was not planned, and which command comes next."""
    files, recipe = result.files, result.card.recipe
    if result.stopped_early:
        note(
            f"Stopped early, after {recipe['epochs']} of {recipe['epochs_planned']} epochs; "
            f"the model has the weights of the best, epoch {recipe['best_epoch']}."
        )
    if result.interrupted:
        note(f"{files.checkpoint} holds where it was: the same command with --resume --force goes on.")
    command = ["edgepack", "convert", files.model, "-o", files.model.with_suffix(".edgepack"),
               "--calibration", files.calibration, "--evaluation", files.evaluation,
               *(["--lift"] if lift else [])]  # fmt: skip
    if report:
        command = ["edgepack", "run", report.output, "SAMPLE"]
    note(f"Next: {shlex.join(map(str, command))}")
