"""Steps on text, exact to Keras's TextVectorization: from a text to its tokens, and from tokens to a row.

Keras works on bytes of UTF-8, and so do these: lower case, blanks and punctuation are those of ASCII alone, a
full-width comma is a character like any other, and bytes that are no UTF-8 become U+FFFD where a text is split by
character. Bytes of a token that are no UTF-8 are kept as Python keeps them in names of files (`surrogateescape`).
"""

import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgepack.runtime.errors import StepError
from edgepack.runtime.tensor import Array

_LOWER = bytes(range(256)).lower()
_PUNCTUATION = string.punctuation.encode()
_LONGEST_ROW = 10_000_000


def _split_blanks(text: bytes) -> list[str]:
    """The words between ASCII blanks."""
    words = text.split()
    return b" ".join(words).decode("utf-8", "surrogateescape").split(" ") if words else []


def _split_characters(text: bytes) -> list[str]:
    """The code points."""
    return list(text.decode("utf-8", "replace"))


_STANDARDIZE: dict[str | None, Callable[[bytes], bytes]] = {
    "lower_and_strip_punctuation": lambda text: text.translate(_LOWER, _PUNCTUATION),
    "lower": bytes.lower,
    "strip_punctuation": lambda text: text.translate(None, _PUNCTUATION),
    None: lambda text: text,
}
_SPLIT: dict[str | None, Callable[[bytes], list[str]] | None] = {
    "whitespace": _split_blanks,
    "character": _split_characters,
    None: None,
}


def tokenize(
    standardize: str | None = None, split: str | None = None, ngrams: Sequence[int] = ()
) -> Callable[[Any], list[str] | Array]:
    """Return a function that gives the tokens of a text, as Keras's TextVectorization does.

    Args:
        standardize: `"lower_and_strip_punctuation"`, `"lower"`, `"strip_punctuation"` or None.
        split: `"whitespace"`, `"character"`, or None where a sample is an array of tokens already.
        ngrams: Widths of the n-grams that are made of the tokens, in the order they are wanted; none leaves the tokens.
    """
    if standardize not in _STANDARDIZE or split not in _SPLIT:
        raise ValueError(f"standardize {standardize!r} or split {split!r} is none that Keras has")
    if not all(isinstance(width, int) and width > 0 for width in ngrams):
        raise ValueError(f"ngrams {ngrams!r} are whole numbers of tokens, 1 or more")
    clean, cut = _STANDARDIZE[standardize], _SPLIT[split]

    def split_one(sample: Any) -> list[str]:
        text = sample.item() if isinstance(sample, np.ndarray) else sample
        assert cut is not None
        tokens = cut(clean(to_bytes(text)))
        return _join(tokens, ngrams) if ngrams else tokens

    def clean_each(sample: Any) -> list[str] | Array:
        texts = np.asarray(sample, object)
        tokens = [clean(to_bytes(text)).decode("utf-8", "surrogateescape") for text in texts.flat]
        if ngrams:
            return _join(tokens, ngrams)
        cleaned = np.empty(texts.size, object)
        cleaned[:] = tokens
        return cleaned.reshape(texts.shape)

    return clean_each if cut is None else split_one


def pad(length: int | None = None) -> Callable[[Any], Array]:
    """Return a function that gives a row of `length` numbers (int64): cut, or filled up with zeros.

    Args:
        length: How long; None leaves a row as it is, and several of them are filled up to the longest when they are
            stacked (`edgepack.runtime.steps.samples`), as Keras does in a batch.
    """
    if length is not None and not (isinstance(length, int) and 0 <= length <= _LONGEST_ROW):
        raise ValueError(f"length is {length!r}; it is a whole number of tokens up to {_LONGEST_ROW:,}, or None")

    def run(numbers: Any) -> Array:
        if length is None:
            return np.asarray(numbers, np.int64)
        row = np.zeros(length, np.int64)
        kept = numbers[:length]
        row[: len(kept)] = kept
        return row

    return run


def to_bytes(text: Any) -> bytes:
    """The UTF-8 of a text; bytes are taken to be that already."""
    if isinstance(text, bytes):
        return text
    try:
        encoded: bytes = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise StepError(
            f"the text holds {text[error.start]!a} at {error.start}, half of a surrogate pair, which is no character"
        ) from error
    return encoded


def _join(tokens: list[str], widths: Sequence[int]) -> list[str]:
    """The n-grams: all of the first width, then all of the second, and so on."""
    return [" ".join(tokens[start : start + width]) for width in widths for start in range(len(tokens) - width + 1)]
