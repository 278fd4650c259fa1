"""What the candidates are fed: a pack's own golden inputs, or seeded random values for a bare file."""

import os
from collections.abc import Sequence

import numpy as np

from edgepack.runtime.errors import InputError
from edgepack.runtime.pack import Pack, is_pack
from edgepack.runtime.tensor import Array, TensorSpec

GOLDEN, RANDOM = "golden samples of the pack", "seeded random values"

_FREE_SIZE = 32  # what a free axis other than the batch becomes where there is no real sample to say better


def sample_inputs(
    path: str | os.PathLike[str], specs: Sequence[TensorSpec], batch: int
) -> tuple[dict[str, Array], str]:
    """One batch for the model in `path`, the same in every process that asks.

    Args:
        path: A pack or a bare file.
        specs: What the session takes.
        batch: Rows where the leading axis is free.

    Returns:
        One array for each input by name, and where they come from: `GOLDEN` or `RANDOM`.

    Raises:
        InputError: A text input without golden samples.
    """
    if is_pack(path):
        with Pack(path) as pack:
            if pack.manifest.goldens:
                inputs, _ = pack.golden(pack.manifest.goldens[0])
                return {spec.name: _repeated(inputs[spec.name], spec, batch) for spec in specs}, GOLDEN
    rng = np.random.default_rng(0)
    return {spec.name: _random(spec, batch, rng) for spec in specs}, RANDOM


def _repeated(array: Array, spec: TensorSpec, batch: int) -> Array:
    """The rows of `array` again and again until there are `batch`, where the leading axis is free."""
    if not spec.shape or spec.shape[0] is not None or len(array) == 0:
        return array
    return np.ascontiguousarray(array[np.arange(batch) % len(array)])


def _random(spec: TensorSpec, batch: int, rng: np.random.Generator) -> Array:
    """Values the spec accepts: floats from 0 to 1, bytes over their whole range, other integers 0 or 1."""
    dtype = spec.numpy_dtype
    if dtype.kind not in "biuf":
        raise InputError(f"input {spec.name!r} takes text, which cannot be made up; measure a pack with golden samples")
    leading = [batch if size is None else size for size in spec.shape[:1]]
    shape = (*leading, *(_FREE_SIZE if size is None else size for size in spec.shape[1:]))
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    if dtype.itemsize == 1 and dtype.kind != "b":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return rng.integers(0, 2, shape).astype(dtype)  # may be places in a table of unknown length
