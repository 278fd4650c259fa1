"""Word vectors to begin with: words that stand in the same texts point the same way, before any label is looked at."""

import numpy as np

from edgepack.runtime.tensor import Array

__all__ = ["latent_vectors"]

_NOT_WORDS = 2  # padding, and what the vocabulary lacks
_TINY = 1e-9


def latent_vectors(rows: Array, vocabulary: int, size: int) -> Array:
    """Vectors `(vocabulary, size)`, float32, of length 1; zeros for 0 and 1, which are no words.

    Latent semantic analysis (Deerwester et al., 1990): the singular vectors of how much each word says about each text,
    without the first, which only tells how common a word is.

    Args:
        rows: Numbers of words, a text a row: `(texts, length)`.
        vocabulary: How many numbers there are.
        size: How many elements a vector has; those that so few texts cannot tell are zero.
    """
    from scipy import sparse
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    texts, places = np.nonzero(rows >= _NOT_WORDS)
    shape = (len(rows), vocabulary)
    counts = sparse.csr_matrix((np.ones(len(texts), np.float32), (texts, rows[texts, places])), shape)
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    found = TruncatedSVD(min(size + 1, *shape), random_state=0).fit(weights)
    directions = (found.components_.T * np.sqrt(found.singular_values_))[:, 1:]
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    vectors = np.zeros((vocabulary, size), np.float32)
    vectors[:, : directions.shape[1]] = directions / np.maximum(lengths, _TINY)
    vectors[:_NOT_WORDS] = 0
    return vectors
