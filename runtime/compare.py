"""How close a variant is to the Keras model: numbers, and the reasons why they are not good enough."""

import math
from collections.abc import Mapping

import msgspec
import numpy as np

from edgepack.runtime.tensor import Array, describe

_BIGGEST_SNR_DB = 300.0  # what equal signals are given, so that every Parity of a right file is finite


class Budget(msgspec.Struct, frozen=True):
    """What may be lost; None where a figure is not judged."""

    max_abs: float | None = None
    max_rel: float | None = None
    min_cosine: float | None = None
    min_snr_db: float | None = None
    min_agreement: float | None = None


class Parity(msgspec.Struct, frozen=True):
    """How close one file is to the Keras model on real samples; over several outputs, the worst of each figure."""

    max_abs: float
    """Largest absolute difference of any element."""
    max_rel: float
    """`max_abs` over the largest magnitude of the reference (of the output it was found in)."""
    cosine: float
    """Cosine similarity of reference and result, both flattened; 1 is the same direction."""
    snr_db: float
    """Power of the reference over power of the difference, in decibels."""
    agreement: float | None
    """Share of rows, 0 to 1, with the largest element in the same place; None where there are no classes."""
    samples: int
    """How many samples were compared."""

    def failures(self, budget: Budget) -> tuple[str, ...]:
        """Why this falls outside `budget`; empty when it does not."""
        over = (
            ("max abs error", self.max_abs, budget.max_abs),
            ("max relative error", self.max_rel, budget.max_rel),
        )
        under = (
            ("cosine", self.cosine, budget.min_cosine),
            ("SNR in dB", self.snr_db, budget.min_snr_db),
            ("agreement", self.agreement, budget.min_agreement),
        )
        reasons = [
            f"{name} {got:.3g}, allowed {most:.3g}" for name, got, most in over if most is not None and not got <= most
        ]
        reasons += [
            f"{name} {got:.4g}, at least {least:.4g} asked"
            for name, got, least in under
            if least is not None and got is not None and not got >= least
        ]
        return tuple(reasons)


def compare(reference: Mapping[str, Array], result: Mapping[str, Array]) -> Parity:
    """Compare outputs by name.

    NaN in the result counts as infinitely far, even where the reference is NaN too; equal infinities are equal.

    Args:
        reference: Outputs of the Keras model, each `(samples, …)`.
        result: Outputs of the file, of the same names and shapes.

    Returns:
        The worst of each figure over all outputs.

    Raises:
        ValueError: Another set of names, or another shape: such files are not close in any sense.
    """
    if set(reference) != set(result):
        raise ValueError(f"outputs are named {sorted(result)}, the Keras model's {sorted(reference)}")
    parts = [_compare_arrays(name, np.asarray(reference[name]), np.asarray(result[name])) for name in reference]
    agreements = [part.agreement for part in parts if part.agreement is not None]
    return Parity(
        max_abs=max(part.max_abs for part in parts),
        max_rel=max(part.max_rel for part in parts),
        cosine=min(part.cosine for part in parts),
        snr_db=min(part.snr_db for part in parts),
        agreement=min(agreements, default=None),
        samples=max(part.samples for part in parts),
    )


def _compare_arrays(name: str, reference: Array, result: Array) -> Parity:
    """The figures of one output."""
    if reference.shape != result.shape:
        raise ValueError(
            f"output {name!r} has shape {describe(result.shape)}, the Keras model's {describe(reference.shape)}"
        )
    samples = reference.shape[0] if reference.ndim else 1
    wanted, got = reference.astype(np.float64), result.astype(np.float64)
    agreement = _agreement(wanted, got)
    same = wanted == got  # infinities included
    # Equal elements leave the sums below untouched: their difference is 0 even where inf - inf would be NaN.
    with np.errstate(over="ignore"):  # too far apart for float64 is infinitely far
        difference = np.subtract(got, wanted, out=np.zeros_like(wanted), where=~same)
    if np.isnan(difference).any() or not np.isfinite(difference).all():
        return Parity(math.inf, math.inf, -1.0, -math.inf, agreement, samples)
    finite = np.where(same & ~np.isfinite(wanted), 0.0, wanted)
    max_abs = float(np.abs(difference).max(initial=0.0))
    highest = float(np.abs(finite).max(initial=0.0))
    scale = max(max_abs, highest) or 1.0  # squares of what is left cannot overflow
    signal, noise = finite / scale, difference / scale
    return Parity(
        max_abs=max_abs,
        max_rel=_ratio(max_abs, highest),
        cosine=_cosine(signal, signal + noise),
        snr_db=_snr_db(signal, noise),
        agreement=agreement,
        samples=samples,
    )


def _agreement(reference: Array, result: Array) -> float | None:
    """Share of rows with the same winner: the largest element, or the same side of one half for one probability."""
    if reference.ndim < 2 or reference.size == 0:
        return None
    if reference.shape[-1] > 1:
        same = reference.argmax(axis=-1) == result.argmax(axis=-1)
        return float((same & ~np.isnan(result).any(axis=-1)).mean())
    if reference.min() >= 0 and reference.max() <= 1:
        return float((((reference > 0.5) == (result > 0.5)) & ~np.isnan(result)).mean())
    return None


def _cosine(a: Array, b: Array) -> float:
    norms = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    if norms == 0.0:
        return 1.0 if not a.any() and not b.any() else 0.0
    return min(1.0, float(np.dot(a.ravel(), b.ravel())) / norms)


def _snr_db(signal: Array, noise: Array) -> float:
    """Signal-to-noise ratio `10 log10(sum(signal²) / sum(noise²))`, held between ±300 dB."""
    noise_power, power = float(np.square(noise).sum()), float(np.square(signal).sum())
    if noise_power == 0.0:
        return _BIGGEST_SNR_DB
    return -_BIGGEST_SNR_DB if power == 0.0 else min(_BIGGEST_SNR_DB, 10 * math.log10(power / noise_power))


def _ratio(value: float, scale: float) -> float:
    return value / scale if scale else (0.0 if value == 0.0 else math.inf)
