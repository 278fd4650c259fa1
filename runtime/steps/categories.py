"""Steps on categories, exact to Keras's Hashing, HashedCrossing, Discretization and CategoryEncoding."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgepack.runtime.errors import StepError
from edgepack.runtime.steps.hashes import cross as cross_hash
from edgepack.runtime.steps.hashes import fingerprint, siphash
from edgepack.runtime.steps.lookup import flat
from edgepack.runtime.steps.text import to_bytes
from edgepack.runtime.tensor import Array

_MODES = ("one_hot", "multi_hot", "count", "tf_idf")
_MOST_PLACES = 10_000_000


def hash_bins(
    num_bins: int, mask_value: Any = None, salt: Sequence[int] | None = None, dtype: str = "int64"
) -> Callable[[Any], Array]:
    """Return a function that gives the bin each value hashes to, in the shape of the sample.

    Args:
        num_bins: How many bins there are.
        mask_value: A value that goes to bin 0, which is then kept for it.
        salt: Two keys for SipHash instead of FarmHash.
        dtype: Element type of the result.
    """
    _check_bins(num_bins)
    masked = mask_value is not None and num_bins > 1
    bins, first = (num_bins - 1, 1) if masked else (num_bins, 0)
    keys = None if salt is None else (int(salt[0]), int(salt[1]))

    def number(value: Any) -> int:
        data = _written(value)
        return (fingerprint(data) if keys is None else siphash(data, keys)) % bins + first

    def run(sample: Any) -> Array:
        if not masked:
            values, shape = flat(sample)
            return np.array([number(value) for value in values], dtype).reshape(shape)
        hidden = np.asarray(sample) == mask_value  # before floats are cut, as Keras does
        values, shape = flat(sample)
        numbers = [0 if gone else number(value) for value, gone in zip(values, hidden.ravel(), strict=True)]
        return np.array(numbers, dtype).reshape(shape)

    return run


def cross(num_bins: int, dtype: str = "int64") -> Callable[[Sequence[Any]], Array]:
    """Return a function that gives the bin which several values of one sample hash to together."""
    _check_bins(num_bins)

    def run(parts: Sequence[Any]) -> Array:
        flattened = [flat(part) for part in parts]
        shape = flattened[0][1]
        rows = zip(*(values for values, _ in flattened), strict=True)
        keys = [[to_bytes(value) if isinstance(value, str) else int(value) for value in row] for row in rows]
        return np.array([cross_hash(key) % num_bins for key in keys], dtype).reshape(shape)

    return run


def discretize(boundaries: Sequence[float], dtype: str = "int32") -> Callable[[Any], Array]:
    """Return a function that gives how many of the float32 `boundaries` each number has reached."""
    edges = np.asarray(boundaries, np.float32)
    if edges.ndim != 1 or not (edges[1:] >= edges[:-1]).all():
        raise ValueError("boundaries are numbers in rising order")

    def run(numbers: Any) -> Array:
        reached = np.searchsorted(edges, np.asarray(numbers, np.float32), side="right")
        return np.asarray(reached).astype(dtype)

    return run


def encode(
    mode: str, depth: int, weights: Sequence[float] | None = None, dtype: str = "float32"
) -> Callable[[Any], Array]:
    """Return a function that writes category numbers as places of a vector.

    Args:
        mode: `"one_hot"` gives a vector for each number (an axis of length 1 becomes it), `"multi_hot"` one for them
            all with ones, `"count"` with how often, `"tf_idf"` with that times the weights.
        depth: How many places there are. Numbers beyond have none and are passed over.
        weights: One for each place, for `"tf_idf"`.
        dtype: Element type of the result.
    """
    if mode not in _MODES or (mode == "tf_idf") != (weights is not None):
        raise ValueError(f"mode {mode!r} is none of {', '.join(_MODES)}, or weights were given for another than tf_idf")
    if not (isinstance(depth, int) and 0 < depth <= _MOST_PLACES):
        raise ValueError(f"depth is {depth!r}; it is a whole number of places, 1 to {_MOST_PLACES:,}")
    factors = None if weights is None else np.asarray(weights, np.float32)
    if factors is not None and factors.shape != (depth,):
        raise ValueError(f"{factors.size} weights were given for {depth} places")

    def one_hot(numbers: Array) -> Array:
        places = numbers.reshape(numbers.shape[:-1]) if numbers.shape[-1:] == (1,) else numbers
        return np.asarray(places[..., np.newaxis] == np.arange(depth)).astype(dtype)

    def collect(numbers: Array) -> Array:
        if (numbers < 0).any():
            raise StepError(f"category {numbers.min()} is negative; categories are counted from 0")
        kept = numbers[numbers < depth]
        if mode == "multi_hot":
            vector = np.zeros(depth, dtype)
            vector[kept] = 1
            return vector
        counts = np.bincount(kept, minlength=depth).astype(dtype)
        return counts if factors is None else np.asarray(counts * factors)

    work = one_hot if mode == "one_hot" else collect
    return lambda numbers: work(np.asarray(numbers))


def _written(value: Any) -> bytes:
    """A value as TensorFlow writes it before it hashes."""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return str(value).encode() if isinstance(value, int) else to_bytes(value)


def _check_bins(count: int) -> None:
    if not (isinstance(count, int) and count > 0):
        raise ValueError(f"num_bins is {count!r}; it is a whole number, 1 or more")
