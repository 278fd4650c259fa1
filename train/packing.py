"""From a trained recipe to a pack: the one place where training knows converting."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.train.recipe import Recipe, TrainResult

if TYPE_CHECKING:
    from edgepack.convert.report import Report

__all__ = ["to_pack"]


def to_pack(
    recipe: Recipe,
    result: TrainResult,
    path: str | os.PathLike[str],
    *,
    precisions: str | tuple[str, ...] | None = None,
    max_drop: float = 0.005,
    force: bool = False,
    progress: Callable[[int, str], None] | None = None,
) -> "Report":
    """Convert what was trained as its recipe says, prove it, and pack it.

    Args:
        recipe: What was trained.
        result: What training gave.
        path: Where the pack goes.
        precisions: Those of `edgepack.convert.convert_model`; None takes the recipe's own.
        max_drop: How much of the task metric a file may lose against Keras.
        force: Replace a pack that is there.
        progress: Told how many files are done, and what is converted next.

    Raises:
        ConvertError: No file is right.
        OutputError: The pack exists already, or cannot be written.
        MissingExtraError: A package for converting is not installed.
    """
    from edgepack.convert.build import convert_model

    return convert_model(
        result.files.model, Path(path), precisions=precisions or recipe.precisions,
        calibration=result.files.calibration, evaluation=result.files.evaluation, max_drop=max_drop,
        lift_all=recipe.lift, force=force, progress=progress,
    )  # fmt: skip
