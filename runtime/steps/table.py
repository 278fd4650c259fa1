"""Steps on numbers."""

from collections.abc import Callable

import numpy as np

from edgepack.runtime.tensor import Array


def scale(factor: float, offset: float = 0.0) -> Callable[[Array], Array]:
    """Return a function that gives `x * factor + offset` in float32, as Keras's Rescaling layer does."""
    if not (isinstance(factor, (int, float)) and isinstance(offset, (int, float))):
        raise TypeError(f"factor {factor!r} and offset {offset!r} are numbers")
    factor32, offset32 = np.float32(factor), np.float32(offset)

    def run(values: Array) -> Array:
        return np.asarray(values, dtype=np.float32) * factor32 + offset32

    return run
