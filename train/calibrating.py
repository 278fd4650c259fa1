"""A recipe's calibration samples, without training it: those that `edgepack train` writes beside the model."""

from pathlib import Path

import numpy as np

from edgepack.runtime.errors import DataError
from edgepack.runtime.tensor import Array
from edgepack.train.recipe import calibration_part
from edgepack.train.recipes import find

__all__ = ["calibration_of"]


def calibration_of(name: str, *, seed: int = 0, data: Path | None = None) -> dict[str, Array]:
    """Return the samples of `NAME.calibration.npz` and their labels, by input and output names.

    Args:
        name: A recipe's name.
        seed: The seed of the training.
        data: A file with another data set, in the layout the recipe takes.

    Raises:
        UnknownNameError: There is no such recipe.
        DataError: The recipe makes its samples with the trained model.
        MissingExtraError: The package that carries the data is not installed.
    """
    recipe = find(name)
    if recipe.ship:
        raise DataError(
            f"recipe {name!r} makes its calibration samples with the trained model: give the NAME.calibration.npz "
            "that edgepack train wrote"
        )
    part = calibration_part(recipe, recipe.load(data), np.random.default_rng(seed))
    return {recipe.input: part.values, recipe.output: np.asarray(part.labels)}
