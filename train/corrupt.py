"""Spoil images in ways that a scanner, a pen or a wrong picture would: to learn to clean them, and to be told apart."""

from collections.abc import Callable
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from edgepack.runtime.tensor import Array

__all__ = ["KINDS", "blots", "noise", "scratches", "shapes"]


def noise(images: Array, rng: np.random.Generator, *, deviation: float = 0.25) -> Array:
    """Add normal noise to every pixel, and keep 0 to 1.

    Args:
        images: `(images, height, width, 1)`, float32, 0 to 1.
        rng: The noise.
        deviation: Its standard deviation.
    """
    return np.clip(images + deviation * rng.standard_normal(images.shape, np.float32), 0, 1)


def blots(images: Array, rng: np.random.Generator) -> Array:
    """Drop a white disc of 3 to 4.5 pixels radius somewhere on each image; shapes as in `noise`."""
    count, height, width, _ = images.shape
    rows, columns = _grid(height, width)
    y, x = (rng.uniform(5, size - 6, (count, 1, 1)) for size in (height, width))
    radius = rng.uniform(3, 4.5, (count, 1, 1))
    return _inked(images, radius + 0.5 - np.hypot(rows - y, columns - x))


def scratches(images: Array, rng: np.random.Generator) -> Array:
    """Draw two thin lines across each image, from one side to the other; shapes as in `noise`."""
    count, height, width, _ = images.shape
    upright, level = (rng.uniform(3, size - 4, (count, 2)) for size in (width, height))
    down = np.stack([np.stack([np.full(count, end), upright[:, side]], axis=1) for side, end in ((0, 0), (1, height))])
    across = np.stack([np.stack([level[:, side], np.full(count, end)], axis=1) for side, end in ((0, 0), (1, width))])
    spoiled = _inked(images, 1.2 - _distance(height, width, down[0], down[1]))
    return _inked(spoiled, 1.2 - _distance(height, width, across[0], across[1]))


def shapes(images: Array, rng: np.random.Generator) -> Array:
    """Draw something else instead of each image: a zigzag of five strokes as thick as a pen's; shapes as in `noise`."""
    count, height, width, _ = images.shape
    corners = rng.uniform((4, 4), (height - 5, width - 5), (6, count, 2))
    drawn = np.zeros_like(images)
    for start, end in pairwise(corners):
        drawn = _inked(drawn, 1.8 - _distance(height, width, start, end))
    return drawn


KINDS: MappingProxyType[str, Callable[[Array, np.random.Generator], Array]] = MappingProxyType(
    {"noise": noise, "blots": blots, "scratches": scratches, "shapes": shapes}
)
"""All of them, by name."""


def _inked(images: Array, ink: Array) -> Array:
    """The images with white `(images, height, width)` over them, where that is more."""
    return np.asarray(np.maximum(images, np.clip(ink, 0, 1)[..., np.newaxis].astype(images.dtype)))


def _grid(height: int, width: int) -> tuple[Array, Array]:
    return np.arange(height)[:, np.newaxis], np.arange(width)


def _distance(height: int, width: int, start: Array, end: Array) -> Array:
    """How far each pixel is from the line between two places `(images, 2)`: `(images, height, width)`."""
    rows, columns = _grid(height, width)
    (y, x), (down, right) = (np.moveaxis(one, 1, 0)[..., np.newaxis, np.newaxis] for one in (start, end - start))
    length = np.maximum(down**2 + right**2, 1e-9)
    along = np.clip(((rows - y) * down + (columns - x) * right) / length, 0, 1)
    return np.asarray(np.hypot(rows - y - along * down, columns - x - along * right))
