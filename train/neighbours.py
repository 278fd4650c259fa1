"""Words whose learned vectors lie closest to that of a word: `python -m edgepack.train.neighbours MODEL WORD`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgepack.console import note, show
from edgepack.quiet import import_keras
from edgepack.runtime.errors import EdgepackError, InputError, MissingFileError, ModelError, one_line
from edgepack.runtime.tensor import Array

__all__ = ["Neighbour", "main", "neighbours"]

_NOT_WORDS = 2  # padding, and what the vocabulary lacks


class Neighbour(NamedTuple):
    """A word, and the cosine of the angle between its vector and the one asked for: 1 is the same direction."""

    word: str
    similarity: float


def neighbours(model: Any, word: str, count: int = 10) -> list[Neighbour]:
    """The `count` words of a model's vocabulary that are most like `word`, the closest first.

    What is close depends on what was learned: behind a net that tells good from bad, words that speak for the same
    answer, whatever else they mean.

    Args:
        model: A Keras model with one TextVectorization layer and, behind it, one Embedding of its tokens.
        word: One of the vocabulary; for runs of characters, written without blanks.
        count: How many.

    Raises:
        InputError: The vocabulary lacks the word, or `count` is below 1.
        ModelError: The model has no such layers, or several.
    """
    if count < 1:
        raise InputError(f"{count} neighbours cannot be shown; ask for 1 or more")
    words, vectors = _table(model)
    key = " ".join(word) if " ".join(word) in words else word
    if key not in words:
        raise InputError(f"{word!r} is none of the {len(words):,} words of this model; ask for one that it learned")
    place = words.index(key)
    lengths = np.linalg.norm(vectors, axis=1)
    similar = vectors @ vectors[place] / np.maximum(lengths * lengths[place], np.finfo(np.float32).tiny)
    order = [int(index) for index in np.argsort(-similar, kind="stable") if index != place][:count]
    return [Neighbour(words[index].replace(" ", ""), float(similar[index])) for index in order]


def _table(model: Any) -> tuple[list[str], Array]:
    """The words, and a vector for each of them: `(words, size)`."""
    kinds: dict[str, list[Any]] = {"TextVectorization": [], "Embedding": []}
    for layer in model.layers:
        if type(layer).__name__ in kinds:
            kinds[type(layer).__name__].append(layer)
    for kind, found in kinds.items():
        if len(found) != 1:
            raise ModelError(
                f"the model has {len(found)} {kind} layers; neighbours are looked up where one table of vectors "
                "belongs to one vocabulary, as in the recipe reviews-embedding"
            )
    words = kinds["TextVectorization"][0].get_vocabulary()
    vectors = np.asarray(kinds["Embedding"][0].get_weights()[0])
    if len(words) != len(vectors):
        raise ModelError(f"the model has {len(words):,} words but {len(vectors):,} vectors, so these are not theirs")
    return words[_NOT_WORDS:], vectors[_NOT_WORDS:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the neighbours of a word; 0 when done, 1 where the user can mend what is wrong, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m edgepack.train.neighbours", description=__doc__)
    parser.add_argument("model", type=Path, help="a .keras file, as edgepack train reviews-embedding writes it")
    parser.add_argument("word", help="a word of its vocabulary")
    parser.add_argument("--count", type=int, default=10, help="how many neighbours (default: 10)")
    asked = parser.parse_args(arguments)
    try:
        found = neighbours(_read(asked.model), asked.word, asked.count)
    except EdgepackError as error:
        note(f"error: {error}")
        return 1
    for neighbour in found:
        show(f"{neighbour.similarity:.3f}  {neighbour.word}")
    return 0


def _read(path: Path) -> Any:
    """The model in a file."""
    if not path.is_file():
        raise MissingFileError(path, "model")
    keras = import_keras("reads models", "train")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever it stumbles over
        raise ModelError(f"{path} cannot be read: {one_line(error, 300)}") from error


if __name__ == "__main__":
    sys.exit(main())
