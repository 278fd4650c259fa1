"""Rows to warm a model up with: the golden ones of its pack, else made up."""

import os

import numpy as np

from edgepack.runtime.pack import Pack, is_pack
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array, TensorSpec

_FREE_SIZE = 32  # of a free axis other than the batch, where no real sample says better


def sample_of(path: str | os.PathLike[str], session: Session) -> tuple[dict[str, Array], bool]:
    """Return tensors that a session runs, and whether they are golden ones.

    Args:
        path: The pack or file that the session was opened from.
        session: What runs it.
    """
    if is_pack(path):
        with Pack(path) as pack:
            if pack.manifest.goldens:
                inputs, _ = pack.golden(pack.manifest.goldens[0])
                return session.check(inputs), True
    return session.check({spec.name: _zeros(spec) for spec in session.inputs}), False


def _zeros(spec: TensorSpec) -> Array:
    """One row of nothing."""
    sizes = [1 if axis == 0 else _FREE_SIZE for axis in range(len(spec.shape))]
    shape = [found if size is None else size for size, found in zip(spec.shape, sizes, strict=True)]
    return np.full(shape, "", object) if spec.dtype == "string" else np.zeros(shape, spec.numpy_dtype)
