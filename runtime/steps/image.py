"""Steps on images: from a file, a PIL image or an array to pixels of the size and colours a model takes."""

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.runtime.errors import InputError, MissingExtraError, StepError
from edgepack.runtime.steps.files import read_file
from edgepack.runtime.tensor import Array, describe

if TYPE_CHECKING:
    from PIL.Image import Image

_MODES = {"grayscale": "L", "rgb": "RGB"}
_HALF = np.float32(0.5)
_MOST_PIXELS = 64_000_000  # a picture beyond this is refused before it is unpacked
_MOST_BYTES = 512_000_000  # so many pixels of 16 bits, not compressed


def image(mode: str = "rgb") -> Callable[[Any], Array]:
    """Return a function that reads an image as pixels `(height, width, channels)`, uint8, 0 to 255.

    Args:
        mode: `"grayscale"` (ITU-R BT.601 luma, one channel) or `"rgb"` (three).
    """
    if mode not in _MODES:
        raise ValueError(f"mode {mode!r} is none of {', '.join(_MODES)}")

    def read(sample: Any) -> Array:
        if isinstance(sample, np.ndarray):
            return _from_array(sample, mode)
        picture = sample if hasattr(sample, "convert") else _open(sample)
        pixels = np.asarray(picture.convert(_MODES[mode]))
        return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels

    return read


def resize(height: int, width: int, method: str = "bilinear") -> Callable[[Array], Array]:
    """Return a function that brings pixels to `(height, width, channels)`; of that size already, they are untouched.

    Args:
        height: Rows wanted.
        width: Columns wanted.
        method: `"nearest"`, `"bilinear"`, `"bicubic"` or `"lanczos"` of Pillow (antialiased when it shrinks).
    """
    if method not in {"nearest", "bilinear", "bicubic", "lanczos"}:
        raise ValueError(f"method {method!r} is none of nearest, bilinear, bicubic, lanczos")
    if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
        raise ValueError("height and width are whole numbers of pixels, 1 or more")
    if height * width > _MOST_PIXELS:
        raise ValueError(f"{height} x {width} pixels are wanted; at most {_MOST_PIXELS:,} are made")

    def run(pixels: Array) -> Array:
        if pixels.shape[:2] == (height, width):
            return pixels
        pillow = _pillow()
        sampling = pillow.Resampling[method.upper()]
        picture = pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        resized = np.asarray(picture.resize((width, height), sampling))
        return resized[:, :, np.newaxis] if resized.ndim == 2 else resized

    return run


def crop(top: int, left: int, height: int, width: int) -> Callable[[Array], Array]:
    """Return a function that cuts `height` × `width` pixels out of an image, float32, as Keras's CenterCrop does."""
    rows, columns = slice(top, top + height), slice(left, left + width)
    return lambda pixels: np.asarray(np.asarray(pixels)[rows, columns], dtype=np.float32)


def interpolate(height: int, width: int, method: str = "bilinear") -> Callable[[Array], Array]:
    """Return a function that brings float32 pixels to `(height, width, channels)` as Keras's Resizing does.

    Args:
        height: Rows wanted.
        width: Columns wanted.
        method: `"nearest"`, or `"bilinear"` between the four pixels around (not antialiased).
    """
    if method not in _RESIZERS:
        raise ValueError(f"method {method!r} is none of {', '.join(_RESIZERS)}")
    if not (min(height, width) > 0 and height * width <= _MOST_PIXELS):
        raise ValueError(f"{height} x {width} pixels are wanted; 1 to {_MOST_PIXELS:,} are made")
    resizer = _RESIZERS[method]
    return lambda pixels: resizer(np.asarray(pixels), height, width)


def _nearest(pixels: Array, height: int, width: int) -> Array:
    rows, columns = (
        np.clip(np.floor((np.arange(size, dtype=np.float32) + _HALF) * _step(found, size)).astype(int), 0, found - 1)
        for found, size in zip(pixels.shape[:2], (height, width), strict=True)
    )
    return np.asarray(pixels[rows][:, columns])


def _bilinear(pixels: Array, height: int, width: int) -> Array:
    above, below, down = _between(pixels.shape[0], height)
    before, behind, right = _between(pixels.shape[1], width)
    right = right[:, np.newaxis]
    upper, lower = pixels[above], pixels[below]
    top = upper[:, before] + (upper[:, behind] - upper[:, before]) * right
    bottom = lower[:, before] + (lower[:, behind] - lower[:, before]) * right
    return np.asarray(top + (bottom - top) * down[:, np.newaxis, np.newaxis])


def _between(found: int, wanted: int) -> tuple[Array, Array, Array]:
    """For each place wanted, the two pixels around it, and how far it is from the first; float32 as in TensorFlow."""
    places = (np.arange(wanted, dtype=np.float32) + _HALF) * _step(found, wanted) - _HALF
    first = np.floor(places)
    return np.maximum(first, 0).astype(int), np.minimum(np.ceil(places), found - 1).astype(int), places - first


def _step(found: int, wanted: int) -> np.float32:
    return np.float32(found) / np.float32(wanted)


def _from_array(pixels: Array, mode: str) -> Array:
    """Pixels from an array of `(height, width)` or `(height, width, 1 | 3 | 4)`."""
    if pixels.dtype != np.uint8:
        raise StepError(
            f"an image array holds uint8 pixels from 0 to 255; this one holds {pixels.dtype}: "
            "convert it with x.astype('uint8'), or pass a tensor that is prepared already to session.run"
        )
    flat = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if flat.ndim == 2:
        return np.repeat(flat[:, :, np.newaxis], 1 if mode == "grayscale" else 3, axis=2)
    if flat.ndim != 3 or flat.shape[2] not in {3, 4}:
        raise StepError(
            f"an image array has shape (height, width) or (height, width, 1, 3 or 4); this one {describe(pixels.shape)}"
        )
    if mode == "rgb":
        return flat[:, :, :3]
    return np.asarray(_pillow().fromarray(np.ascontiguousarray(flat[:, :, :3])).convert("L"))[:, :, np.newaxis]


def _open(sample: Any) -> "Image":
    """Open a path or the bytes of an image file."""
    if not isinstance(sample, (str, os.PathLike, bytes, bytearray)):
        raise InputError(
            f"an image comes as a path, bytes, a PIL image or a uint8 array; this is {type(sample).__name__}"
        )
    pillow = _pillow()
    if isinstance(sample, (bytes, bytearray)):
        name, source = "these bytes", io.BytesIO(sample)
    else:
        name, source = str(sample), io.BytesIO(read_file(sample, "image", _MOST_BYTES))
    try:
        picture: Image = pillow.open(source)
        if picture.width * picture.height > _MOST_PIXELS:
            raise StepError(f"{name} has {picture.width} x {picture.height} pixels; at most {_MOST_PIXELS:,} are taken")
        if picture.format == "EPS":
            raise StepError(f"{name} is a PostScript program, which is not run; save it as PNG")
        picture.load()
    except StepError:
        raise
    except Exception as error:  # what a damaged file makes a decoder raise is not written down anywhere
        raise StepError(f"{name} is not an image that Pillow can read (PNG, JPEG, BMP, …): {error}") from error
    return picture


def _pillow() -> Any:
    """The module PIL.Image, imported on first use."""
    try:
        import PIL.Image
    except ImportError as error:
        raise MissingExtraError("Pillow, which reads and resizes images,", "image") from error
    return PIL.Image


# method of `interpolate` -> what does it
_RESIZERS = {"nearest": _nearest, "bilinear": _bilinear}
