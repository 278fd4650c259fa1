"""What values a model's inputs take, as far as its first layers tell: what random samples are drawn from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgepack.convert.graph import opened, ordered
from edgepack.convert.source import Source
from edgepack.runtime.tensor import Array, TensorSpec

# Layers whose output has the values of their input.
_TRANSPARENT = {
    "ActivityRegularization", "AlphaDropout", "CenterCrop", "Concatenate", "Cropping1D", "Cropping2D", "Cropping3D",
    "Dropout", "Flatten", "GaussianDropout", "GaussianNoise", "Identity", "Masking", "Permute", "RepeatVector",
    "Reshape", "Resizing", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "UpSampling1D", "UpSampling2D",
    "UpSampling3D",
}  # fmt: skip
_PIXELS = 255


@dataclass(frozen=True, slots=True)
class Range:
    """From the lowest to the highest value of one input, both included; arrays where they differ by feature."""

    low: float | Array
    high: float | Array
    padding: float | None = None
    """What stands behind the last step of a short sequence; None where the model masks nothing."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Values spread evenly over the range; a range by feature that does not fit the shape is taken as a whole.

        Every second row is a short sequence where the model masks padding.
        """
        values = self._spread(rng, shape, dtype)
        if self.padding is not None and len(shape) > 1:
            for row in range(1, shape[0], 2):
                values[row, int(rng.integers(1, shape[1] + 1)) :] = self.padding
        return values

    def _spread(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        low, high = self.low, self.high
        try:
            fits = np.broadcast_shapes(np.shape(low), shape) == shape
        except ValueError:
            fits = False
        if not fits:
            low, high = np.min(low), np.max(high)
        if dtype.kind == "b":
            return rng.integers(0, 2, shape).astype(bool)
        if dtype.kind in "iu":
            ends = np.clip((np.ceil(low), np.maximum(np.floor(high), np.ceil(low))), *_limits(dtype)).astype(np.int64)
            return rng.integers(ends[0], ends[1], shape, endpoint=True).astype(dtype)
        return (low + rng.random(shape) * (np.asarray(high) - low)).astype(dtype)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """The least and greatest number that is drawn for a type of whole numbers."""
    known = np.iinfo(dtype)
    return max(known.min, -(1 << 62)), min(known.max, 1 << 62)


def declared(source: Source) -> dict[str, Range]:
    """The range of each input, by name.

    What a layer says of the values it takes counts: the size of an embedding or of a category encoding, the bins of a
    discretization, the mean and variance of a normalization, a rescaling to 0 … 1 or -1 … 1. An input that meets
    several takes what they have in common. What nothing is said of is 0 … 1, and 0 … 255 for uint8.

    Args:
        source: The model.
    """
    ranges: dict[str, Range] = {}
    try:
        graph = opened(source.model, lambda _: True) if source.model is not None else None
    except Exception:  # noqa: BLE001 - a model whose parts cannot be called again by themselves tells nothing
        graph = None
    if graph is not None:
        for spec, tensor in zip(source.inputs, graph.inputs, strict=True):
            readers = list(_readers(graph, tensor))
            found = [range_ for layer in readers if (range_ := _of_layer(layer))]
            padding = next((value for layer in readers if (value := _padding(layer)) is not None), None)
            ranges[spec.name] = replace(_common(found) if found else _usual(spec), padding=padding)
    return {spec.name: ranges.get(spec.name) or _usual(spec) for spec in source.inputs}


def _readers(graph: Any, tensor: Any) -> Iterator[Any]:
    """The layers that read an input, also behind layers that leave its values alone."""
    same = {id(tensor)}
    for node in ordered(graph):
        if not any(id(given) in same for given in node.input_tensors):
            continue
        if type(node.operation).__name__ in _TRANSPARENT:
            same |= {id(output) for output in node.outputs}
        yield node.operation


def _of_layer(layer: Any) -> Range | None:
    reader = _READERS.get(type(layer).__name__)
    return reader(layer) if reader else None


def _padding(layer: Any) -> float | None:
    """The value that the layer masks."""
    if type(layer).__name__ == "Masking":
        return float(layer.mask_value)
    return 0.0 if getattr(layer, "mask_zero", False) else None


def _embedding(layer: Any) -> Range:
    return Range(0, layer.input_dim - 1)


def _categories(layer: Any) -> Range:
    return Range(0, layer.num_tokens - 1)


def _bins(layer: Any) -> Range | None:
    edges = list(layer.bin_boundaries or ())
    return Range(min(edges) - 1, max(edges) + 1) if edges else None


def _rescaling(layer: Any) -> Range | None:
    """What a rescaling brings to 0 … 1, or to -1 … 1 where it takes something off."""
    scale, offset = np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
    if not np.all(scale):
        return None
    least = np.where(offset < 0, -1.0, 0.0)
    ends = (least - offset) / scale, (1.0 - offset) / scale
    return Range(_plain(np.minimum(*ends)), _plain(np.maximum(*ends)))


def _normalization(layer: Any) -> Range | None:
    """Two standard deviations around the mean, by feature."""
    if layer.invert or getattr(layer, "mean", None) is None:
        return None
    mean, deviation = np.asarray(layer.mean, np.float64), np.sqrt(np.asarray(layer.variance, np.float64))
    return Range(_plain(mean - 2 * deviation), _plain(mean + 2 * deviation))


_READERS: dict[str, Callable[[Any], Range | None]] = {
    "Embedding": _embedding,
    "CategoryEncoding": _categories,
    "Discretization": _bins,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
}


def _plain(values: Array) -> float | Array:
    return float(values) if values.ndim == 0 else values


def _common(ranges: list[Range]) -> Range:
    """Where all of them hold; the first where they have nothing in common."""
    first, *others = ranges
    low, high = first.low, first.high
    for other in others:
        try:
            narrow = np.maximum(low, other.low), np.minimum(high, other.high)
        except ValueError:
            continue  # features of different shapes
        if np.all(narrow[0] <= narrow[1]):
            low, high = map(_plain, narrow)
    return Range(low, high)


def _usual(spec: TensorSpec) -> Range:
    return Range(0, _PIXELS) if spec.dtype == "uint8" else Range(0, 1)
