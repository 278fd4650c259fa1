"""Change training recordings a little: where they begin and end, and what each frame holds. Padding stays padding."""

import numpy as np

from edgepack.runtime.tensor import Array


def jitter(recordings: Array, rng: np.random.Generator, *, cut: float, noise: float, offset: float = 0.0) -> Array:
    """Cut each recording at both ends and add noise to its frames, each by its own random amount.

    Args:
        recordings: `(recordings, time, channels)`, float32; frames that are all zero, at the end, are padding.
        rng: The amounts.
        cut: The largest share of the frames to take away at each end, below 0.5.
        noise: The standard deviation of what is added to each number of each frame.
        offset: The standard deviation of what is added to a channel throughout a recording.

    Returns:
        New recordings of the same shape and type, each at the beginning of its row.
    """
    count, time, channels = recordings.shape
    lengths = recordings.any(axis=2).sum(axis=1)
    first, last = rng.integers(0, np.floor(cut * lengths) + 1, (2, count))
    places = np.arange(time)
    moved = np.take_along_axis(recordings, np.minimum(first[:, np.newaxis] + places, time - 1)[:, :, np.newaxis], 1)
    changed = moved + rng.normal(0, noise, moved.shape) + rng.normal(0, offset, (count, 1, channels))
    is_frame = places < (lengths - first - last)[:, np.newaxis]
    return np.where(is_frame[:, :, np.newaxis], changed, 0).astype(recordings.dtype)
