"""What each layer of a file holds while it runs, and how far that is from another file: ranges, noise, saturation.

Files hold operators, not layers: a convolution has taken in its normalization, and often its activation. A row is what
one layer became, told by names, and `gives` says whose output its last tensor is.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import msgspec
import numpy as np

from edgepack.convert.inside import run_inside
from edgepack.convert.spots import Spot, find_spots
from edgepack.runtime.errors import DataError
from edgepack.runtime.tensor import Array

_ROWS = 8
_SECONDS = 4.0  # after which no more rows are run
_MOST_AXES = 5  # whose orders are tried
_BIGGEST_SNR_DB = 300.0


@dataclass(frozen=True, slots=True)
class File:
    """One file to look into."""

    name: str
    format: str
    data: bytes


class Against(msgspec.Struct, frozen=True):
    """A layer's output in the other file."""

    weights: str
    activations: str
    low: float
    high: float
    snr_db: float
    """Power of the other file's values over power of the difference, in decibels, between -300 and 300."""


class Layer(msgspec.Struct, frozen=True):
    """One layer in a file."""

    layer: str
    gives: str
    """The layer whose output its last tensor is, where later ones were taken in."""
    operators: tuple[str, ...]
    weights: str
    """The element type of most of its weights; empty where it has none."""
    activations: str
    """The element type of its output."""
    low: float
    """The least value of its output, on the samples."""
    high: float
    saturated: float | None
    """The share of values at an end of the quantized range, 0 to 1, whose true value lies beyond it; without another
    file, all at an end that is not zero. None where the output is not quantized."""
    against: Against | None = None
    """The same output in the other file; None where that does not show it, or there is no other."""


class LayerReport(msgspec.Struct, frozen=True):
    """The layers of a file in the order in which they run."""

    file: str
    against: str | None
    samples: str
    rows: int
    """How many of the samples were run; what fills up a batch is not counted."""
    layers: tuple[Layer, ...]

    @property
    def worst(self) -> tuple[Layer, ...]:
        """Those that the other file shows too, the noisiest first."""
        seen = [one for one in self.layers if one.against]
        return tuple(sorted(seen, key=lambda one: one.against.snr_db if one.against else 0.0))


def look(
    file: File,
    against: File | None,
    samples: Mapping[str, Array],
    origin: str,
    *,
    layers: Sequence[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> LayerReport:
    """Run a file operator by operator, beside another where one is given, and compare what their layers hold.

    Args:
        file: What is looked into.
        against: What it is held against: the float32 file of the same format, or any other file of the same model.
        samples: Rows by input name; the first eight at most, fewer where they take long.
        origin: Where the samples come from.
        layers: Paths of the model's layers, as `scopes.paths` gives them; none takes them from the names in the files.
        clock: Seconds that pass.

    Raises:
        DataError: The samples lack an input, or the files take other numbers of rows at once.
        EngineError: A file does not run operator by operator.
    """
    found = find_spots(file.format, file.data, layers)
    other = find_spots(against.format, against.data, layers) if against else None
    watched = [_Watched(spot, other.like(spot) if other else None) for spot in found.spots]
    size = _rows_at_once(found.rows, other.rows if other else None)
    done, count = 0, len(next(iter(samples.values())))
    begun = clock()
    for feed in _feeds(samples, size, _ROWS):
        tensors = _with_inputs(run_inside(file.format, file.data, [feed])[0], feed)
        theirs = run_inside(against.format, against.data, [feed])[0] if against else {}
        for one in watched:
            one.add(tensors, theirs)
        done = min(done + size, count)  # what fills up a batch are copies
        if clock() - begun > _SECONDS:
            break
    shown = tuple(layer for one in watched if (layer := one.layer()))
    return LayerReport(file.name, against.name if against else None, origin, done, shown)


@dataclass(slots=True)
class _Seen:
    """What was seen of one tensor."""

    low: float = np.inf
    high: float = -np.inf
    dtype: str = ""

    def add(self, values: Array) -> None:
        self.low = float(np.minimum(self.low, values.min(initial=np.inf)))  # NaN stays NaN
        self.high = float(np.maximum(self.high, values.max(initial=-np.inf)))


@dataclass(slots=True)
class _Watched:
    """A layer of the file, the same in the other, and what was seen of them."""

    spot: Spot
    other: Spot | None
    seen: _Seen = field(default_factory=_Seen)
    seen_there: _Seen = field(default_factory=_Seen)
    signal: float = 0.0
    noise: float = 0.0
    at_ends: int = 0
    values: int = 0
    order: tuple[int, ...] | None = None

    def add(self, tensors: Mapping[str, Array], theirs: Mapping[str, Array]) -> None:
        """Count one run."""
        found = tensors.get(self.spot.tensor)
        if found is None or found.dtype.kind not in "fiub" or not found.size:
            return
        values = found.astype(np.float64)
        self.seen.add(values)
        self.seen.dtype = found.dtype.name
        true = self._true(values, theirs)
        if true is not None:
            self.seen_there.add(true)
            self.signal += float(np.square(true).sum())
            self.noise += float(np.square(values - true).sum())
        self.values += values.size
        if self.spot.ends:
            self.at_ends += _saturated(values, self.spot.ends, true)

    def layer(self) -> Layer | None:
        """What was seen; None where the layer holds no numbers."""
        if not self.values:
            return None
        spot, there = self.spot, self.seen_there
        against = None
        if self.other and there.dtype:
            against = Against(
                self.other.weights, self.other.activations or there.dtype, there.low, there.high, self._snr_db()
            )
        return Layer(
            spot.layer, spot.gives, spot.operators, spot.weights, spot.activations or self.seen.dtype, self.seen.low,
            self.seen.high, self.at_ends / self.values if spot.ends else None, against,
        )  # fmt: skip

    def _true(self, values: Array, theirs: Mapping[str, Array]) -> Array | None:
        """The other file's values with their axes in this file's order; None where it has none of this size."""
        found = theirs.get(self.other.tensor) if self.other else None
        if found is None or found.dtype.kind not in "fiub" or found.size != values.size:
            return None
        self.seen_there.dtype = found.dtype.name
        true = found.astype(np.float64)
        if self.order is None:
            self.order = _order(values, true)
        squeezed = true.reshape([size for size in true.shape if size > 1])
        return squeezed.transpose(self.order).reshape(values.shape) if self.order else true.reshape(values.shape)

    def _snr_db(self) -> float:
        if self.noise == 0.0:
            return _BIGGEST_SNR_DB
        ratio = self.signal / self.noise
        found = 10 * np.log10(ratio) if np.isfinite(ratio) and ratio > 0 else -_BIGGEST_SNR_DB  # NaN is never close
        return float(np.clip(found, -_BIGGEST_SNR_DB, _BIGGEST_SNR_DB))


def _order(values: Array, true: Array) -> tuple[int, ...]:
    """The order of axes in which `true` is nearest to `values`; empty where they lie alike.

    Formats store channels first or last, and axes of one element say nothing.
    """
    wanted = [size for size in values.shape if size > 1]
    given = [size for size in true.shape if size > 1]
    if values.shape == true.shape or len(given) > _MOST_AXES or sorted(wanted) != sorted(given):
        return ()
    target, squeezed = values.reshape(wanted), true.reshape(given)
    fitting = [order for order in permutations(range(len(given))) if [given[axis] for axis in order] == wanted]
    return min(fitting, key=lambda order: float(np.square(target - squeezed.transpose(order)).sum()), default=())


def _saturated(values: Array, ends: tuple[float, float], true: Array | None) -> int:
    """How many values lie at an end of the quantized range, though more would be true."""
    low, high = ends
    half = (high - low) / 510  # of a step
    at_low, at_high = values <= low + half, values >= high - half
    if true is not None:
        at_low, at_high = at_low & (true < low - half), at_high & (true > high + half)
    else:  # an end at zero is where an activation cuts
        at_low, at_high = at_low & (low != 0), at_high & (high != 0)
    return int(np.count_nonzero(at_low | at_high))


def _rows_at_once(ours: int | None, theirs: int | None) -> int:
    if ours and theirs and ours != theirs:
        raise DataError(f"the files take {ours} and {theirs} rows at once: compare files of one batch size")
    return ours or theirs or 1


def _feeds(samples: Mapping[str, Array], size: int, rows: int) -> Iterator[dict[str, Array]]:
    """The first rows, `size` at a time; a batch that is not full is filled with rows from the start."""
    count = len(next(iter(samples.values())))
    for start in range(0, min(count, max(rows, size)), size):
        pick = [(start + step) % count for step in range(size)]
        yield {name: array[pick] for name, array in samples.items()}


def _with_inputs(tensors: Mapping[str, Array], feed: Mapping[str, Any]) -> dict[str, Array]:
    return {**feed, **tensors}


def table(report: LayerReport, rows: Iterable[Layer] | None = None) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The columns and cells of a report, as text.

    Args:
        report: What was found.
        rows: Those of its layers to show; None is all.
    """
    shown = list(report.layers if rows is None else rows)
    compared = report.against is not None
    columns = (
        "layer", *(["SNR dB"] if compared else []), "gives", "operators", "weights", "activations", "low", "high",
        "saturated", *(["low there", "high there", "types there"] if compared else []),
    )  # fmt: skip
    cells = [_cells(one, compared=compared) for one in shown]
    gives = columns.index("gives")
    if any(row[gives] for row in cells):
        return columns, cells
    return columns[:gives] + columns[gives + 1 :], [row[:gives] + row[gives + 1 :] for row in cells]


def _cells(one: Layer, *, compared: bool) -> tuple[str, ...]:
    """A row; the noise comes second, as it is what people look for."""
    kinds = {kind: one.operators.count(kind) for kind in one.operators}
    operators = ", ".join(kind if count == 1 else f"{count} {kind}" for kind, count in kinds.items())
    cells = (
        "" if one.gives == one.layer else one.gives, operators, one.weights or "–", one.activations,
        f"{one.low:.3g}", f"{one.high:.3g}", "–" if one.saturated is None else f"{one.saturated:.2%}",
    )  # fmt: skip
    if not compared:
        return (one.layer, *cells)
    if one.against is None:
        return (one.layer, "–", *cells, *["–"] * 3)
    there = one.against
    types = " / ".join(dict.fromkeys(filter(None, (there.weights, there.activations))))
    noise = "same" if there.snr_db == _BIGGEST_SNR_DB else f"{there.snr_db:.1f}"
    return (one.layer, noise, *cells, f"{there.low:.3g}", f"{there.high:.3g}", types)
