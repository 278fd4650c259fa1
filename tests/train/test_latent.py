"""Vectors of words from the texts they stand in."""

import numpy as np

from edgepack.train.latent import latent_vectors


def _rows() -> np.ndarray:
    """Texts of three subjects with six words each (2 to 7, 8 to 13, 14 to 19), and one word of all (20), padded."""
    rng = np.random.default_rng(0)
    return np.array([[*(rng.choice(6, 4, replace=False) + 2 + 6 * (text % 3)), 20, 1, 0, 0] for text in range(90)])


def test_words_of_the_same_texts_point_the_same_way() -> None:
    vectors = latent_vectors(_rows(), vocabulary=21, size=2)[2:20]
    alike = vectors @ vectors.T
    same = np.arange(18)[:, None] // 6 == np.arange(18) // 6
    assert alike[same].min() > 0.9
    assert alike[~same].max() < 0.1


def test_padding_and_unknown_words_have_no_vector_and_words_have_length_one() -> None:
    lengths = np.linalg.norm(latent_vectors(_rows(), vocabulary=21, size=2), axis=1)
    assert lengths[:2].tolist() == [0, 0]
    np.testing.assert_allclose(lengths[2:], 1, atol=1e-6)


def test_few_texts_fill_the_first_elements_alone() -> None:
    vectors = latent_vectors(np.array([[2, 3, 0], [3, 4, 4]]), vocabulary=5, size=8)
    assert vectors.shape == (5, 8)
    assert vectors.dtype == np.float32
    assert (vectors[:, 1:] == 0).all()
    assert np.isfinite(vectors).all()


def test_the_same_texts_give_the_same_vectors() -> None:
    one, other = (latent_vectors(_rows(), vocabulary=21, size=4) for _ in range(2))
    assert one.tobytes() == other.tobytes()
