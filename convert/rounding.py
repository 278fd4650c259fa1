"""How much a model itself makes of a rounding: what no two float32 programs of it can be held to less than."""

from collections.abc import Mapping

import numpy as np

from edgepack.convert.source import Source
from edgepack.runtime.compare import compare
from edgepack.runtime.tensor import Array

_ROWS = 4
_STEP = 1e-6  # relative: some eight units in the last place of float32


def movement(source: Source, inputs: Mapping[str, Array]) -> float:
    """How far outputs move, relative to the largest, when float inputs move by a few roundings.

    A deep net can make a hundredfold and more of a rounding at its inputs, and so of those in each of its layers.

    Args:
        source: The model.
        inputs: Rows by input name; the first few are moved, each element up or down.

    Returns:
        The movement; 0 where no input is a float, or the outputs do not stay finite.
    """
    rng = np.random.default_rng(0)
    few = {name: array[:_ROWS] for name, array in inputs.items()}
    moved = {name: _moved(array, rng) if array.dtype.kind == "f" else array for name, array in few.items()}
    if all(moved[name] is array for name, array in few.items()):
        return 0.0
    rows = len(next(iter(few.values())))
    # Together, so that the model is traced once.
    outputs = source.predict({name: np.concatenate([array, moved[name]]) for name, array in few.items()}, rows)
    before, after = (
        {name: array[part] for name, array in outputs.items()} for part in (slice(rows), slice(rows, None))
    )
    found = compare(before, after).max_rel
    return found if np.isfinite(found) else 0.0


def _moved(array: Array, rng: np.random.Generator) -> Array:
    signs = rng.choice([-1.0, 1.0], array.shape)
    moved: Array = (array * (1 + _STEP * signs)).astype(array.dtype)
    return moved
