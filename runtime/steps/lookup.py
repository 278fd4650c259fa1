"""Steps that look values up in a vocabulary, exact to Keras's StringLookup and IntegerLookup."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgepack.runtime.errors import StepError
from edgepack.runtime.steps.hashes import fingerprint, siphash
from edgepack.runtime.steps.text import to_bytes
from edgepack.runtime.tensor import Array

DROPPED = np.iinfo(np.int64).max  # what a masked value becomes where it is encoded afterwards: no place at all

Token = str | int


class _Table(dict[Token, int]):
    """Indices of tokens; what is none of them gets its index from a function."""

    def __init__(self, tokens: Sequence[Token], start: int, unknown: Callable[[Token], int]) -> None:
        super().__init__(zip(tokens, range(start, start + len(tokens)), strict=True))
        self._unknown = unknown

    def __missing__(self, token: Token) -> int:
        return self._unknown(token)


def lookup(
    vocabulary: Sequence[Token],
    num_oov_indices: int = 1,
    mask_token: Token | None = None,
    *,
    encoded: bool = False,
    oov_method: str = "floormod",
    salt: Sequence[int] | None = None,
) -> Callable[[Any], Array]:
    """Return a function that gives the index of each token, int64, in the shape of the sample.

    Args:
        vocabulary: The tokens, without those for masked and unknown values; all text or all integers.
        num_oov_indices: Places for unknown tokens, before the vocabulary; 0 refuses such tokens, and more than one are
            told apart by a hash (text) or a remainder (integers).
        mask_token: The token that stands for nothing; it has index 0, the places for unknown tokens come after it.
        encoded: Whether an `encode` step follows: the mask token then has no place, and is passed over there.
        oov_method: `"floormod"` or `"farmhash"`, for integers.
        salt: Two keys for SipHash instead of FarmHash.
    """
    if oov_method not in {"floormod", "farmhash"} or not (isinstance(num_oov_indices, int) and num_oov_indices >= 0):
        raise ValueError(f"oov_method {oov_method!r} or num_oov_indices {num_oov_indices!r} is none that Keras has")
    first = 1 if mask_token is not None and not encoded else 0
    hashed = oov_method == "farmhash" or any(isinstance(token, str) for token in vocabulary)
    unknown = _unknown(num_oov_indices, first, _hash(salt) if hashed else None)
    table = _Table(vocabulary, first + num_oov_indices, unknown)
    if mask_token is not None:
        table[mask_token] = DROPPED if encoded else 0
    index = table.__getitem__

    def run(sample: Any) -> Array:
        tokens, shape = flat(sample)
        return np.fromiter(map(index, tokens), np.int64, len(tokens)).reshape(shape)

    return run


def lookup_inverse(
    vocabulary: Sequence[Token], oov_token: Token, num_oov_indices: int = 1, mask_token: Token | None = None
) -> Callable[[Any], Array]:
    """Return a function that gives the token of each index, in the shape of the sample; others give `oov_token`."""
    start = (mask_token is not None) + num_oov_indices
    tokens = dict(zip(range(start, start + len(vocabulary)), vocabulary, strict=True))
    if mask_token is not None:
        tokens[0] = mask_token
    kind = object if isinstance(oov_token, str) else np.int64

    def run(sample: Any) -> Array:
        indices, shape = flat(sample)
        found = np.empty(len(indices), kind)
        found[:] = [tokens.get(index, oov_token) for index in indices]
        return found.reshape(shape)

    return run


def flat(sample: Any) -> tuple[list[Any], tuple[int, ...]]:
    """The elements as Python values, and the shape; floats become integers as Keras casts them, towards zero."""
    if isinstance(sample, list):
        return sample, (len(sample),)
    array = sample if isinstance(sample, np.ndarray) else np.asarray(sample)
    if array.dtype.kind == "f":
        if not (np.abs(array) < 2.0**63).all():  # false for NaN too
            raise StepError("a number is NaN, infinite or beyond 64 bits; it has no category")
        array = array.astype(np.int64)
    return array.ravel().tolist(), array.shape


def _hash(salt: Sequence[int] | None) -> Callable[[bytes], int]:
    if salt is None:
        return fingerprint
    first, second = salt
    return lambda data: siphash(data, (first, second))


def _unknown(places: int, first: int, hashing: Callable[[bytes], int] | None) -> Callable[[Token], int]:
    """What gives the index of a token that the vocabulary lacks."""
    if places == 0:
        return _refuse
    if places == 1:
        return lambda _: first
    if hashing is None:
        return lambda token: int(token) % places + first
    return lambda token: hashing(to_bytes(token if isinstance(token, str) else str(token))) % places + first


def _refuse(token: Token) -> int:
    raise StepError(
        f"{token!r} is not in the vocabulary, and the model has no place for what is not (num_oov_indices=0)"
    )
