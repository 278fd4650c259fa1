"""Distort training images a little, so that a model meets more than the few it is given."""

import numpy as np

from edgepack.runtime.tensor import Array


def distort(
    images: Array, rng: np.random.Generator, *, degrees: float, shear: float, shift: float, zoom: float
) -> Array:
    """Turn, slant, move and zoom each image by its own random amount.

    Args:
        images: `(images, height, width, channels)`, float32; what lies outside of an image counts as 0.
        rng: The amounts, each even between minus and plus its limit.
        degrees: How far to turn.
        shear: How far to slant, in degrees.
        shift: How far to move, in pixels, along each axis.
        zoom: How much larger or smaller, as a share: 0.1 is from 0.9 to 1.1 times.

    Returns:
        New images of the same shape and type.
    """
    count, height, width, _ = images.shape
    turn, slant = np.deg2rad(rng.uniform(-1, 1, (2, count, 1, 1)) * [[[[degrees]]], [[[shear]]]])
    down, right = rng.uniform(-shift, shift, (2, count, 1, 1))
    shrink = 1 / rng.uniform(1 - zoom, 1 + zoom, (count, 1, 1))
    y = np.arange(height)[:, np.newaxis] - (height - 1) / 2  # from the centre
    x = np.arange(width) - (width - 1) / 2
    rows = shrink * (np.sin(turn) * x + np.cos(turn) * y) + down + (height - 1) / 2
    columns = shrink * (np.cos(turn) * x - np.sin(turn) * y) + np.tan(slant) * y + right + (width - 1) / 2
    return _sample(images, rows, columns)


def _sample(images: Array, rows: Array, columns: Array) -> Array:
    """Each image read at places between its pixels, bilinearly; `rows` and `columns` are `(images, height, width)`."""
    count, height, width, channels = images.shape
    padded = np.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)))  # so that every place has four neighbours
    pixels = padded.reshape(-1, channels)
    rows = np.clip(rows, -1, height).astype(np.float32) + 1
    columns = np.clip(columns, -1, width).astype(np.float32) + 1
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    lower, righter = (rows - top)[..., np.newaxis], (columns - left)[..., np.newaxis]
    first = (np.arange(count)[:, np.newaxis, np.newaxis] * (height + 3) + top) * (width + 3) + left
    below = first + width + 3
    upper_row = pixels[first] * (1 - righter) + pixels[first + 1] * righter
    lower_row = pixels[below] * (1 - righter) + pixels[below + 1] * righter
    return np.asarray(upper_row * (1 - lower) + lower_row * lower, dtype=images.dtype)
