"""Distortion of training images."""

import numpy as np

from edgepack.train.augment import distort

ONES = np.ones((3, 28, 28, 2), np.float32)
LIMITS = {"degrees": 10, "shear": 10, "shift": 2, "zoom": 0.1}


def test_without_limits_images_come_back_as_they_were() -> None:
    images = np.random.default_rng(0).random((5, 28, 20, 3), np.float32)
    same = distort(images, np.random.default_rng(1), degrees=0, shear=0, shift=0, zoom=0)
    np.testing.assert_allclose(same, images, atol=1e-5)  # float32 places of up to 28 are 2e-6 off
    assert same.dtype == images.dtype


def test_what_lies_outside_of_an_image_is_black() -> None:
    moved = distort(ONES, np.random.default_rng(0), degrees=0, shear=0, shift=5, zoom=0)
    assert moved.min() == 0.0
    np.testing.assert_array_equal(moved[:, 6:-6, 6:-6], 1.0)


def test_each_image_is_distorted_its_own_way_and_the_same_for_the_same_generator() -> None:
    one, same = (distort(ONES, np.random.default_rng(4), **LIMITS) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one[0], one[1])


def test_all_channels_move_together() -> None:
    moved = distort(ONES, np.random.default_rng(4), **LIMITS)
    np.testing.assert_array_equal(moved[..., 0], moved[..., 1])
