"""How much each part of a file suffers from being quantized, measured: what to give float back to first.

Each part is quantized alone, with all others in float, and the noise that this brings to the model's output is what
counts. That was tried against two other measures, on a net of depthwise convolutions whose channels were spread (96
parts in ONNX): ranked so, 12 parts in float were enough to come back within half a point in both formats; ranked by
what is gained when one part alone stays in float, 32 were not, since whatever else is broken hides it; ranked by the
noise on each part's own output in one run of the whole file, 32 were too few in TFLite, since noise that came in counts
for every part behind it.
"""

import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from edgepack.convert.calibrate import Stream
from edgepack.convert.parts import Part, address, chosen
from edgepack.convert.prove import open_here
from edgepack.convert.schemes import Scheme
from edgepack.convert.writers import Writer
from edgepack.runtime.compare import compare
from edgepack.runtime.errors import ConvertError, EngineError, NothingLeftError
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array

UNHARMED_DB = 300.0
"""What a part has whose quantizing changes nothing at all."""

MOST_FILES = 64
MOST_SECONDS = 240.0
ROWS = 32
_MOST_BYTES = 2**27  # of those rows


class Sensitivity(msgspec.Struct, frozen=True):
    """What quantizing one part does to the model's output."""

    name: str
    """The part's: that of the Keras layer, `block/.` for what a layer computes beside those in it. An option
    `float_layers` with it keeps this part in float, and no other."""
    snr_db: float
    """Power of the output over the power of what quantizing this part adds to it, in decibels, at most 300; lower is
    worse. -300 where the part could not be quantized by itself."""
    operators: tuple[str, ...]
    among: int = 1
    """How many parts were quantized together when this was measured; 1 is this one alone."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The parts, the worst first."""

    parts: tuple[Sensitivity, ...]
    files: int
    """How many files were written for it."""
    complete: bool
    """Whether every part was measured, alone or in a group; else those at the end are not known."""


def rank(
    writer: Writer,
    scheme: Scheme,
    rows: Mapping[str, Array],
    *,
    most_files: int = MOST_FILES,
    most_seconds: float = MOST_SECONDS,
    tell: Callable[[str], object] = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
) -> Ranking:
    """Rank the parts of a model by what quantizing them does to its output.

    Where there are no more parts than `most_files`, each is measured alone. Else all are measured in groups of
    neighbours, and the worst group is halved, again and again, until so many files were written: noise of parts adds
    up, so that a group that harms little holds no part that harms much.

    Args:
        writer: Writes the files.
        scheme: The precision and options that parts are quantized with; its `float_layers` stay in float throughout.
        rows: Inputs by name, `(rows, …)`; a few dozen, as `some_rows` takes them from the calibration samples.
        most_files: How many files may be written.
        most_seconds: How long it may take; what is not measured by then comes last.
        tell: Called with what is being measured.
        clock: Seconds, monotonic.

    Raises:
        EngineError: The float32 file does not run.
    """
    bench = _Bench(writer, scheme, rows)
    until = clock() + most_seconds
    kept = {part for layer in scheme.options.float_layers for part in chosen(writer.parts, layer)}
    parts = [part for part in writer.parts if part not in kept]
    size = 1 if len(parts) <= most_files else -(-4 * len(parts) // most_files)
    starts = range(0, len(parts), size)
    waiting = [_Group(UNHARMED_DB, start, tuple(parts[start : start + size])) for start in starts]
    groups: list[_Group] = []  # a heap of those that can be halved, the worst on top
    alone: list[_Group] = []
    while (waiting or groups) and bench.files < most_files and clock() < until:
        if not waiting:
            waiting = heapq.heappop(groups).halves()
        known = waiting[0]._replace(snr_db=bench.snr_db(waiting[0].parts, tell))
        del waiting[0]
        if len(known.parts) == 1:
            alone.append(known)
        else:
            heapq.heappush(groups, known)
    found = tuple(
        Sensitivity(bench.names[part], group.snr_db, part.operators, len(group.parts))
        for group in sorted([*alone, *groups, *waiting])
        for part in group.parts
    )
    return Ranking(found, bench.files, complete=all(group.snr_db < UNHARMED_DB for group in waiting))


def some_rows(stream: Stream, rows: int = ROWS, seed: int = 0) -> dict[str, Array]:
    """A few samples from all over a stream, drawn at random with a seed; all where there are fewer."""
    return stream.collect(rows, _MOST_BYTES, seed).inputs


class _Group(NamedTuple):
    """Neighbours that are quantized together; sorted by how bad that is, then by their place in the file."""

    snr_db: float
    """As measured; before that, as the group had it that this is half of."""
    place: int
    parts: tuple[Part, ...]

    def halves(self) -> "list[_Group]":
        """Both halves, not measured yet."""
        middle = len(self.parts) // 2
        return [self._replace(parts=self.parts[:middle]), _Group(self.snr_db, self.place + middle, self.parts[middle:])]


class _Bench:
    """Measures what quantizing some parts does to the output of the float32 file."""

    def __init__(self, writer: Writer, scheme: Scheme, rows: Mapping[str, Array]) -> None:
        self._writer, self._scheme, self._rows = writer, scheme, rows
        self.files = 0
        self.names = {part: address(writer.parts, part) for part in writer.parts}
        """What each part alone is kept in float by."""
        self._wanted = self._outputs(writer.float32)

    def snr_db(self, group: Sequence[Part], tell: Callable[[str], object]) -> float:
        """The signal-to-noise ratio of the output with only these parts quantized, between ±300 dB."""
        tell(f"quantizing {self.names[group[0]]} alone" if len(group) == 1 else f"quantizing {len(group)} layers alone")
        self.files += 1
        floats = tuple(name for part, name in self.names.items() if part not in group)
        options = msgspec.structs.replace(self._scheme.options, float_layers=floats)
        try:
            data = self._writer(Scheme(self._scheme.precision, options))
            found = compare(self._wanted, self._outputs(data)).snr_db
        except NothingLeftError:  # it has nothing that eight bits could harm
            return UNHARMED_DB
        except (ConvertError, EngineError):  # what cannot be quantized, or then not be run, had better stay in float
            return -UNHARMED_DB
        return max(-UNHARMED_DB, found)

    def _outputs(self, data: bytes) -> dict[str, Array]:
        with Session(open_here(self._writer.target, data), self._writer.target) as session:
            return session.run(self._rows)
