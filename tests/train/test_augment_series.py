"""Changed copies of training recordings."""

import numpy as np

from edgepack.train.augment_series import jitter


def _recordings() -> np.ndarray:
    """Of 20, 12 and 7 frames, each frame numbered from 1, and padding."""
    lengths = np.array([20, 12, 7])
    numbers = np.arange(1, 25) * (np.arange(24) < lengths[:, None])
    return np.repeat(numbers[:, :, None], 3, axis=2).astype(np.float32)


def test_without_limits_recordings_come_back_as_they_were() -> None:
    recordings = _recordings()
    same = jitter(recordings, np.random.default_rng(0), cut=0, noise=0)
    np.testing.assert_array_equal(same, recordings)
    assert same.dtype == np.float32


def test_what_is_cut_is_taken_from_both_ends_and_no_more_than_said() -> None:
    first, last = set(), set()
    for seed in range(40):
        [cut, *_] = jitter(_recordings(), np.random.default_rng(seed), cut=0.2, noise=0)[:, :, 0]
        length = np.count_nonzero(cut)
        np.testing.assert_array_equal(cut[:length], np.arange(cut[0], cut[0] + length))
        assert not cut[length:].any()
        first.add(cut[0])
        last.add(cut[length - 1])
    assert first == {1, 2, 3, 4, 5}
    assert last == {20, 19, 18, 17, 16}


def test_padding_gets_no_noise_and_frames_do() -> None:
    recordings = _recordings()
    noisy = jitter(recordings, np.random.default_rng(0), cut=0, noise=0.1, offset=0.1)
    np.testing.assert_array_equal(noisy.any(axis=2), recordings.any(axis=2))
    apart = (noisy - recordings)[recordings.any(axis=2)]
    assert (apart != 0).all()
    assert apart.std() < 0.3


def test_each_recording_is_changed_its_own_way_and_the_same_for_the_same_generator() -> None:
    twins = np.repeat(_recordings()[:1], 2, axis=0)
    one, same = (jitter(twins, np.random.default_rng(4), cut=0.2, noise=0.1) for _ in range(2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one[0], one[1])
