"""Which number lies where among the counts of one version: whole numbers only, so that sums over workers are exact."""

from typing import NamedTuple

from edgepack.runtime import errors

FACES = ("rest", "grpc")

# What a failure may be counted as: our own errors, what a face itself refuses (by its status of HTTP), a client that
# has gone away, and everything that is a fault of ours.
UNEXPECTED = "unexpected"
_REFUSED = (
    "Http400",
    "Http404",
    "Http405",
    "Http406",
    "Http408",
    "Http411",
    "Http413",
    "Http415",
    "Http421",
    "Http431",
)
ERRORS = (
    *sorted(
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.EdgepackError)
    ),
    *_REFUSED,
    "CancelledError",
    UNEXPECTED,
)

_SECOND = 1_000_000_000
_LATENCY_NS = tuple(
    int(micros * 1000)
    for micros in (
        50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
        1_000_000, 2_500_000, 5_000_000, 10_000_000,
    )
)  # fmt: skip
_LOAD_NS = tuple(int(seconds * _SECOND) for seconds in (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60))
_BYTES = tuple(256 * 4**power for power in range(10))
_ROWS = tuple(2**power for power in range(9))


class Histogram(NamedTuple):
    """Where a histogram lies: its sum, then the count of each bucket, and of what is beyond the last bound.

    A value at a bound belongs to the bucket that ends there.
    """

    at: int
    bounds: tuple[int, ...]

    @property
    def end(self) -> int:
        """The slot behind it."""
        return self.at + len(self.bounds) + 2


ANSWERED = {face: slot for slot, face in enumerate(FACES)}
FAILED = len(FACES)  # by face, then by error
ROWS = FAILED + len(FACES) * len(ERRORS)
FALLBACKS = ROWS + 1
GOLDEN_FAILURES = FALLBACKS + 1
LOAD_FAILURES = GOLDEN_FAILURES + 1
TOTAL = Histogram(LOAD_FAILURES + 1, _LATENCY_NS)
QUEUE = Histogram(TOTAL.end, _LATENCY_NS)
PRE = Histogram(QUEUE.end, _LATENCY_NS)
INFER = Histogram(PRE.end, _LATENCY_NS)
POST = Histogram(INFER.end, _LATENCY_NS)
RESPONSE = Histogram(POST.end, _BYTES)
BATCH = Histogram(RESPONSE.end, _ROWS)
LOAD = Histogram(BATCH.end, _LOAD_NS)
LOADED = LOAD.end  # these two are true of a living process alone
QUEUED = LOADED + 1
GONE = QUEUED + 1  # the second, by a clock that all processes share, since which a version that is not ready is not
SLOTS = GONE + 1
GAUGES = slice(LOADED, GONE)


def failed(face: str, error: str) -> int:
    """The slot of failures of one kind; a kind that no table has is a fault of ours."""
    return FAILED + ANSWERED[face] * len(ERRORS) + _ERROR.get(error, len(ERRORS) - 1)


_ERROR = {name: index for index, name in enumerate(ERRORS)}
