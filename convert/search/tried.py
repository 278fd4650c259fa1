"""What a trial of one candidate came to, apart from any budget: the same file has the same figures tomorrow."""

import math
from typing import Any

import msgspec

from edgepack.convert import metrics
from edgepack.convert.prove import lost
from edgepack.convert.search.candidates import Candidate
from edgepack.runtime.compare import Parity
from edgepack.runtime.manifest import Metric


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate that was tried."""

    variant: str
    format: str
    precision: str
    options: dict[str, Any] = {}
    """Those that are not the default."""
    reasons: tuple[str, ...] = ()
    """Why it is not right, whatever the budgets are; empty when it is."""
    sha256: str = ""
    """Of the file; empty where none was written."""
    size_bytes: int = 0
    parity: Parity | None = None
    """None too where the file gave NaN, or was infinitely far."""
    metric: Metric | None = None
    undelegated: tuple[str, ...] = ()
    """Operators of a TFLite file that XNNPACK left to the interpreter."""
    of_float32: float | None = None
    """Its latency over that of float32 in the same format, in the same rounds; None where it was not timed."""
    noise: float = 0.0
    """How far the rounds were apart, as a share of their median."""
    seconds: float = 0.0
    """What the trial took."""
    mends: str = ""
    """The trial that lost too much and that this one gives precision back to."""

    @property
    def basis(self) -> str:
        """What `quality` is."""
        if self.metric is not None:
            return metrics.basis(self.metric)
        return "SNR dB" if self.parity is None or self.parity.agreement is None else "agreement with Keras"

    @property
    def quality(self) -> float:
        """By the task metric; without labels agreement with Keras; without classes the SNR in dB. More is better."""
        if self.metric is not None:
            return metrics.quality(self.metric)
        if self.parity is None:
            return -math.inf
        return self.parity.snr_db if self.parity.agreement is None else self.parity.agreement

    @property
    def lost(self) -> float | None:
        """What is lost against Keras, of the metric or the agreement; None where there is neither."""
        return lost(self.parity, self.metric)

    def is_of(self, candidate: Candidate) -> bool:
        """Whether this is the trial of that candidate."""
        scheme = candidate.scheme
        mine = (self.format, self.precision, msgspec.json.encode(self.options))
        return mine == (candidate.target, scheme.precision.name, msgspec.json.encode(scheme.options.said()))


def finite(parity: Parity | None) -> Parity | None:
    """The figures where each is a finite number: JSON has no others."""
    if parity is None or not all(
        math.isfinite(value) for value in (parity.max_abs, parity.max_rel, parity.cosine, parity.snr_db)
    ):
        return None
    return parity
