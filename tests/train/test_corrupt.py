"""Spoiled images: every image in its own way, the same with the same seed, and never out of range."""

import numpy as np
import pytest

from edgepack.train.corrupt import KINDS, blots, noise, scratches, shapes
from edgepack.train.data import Data


@pytest.fixture
def images(few_digits: Data) -> np.ndarray:
    return few_digits.test.values[..., np.newaxis] / np.float32(255)


@pytest.mark.parametrize("kind", KINDS)
def test_spoiled_images_are_other_images_of_the_same_kind(images: np.ndarray, kind: str) -> None:
    before = images.copy()
    spoiled, again, other = (KINDS[kind](images, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert (spoiled.shape, spoiled.dtype) == (images.shape, np.float32)
    assert spoiled.min() >= 0
    assert spoiled.max() <= 1
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(spoiled, again)
    assert (spoiled != other).any(axis=(1, 2, 3)).all()
    assert (spoiled != images).any(axis=(1, 2, 3)).all()


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    grey = np.full((50, 28, 28, 1), 0.5, np.float32)
    assert np.std(noise(grey, np.random.default_rng(0), deviation=0.1)) == pytest.approx(0.1, rel=0.02)


def test_a_blot_is_a_disc_that_lies_within_the_image() -> None:
    ink = blots(np.zeros((200, 28, 28, 1), np.float32), np.random.default_rng(0))[..., 0]
    area = ink.sum(axis=(1, 2))
    assert area.min() > 0.9 * np.pi * 3**2
    assert area.max() < 1.1 * np.pi * 4.5**2
    edges = np.concatenate([ink[:, 0], ink[:, -1], ink[:, :, 0], ink[:, :, -1]], axis=1)
    assert not edges.any()


def test_scratches_reach_from_side_to_side() -> None:
    ink = scratches(np.zeros((50, 28, 28, 1), np.float32), np.random.default_rng(0))[..., 0]
    for side in (ink[:, 0], ink[:, -1], ink[:, :, 0], ink[:, :, -1]):
        assert (side.max(axis=1) > 0.5).all()


def test_blots_and_scratches_only_add_ink_and_shapes_leave_nothing_of_the_digit(images: np.ndarray) -> None:
    for kind in (blots, scratches):
        assert (kind(images, np.random.default_rng(0)) >= images).all()
    drawn, blank = (shapes(one, np.random.default_rng(0)) for one in (images, np.zeros_like(images)))
    np.testing.assert_array_equal(drawn, blank)
    assert (drawn.sum(axis=(1, 2, 3)) > 30).all()
