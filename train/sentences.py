"""Sentences as rows of numbers, one for each character or run of characters, and layers that pass over the padding.

Chinese has no blanks between words, and most words are two characters: runs of one, two and three characters are nearly
as good as words, and need no dictionary.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgepack.runtime.tensor import Array

__all__ = ["Part", "largest", "mean", "read", "vectorizer"]

_NAMES = {1: "characters", 2: "pairs", 3: "triples"}


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Rows of one width of runs."""

    name: str
    tokens: Any
    """`(batch, length)`, a number for the run that begins at each character; 0 where there is none."""
    vocabulary: int
    """How many numbers there are; 0 is padding, 1 is a run that the vocabulary lacks."""

    def embedded(self, size: int) -> Any:
        """Vectors `(batch, length, size)`, learned one for each number; zero for padding."""
        from keras import layers

        vectors = layers.Embedding(self.vocabulary, size, name=f"{self.name}_embedding")(self.tokens)
        return vectors * present(self.tokens)


def vectorizer(texts: Iterable[str], length: int, ngrams: int | tuple[int, ...], most: int, name: str) -> Any:
    """A TextVectorization layer with the vocabulary of `texts`, split by character, ASCII in lower case.

    Args:
        texts: What is trained on.
        length: How many numbers a row has; longer ones are cut.
        ngrams: Widths of runs, as Keras takes them.
        most: How large the vocabulary may be; the commonest runs are kept.
        name: Of the layer.
    """
    from keras import layers

    layer = layers.TextVectorization(
        max_tokens=most, standardize="lower", split="character", ngrams=ngrams, output_sequence_length=length, name=name
    )
    layer.adapt(list(texts), batch_size=512)
    return layer


def read(texts: Array, length: int, most: Mapping[int, int]) -> tuple[Any, list[Part]]:
    """The input `text` of a model, and the rows that are made of it, side by side in a layer `tokens`.

    Args:
        texts: What is trained on: vocabularies come from it.
        length: How many characters of a text are read; the rest is not looked at.
        most: How large the vocabulary may be, for each width of runs.
    """
    import keras
    from keras import layers

    text = keras.Input((), dtype="string", name="text")
    readers = [vectorizer(texts, length, (width,), size, _NAMES[width]) for width, size in most.items()]
    tokens = layers.Concatenate(name="tokens")([reader(text) for reader in readers])
    return text, [
        Part(reader.name, tokens[:, place * length : (place + 1) * length], reader.vocabulary_size())
        for place, reader in enumerate(readers)
    ]


def present(tokens: Any) -> Any:
    """1.0 for what is in a row and 0.0 for padding: `(batch, length, 1)`."""
    from keras import ops

    return ops.expand_dims(ops.cast(ops.not_equal(tokens, 0), "float32"), -1)


def mean(vectors: Any, there: Any) -> Any:
    """The mean of the vectors that are there; zeros for an empty text, where Keras's own pooling gives NaN.

    Args:
        vectors: `(batch, length, size)`.
        there: 1 or 0 for each: `(batch, length, 1)`.
    """
    from keras import ops

    return ops.sum(vectors * there, axis=1) / ops.maximum(ops.sum(there, axis=1), 1.0)


def largest(vectors: Any, there: Any) -> Any:
    """The largest of each element over the vectors that are there, and at least 0: how much padding changes nothing.

    A large negative number in place of padding would do too, but takes all the 256 steps that int8 has.
    """
    from keras import ops

    return ops.max(ops.relu(vectors) * there, axis=1)
