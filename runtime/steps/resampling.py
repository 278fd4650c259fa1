"""Another number of samples a second: band-limited interpolation with a Kaiser-windowed sinc.

As in J. O. Smith, "Digital Audio Resampling" (CCRMA, Stanford, 2002), with the width, edge and window that resampy and
torchaudio call `kaiser_best`: what the new rate cannot hold is taken away rather than folded into what is heard.
"""

from math import ceil, gcd

import numpy as np

from edgepack.runtime.tensor import Array

_ZERO_CROSSINGS = 64
_ROLLOFF = 0.9475937167399596  # where the filter begins, as a share of half the lower rate
_KAISER_BETA = 14.769656459379492


def resample(samples: Array, rate_hz: int, wanted_hz: int, most: int | None = None) -> Array:
    """Return float32 samples `(time,)` at another rate; silence is taken to lie around them.

    Args:
        samples: At `rate_hz`.
        rate_hz: How many there are in a second.
        wanted_hz: How many there shall be.
        most: No more than this many are worked out, from the first on.
    """
    divisor = gcd(rate_hz, wanted_hz)
    before, after = rate_hz // divisor, wanted_hz // divisor
    count = -(-len(samples) * after // before)
    count = count if most is None else min(count, most)
    if before == after:
        return samples[:count].astype(np.float32)
    cutoff = _ROLLOFF * min(1.0, wanted_hz / rate_hz)
    reach = ceil(_ZERO_CROSSINGS / cutoff)
    needed = samples[: (count * before) // after + reach + 1]  # the rest is out of reach of what is wanted
    around = np.pad(needed.astype(np.float64), (reach, reach + 1))
    windows = np.lib.stride_tricks.sliding_window_view(around, 2 * reach + 1)
    result = np.empty(count, np.float32)
    for phase in range(min(after, count)):  # every one of them needs the same weights again and again
        first, part = divmod(phase * before, after)
        places = result[phase::after]
        places[:] = windows[first::before][: len(places)] @ _weights(reach, part / after, cutoff)
    return result


def _weights(reach: int, shift: float, cutoff: float) -> Array:
    """What each sample counts for a moment that lies `shift` samples behind the middle one."""
    away = np.arange(-reach, reach + 1) - shift
    inside = np.sqrt(np.maximum(0.0, 1 - (away * cutoff / _ZERO_CROSSINGS) ** 2))
    window = np.where(np.abs(away) * cutoff < _ZERO_CROSSINGS, np.i0(_KAISER_BETA * inside) / np.i0(_KAISER_BETA), 0.0)
    return np.asarray(cutoff * np.sinc(cutoff * away) * window)
