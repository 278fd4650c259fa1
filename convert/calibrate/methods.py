"""How the range that 8 or 16 bits stand for is made of a histogram."""

import math
from collections.abc import Callable

import numpy as np

from edgepack.convert.calibrate.histogram import Histogram
from edgepack.convert.options import Method
from edgepack.runtime.tensor import Array

Range = tuple[float, float]

# H. Wu et al., "Integer Quantization for Deep Learning Inference: Principles and Empirical Evaluation" (2020), table 5:
# of 99.9, 99.99, 99.999 and 99.9999 % this costs the least over their networks.
PERCENTILE = 99.99

# S. Migacz, "8-bit Inference with TensorRT" (GTC 2017): 2,048 bins of magnitude, 128 levels for one sign.
# At most so many bins, at least half of them: a bin is a power of two wide, so that no value lies across two.
KL_BINS = 2048
KL_LEVELS = 128
KL_FEWEST = 10 * KL_BINS  # values other than zero; the divergence of fewer is that of their noise
_KL_STEP = 8  # bins between two thresholds that are tried

_MSE_STEPS = 512  # thresholds that are tried on each side of zero


def range_of(histogram: Histogram, method: Method, *, symmetric: bool, bits: int) -> Range:
    """The range to quantize a tensor by; it lies within what the tensor held, or around zero where it is symmetric.

    A tensor that held nothing but 0 has a range from 0 to 1, since no scale can be made of one that is empty.

    Args:
        histogram: What the tensor held.
        method: `"minmax"` all of it; `"percentile"` all but `100 - PERCENTILE` percent, cut off at both ends alike;
            `"entropy"` the magnitude up to which 128 levels keep most of the distribution's information; `"mse"` the
            range with the least mean square error of rounding and clipping.
        symmetric: Whether it lies around zero.
        bits: How many bits it is for, 8 or 16. With 16, rounding is so fine that clipping always costs more than it
            saves, so that entropy and percentile, which were made for 8, give all of it.
    """
    low, high = histogram.lowest, histogram.highest
    chosen = method if bits <= 8 or method == "mse" else "minmax"
    low, high = _METHODS[chosen](histogram, symmetric, bits) if low < high else (low, high)
    if symmetric:
        largest = max(abs(low), abs(high)) or 1.0
        return -largest, largest
    return (max(low, histogram.lowest), min(high, histogram.highest)) if low or high else (0.0, 1.0)


def _minmax(histogram: Histogram, symmetric: bool, bits: int) -> Range:
    del symmetric, bits
    return histogram.lowest, histogram.highest


def _percentile(histogram: Histogram, symmetric: bool, bits: int) -> Range:
    """Both ends lose the same share, as ONNX Runtime's calibrator has it; a symmetric range loses it of magnitudes."""
    del bits
    cut = 1 - PERCENTILE / 100
    if symmetric:
        counts, edges = _magnitudes(histogram)
        largest = min(_quantile(counts, edges, 1 - cut), max(abs(histogram.lowest), abs(histogram.highest)))
        return -largest, largest
    counts, edges = histogram.counts, histogram.edges
    return _quantile(counts, edges, cut / 2), _quantile(counts, edges, 1 - cut / 2)


def _entropy(histogram: Histogram, symmetric: bool, bits: int) -> Range:
    """The threshold of magnitude with the least Kullback-Leibler divergence, after Migacz.

    Values that lie on one side of zero have all levels to themselves.
    """
    del bits
    counts, edges = _magnitudes(histogram)
    if counts.sum() - histogram.zeros < KL_FEWEST:
        return histogram.lowest, histogram.highest
    one_sided = not symmetric and (histogram.lowest >= 0 or histogram.highest <= 0)
    levels = 2 * KL_LEVELS if one_sided else KL_LEVELS
    merged = 1 << max(0, math.ceil(math.log2(len(counts) / KL_BINS)))
    reference = np.add.reduceat(counts, np.arange(0, len(counts), merged))
    reference[0] = reference[1]  # zeros of a ReLU are exact whatever the range, and would outweigh all else
    tried = range(levels, len(reference) + 1, _KL_STEP)
    divergences = [_divergence(reference, bins, levels) for bins in (*tried, len(reference))]
    best = int(np.argmin(divergences))
    threshold = float(edges[1]) * merged * tried[best] if best < len(tried) else math.inf
    return max(-threshold, histogram.lowest), min(threshold, histogram.highest)


def _divergence(reference: Array, bins: int, levels: int) -> float:
    """How much is lost where the first `bins` stand for all, in so many levels: KL(P ‖ Q) in nats."""
    kept = reference[:bins]
    outliers = float(reference[bins:].sum())
    starts = np.arange(levels) * bins // levels
    sizes = np.diff(starts, append=bins)
    filled = kept > 0
    share = np.add.reduceat(kept, starts) / np.maximum(np.add.reduceat(filled.astype(np.int64), starts), 1)
    expanded = np.where(filled, np.repeat(share, sizes), 0.0)
    wanted = kept.copy()
    wanted[-1] += outliers
    total, given = wanted.sum(), expanded.sum()
    if not given or (wanted[-1] and not expanded[-1]):
        return float("inf")
    where = wanted > 0
    p, q = wanted[where] / total, expanded[where] / given
    return float(np.sum(p * np.log(p / q)))


def _mse(histogram: Histogram, symmetric: bool, bits: int) -> Range:
    """The ends at which the error of clipping and of rounding is least together.

    After R. Banner et al., "Post training 4-bit quantization of convolutional networks for rapid-deployment" (2019):
    rounding to steps of d costs d²/12 a value, clipping its squared distance; here over the histogram itself in place
    of a Laplace or normal curve fitted to it. A zero costs nothing: it is a level of its own in every scheme.
    """
    if symmetric:
        counts, edges = _magnitudes(histogram)
        ends = np.linspace(0, max(abs(histogram.lowest), abs(histogram.highest)), _MSE_STEPS + 1)[1:]
        clipped, count = _beyond(counts, edges, ends)
        inside = counts.sum() - histogram.zeros - count
        best = float(ends[np.argmin(clipped + np.square(2 * ends / (2**bits - 2)) / 12 * inside)])
        return -best, best
    counts, edges = histogram.counts, histogram.edges
    highs = np.linspace(0, max(histogram.highest, 0.0), _MSE_STEPS + 1)
    lows = np.linspace(0, min(histogram.lowest, 0.0), _MSE_STEPS + 1)
    above, count_above = _beyond(counts, edges, highs)
    below, count_below = _beyond(counts[::-1], -edges[::-1], -lows)
    inside = counts.sum() - histogram.zeros - count_above[np.newaxis] - count_below[:, np.newaxis]
    steps = (highs[np.newaxis] - lows[:, np.newaxis]) / (2**bits - 1)
    errors = above[np.newaxis] + below[:, np.newaxis] + np.square(steps) / 12 * np.maximum(inside, 0)
    low, high = np.unravel_index(np.argmin(errors), errors.shape)
    return float(lows[low]), float(highs[high])


# method -> the range of what a histogram counted, whether it is symmetric, and for how many bits
_METHODS: dict[Method, Callable[[Histogram, bool, int], Range]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "entropy": _entropy,
    "mse": _mse,
}


def _magnitudes(histogram: Histogram) -> tuple[Array, Array]:
    """Counts of magnitudes up to the largest, and the edges of their bins from 0."""
    edges = histogram.edges
    width = edges[1] - edges[0]
    places = np.rint(edges[:-1] / width).astype(np.int64)
    folded = np.bincount(np.where(places < 0, -places - 1, places), weights=histogram.counts)
    folded = folded[: int(max(abs(histogram.lowest), abs(histogram.highest)) / width) + 1]
    return folded, np.arange(len(folded) + 1) * width


def _quantile(counts: Array, edges: Array, share: float) -> float:
    """The value below which a share of what was counted lies: between two values in order, as numpy.quantile has it."""
    before = np.concatenate([[0], np.cumsum(counts)])
    rank = share * (before[-1] - 1)

    def in_order(number: int) -> float:
        place = int(np.searchsorted(before, number, side="right")) - 1
        within = (number - before[place] + 0.5) / counts[place]  # evenly spread within a bin
        return float(edges[place] + within * (edges[place + 1] - edges[place]))

    low = math.floor(rank)
    return float(np.interp(rank, [low, low + 1], [in_order(low), in_order(min(low + 1, int(before[-1]) - 1))]))


def _beyond(counts: Array, edges: Array, ends: Array) -> tuple[Array, Array]:
    """The sum of squared distances of what lies above each end, and its count."""
    centers = (edges[:-1] + edges[1:]) / 2
    sums = [np.concatenate([np.cumsum((counts * centers**power)[::-1])[::-1], [0.0]]) for power in range(3)]
    count, first, second = (one[np.searchsorted(centers, ends, side="right")] for one in sums)
    return np.maximum(second - 2 * ends * first + ends**2 * count, 0), count
