"""Steps on numbers."""

from collections.abc import Callable, Sequence

import numpy as np

from edgepack.runtime.tensor import Array

Numbers = float | Sequence["Numbers"]

_SMALLEST_DEVIATION = np.float32(1e-7)  # keras.config.epsilon()


def scale(factor: float, offset: float = 0.0) -> Callable[[Array], Array]:
    """Return a function that gives `x * factor + offset` in float32, as Keras's Rescaling layer does."""
    if not (isinstance(factor, (int, float)) and isinstance(offset, (int, float))):
        raise TypeError(f"factor {factor!r} and offset {offset!r} are numbers")
    factor32, offset32 = np.float32(factor), np.float32(offset)

    def run(values: Array) -> Array:
        return np.asarray(values, dtype=np.float32) * factor32 + offset32

    return run


def rescale(factor: Sequence[float], offset: Sequence[float]) -> Callable[[Array], Array]:
    """Return a function that gives `x * factor + offset` as `scale` does, with numbers of its own for each channel."""
    factors, offsets = np.asarray(factor, np.float32), np.asarray(offset, np.float32)
    if factors.ndim != 1 or offsets.shape != factors.shape:
        raise ValueError("factor and offset hold one number for each place of the last axis")
    return lambda values: np.asarray(np.asarray(values, np.float32) * factors + offsets)


def normalize(mean: Numbers, variance: Numbers, *, invert: bool = False) -> Callable[[Array], Array]:
    """Return a function that takes the mean away and divides by the deviation in float32, as Keras's Normalization.

    Args:
        mean: One number, or as many axes as a sample has.
        variance: The same.
        invert: Multiply by the deviation and add the mean instead.
    """
    middle = np.asarray(mean, np.float32)
    deviation = np.maximum(np.sqrt(np.asarray(variance, np.float32)), _SMALLEST_DEVIATION)

    def run(values: Array) -> Array:
        numbers = np.asarray(values, dtype=np.float32)
        return np.asarray(middle + numbers * deviation if invert else (numbers - middle) / deviation)

    return run
