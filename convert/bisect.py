"""Which layer of a Keras model a file first differs at, found by value: names do not survive converting, values do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgepack.convert.census import take
from edgepack.convert.graph import opened, ordered
from edgepack.convert.inference import at_inference
from edgepack.convert.inside import run_inside
from edgepack.convert.lift import Lifted, lift
from edgepack.convert.prove import open_here
from edgepack.convert.raw_samples import random_raw
from edgepack.convert.samples import random_samples
from edgepack.convert.source import Source, open_source
from edgepack.quiet import quiet
from edgepack.runtime import batches
from edgepack.runtime.errors import InputError, MissingFileError, ModelError, PackError
from edgepack.runtime.manifest import FORMATS
from edgepack.runtime.pack import Pack, is_pack
from edgepack.runtime.tensor import Array, TensorSpec

_ROWS = 3
# precision of a file -> how far a tensor may be from a layer's output and still be it, in root mean squares
_TOLERANCES = {"float32": 1e-3, "float16": 2e-2}
_ROUGH = 0.3  # of every other precision
_MOST_AXES = 5  # whose orders are tried
_WITH_KERNEL = ("kernel", "embeddings", "cell", "_query_dense")


class LayerCheck(msgspec.Struct, frozen=True):
    """One call of one layer."""

    layer: str
    kind: str
    """The class of the layer."""
    verdict: str
    """`same`; `inside` where the file does not show it but what follows from it is right; `differs` else."""
    distance: float | None
    """To the nearest tensor of the file, relative to the layer's output; None where none has its size."""


class Bisection(msgspec.Struct, frozen=True):
    """How one file compares with its Keras model, layer by layer in the order of the graph."""

    file: str
    precision: str
    samples: str
    tolerance: float
    first: str | None
    """The name of the first layer whose output differs; None where none does."""
    together: tuple[str, ...]
    """Layers after it that the file may compute in the same step, so that they cannot be told apart."""
    layers: tuple[LayerCheck, ...]

    def __str__(self) -> str:
        if self.first is None:
            return f"{self.file}: no layer differs ({len(self.layers)} looked at, on {self.samples})"
        found = next(one for one in self.layers if one.layer == self.first)
        near = "" if found.distance is None else f"; the nearest tensor is {found.distance:.2g} away"
        fused = f"; the file may compute it in one step with {', '.join(self.together)}" if self.together else ""
        return f"{self.file}: the first layer that differs is {found.kind} {self.first!r}{near}{fused}"


def bisect_pack(path: Path, model: Any, *, variants: Sequence[str] = (), **options: Any) -> tuple[Bisection, ...]:
    """Look at variants of a pack, on its golden samples.

    Args:
        path: The pack.
        model: The Keras model it was made of: a path, or a `keras.Model`.
        variants: Names; none takes all.
        options: More arguments of `open_source`.

    Raises:
        PackError, UnknownNameError: The pack is damaged, or has no such variant.
        ModelError: The model cannot be read, or does not fit the pack.
    """
    source, _ = _converted(model, options)
    with Pack(path) as pack:
        if not pack.manifest.goldens:
            raise PackError(f"{path} holds no golden samples to run; build the pack again")
        samples, _ = pack.golden(pack.manifest.goldens[0])
        chosen = [pack.variant(name) for name in variants] or pack.manifest.variants
        _check_inputs(source, pack.manifest.inputs, str(path))
        graph = _Graph(source)
        return tuple(
            _bisect(graph, one.name, one.format, pack.read(one.file), samples, "the golden samples") for one in chosen
        )


def bisect_file(path: Path, model: Any, **options: Any) -> Bisection:
    """Look at a bare file, on random samples; arguments and errors as those of `bisect_pack`."""
    source, lifted = _converted(model, options)
    samples = random_raw(lifted, _ROWS) if lifted else random_samples(source, _ROWS)
    file_format = next((name for name, ending in FORMATS.items() if path.suffix == ending), None)
    if file_format is None:
        raise InputError(f"{path} is no file to look into; it takes {', '.join(FORMATS.values())} and packs")
    return _bisect(_Graph(source), path.name, file_format, path.read_bytes(), samples.inputs, "random samples")


def bisect(path: Path, model: Any, *, variants: Sequence[str] = (), **options: Any) -> tuple[Bisection, ...]:
    """Look at a pack or a bare file; arguments and errors as those of `bisect_pack`.

    Raises:
        MissingFileError: Nothing is at the path.
    """
    if not path.exists():
        raise MissingFileError(path, "file")
    if is_pack(path):
        return bisect_pack(path, model, variants=variants, **options)
    return (bisect_file(path, model, **options),)


def model_of(pack: Path) -> Path:
    """The Keras model that a pack was made of, found beside it; raises `InputError` where it is not."""
    if is_pack(pack):
        with Pack(pack) as opened_pack:
            made_of = opened_pack.manifest.provenance.get("model", {})
        name = made_of.get("file", "") if isinstance(made_of, dict) else ""
        beside = pack.parent / Path(name).name
        if name and beside.exists():
            return beside
    raise InputError(f"the Keras model that {pack} was made of is not beside it: pass --model MODEL.keras")


def _converted(model: Any, options: Mapping[str, Any]) -> tuple[Source, Lifted | None]:
    """What of a model is converted: without the layers that became steps, where there are such."""
    source = open_source(model, **options)
    lifted = lift(source)
    return (lifted.rest, lifted) if lifted else (source, None)


def _check_inputs(source: Source, wanted: Sequence[TensorSpec], path: str) -> None:
    ours, theirs = {spec.name for spec in source.inputs}, {spec.name for spec in wanted}
    if ours != theirs:
        raise ModelError(
            f"model {source.name!r} takes {', '.join(sorted(ours))}, and {path} was made of one that takes "
            f"{', '.join(sorted(theirs))}: give the model the pack was made of"
        )


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a layer: its name, and the tensors that it reads and makes, by their number."""

    name: str
    layer: Any
    reads: tuple[int, ...]
    makes: tuple[int, ...]


class _Graph:
    """The calls a model is made of, and what each gives."""

    def __init__(self, source: Source) -> None:
        graph = opened(source.model, lambda _: True) if source.model is not None else None
        if graph is None:
            raise ModelError(
                f"model {source.name!r} is no graph of layers that can be looked at one by one (it is a class of its "
                "own, or a SavedModel): bisect a keras.Model(inputs, outputs)"
            )
        self.source = source
        self._inputs = list(graph.inputs)
        self._tensors: list[Any] = []
        counts: dict[str, int] = {}
        calls = []
        for node in ordered(graph):
            name = node.operation.name
            counts[name] = counts.get(name, 0) + 1
            label = name if counts[name] == 1 else f"{name} (call {counts[name]})"
            makes = tuple(range(len(self._tensors), len(self._tensors) + len(node.outputs)))
            self._tensors += node.outputs
            calls.append((label, node, makes))
        numbers = {id(tensor): number for number, tensor in enumerate(self._tensors)}
        self.calls = [
            _Call(
                label,
                node.operation,
                tuple(numbers[id(tensor)] for tensor in node.input_tensors if id(tensor) in numbers),
                makes,
            )
            for label, node, makes in calls
        ]
        read = {number for call in self.calls for number in call.reads}
        self.needed = read | {numbers[id(tensor)] for tensor in graph.outputs if id(tensor) in numbers}

    def values(self, feeds: Sequence[Mapping[str, Array]]) -> list[list[Array]]:
        """What every tensor is in each run, by its number."""
        import keras

        function = keras.Function(self._inputs, self._tensors)
        with quiet(), at_inference(self.source.model):
            runs = [function([feed[spec.name] for spec in self.source.inputs]) for feed in feeds]
        return [[np.asarray(run[number]) for run in runs] for number in range(len(self._tensors))]


def _bisect(
    graph: _Graph, name: str, file_format: str, data: bytes, samples: Mapping[str, Array], origin: str
) -> Bisection:
    """Run model and file on the same samples and look for each layer's output among the file's tensors."""
    feeds = _feeds(file_format, data, samples)
    precision = take(file_format, data).precision
    tolerance = _TOLERANCES.get(precision, _ROUGH)
    candidates = _Candidates([*run_inside(file_format, data, feeds)], feeds)
    distances = {
        number: candidates.nearest(values)
        for number, values in enumerate(graph.values(feeds))
        if number in graph.needed
    }
    right = _right(
        graph, {number for number, distance in distances.items() if distance is not None and distance <= tolerance}
    )
    checks = []
    for call in graph.calls:
        made = [number for number in call.makes if number in graph.needed]
        found = [distances[number] for number in made]
        seen = all(distance is not None and distance <= tolerance for distance in found)
        verdict = "same" if seen else "inside" if all(number in right for number in made) else "differs"
        known = [distance for distance in found if distance is not None]
        checks.append(LayerCheck(call.name, type(call.layer).__name__, verdict, max(known) if known else None))
    first = next((index for index, check in enumerate(checks) if check.verdict == "differs"), None)
    return Bisection(
        name, precision, origin, tolerance,
        None if first is None else checks[first].layer,
        () if first is None else tuple(_fused_with(graph, graph.calls[first], checks)),
        tuple(checks),
    )  # fmt: skip


def _feeds(file_format: str, data: bytes, samples: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Rows of the samples, as many in each run as the file takes at once."""
    opened_file = open_here(file_format, data)
    try:
        size = batches.file_batch(opened_file.inputs, opened_file.outputs) or 1
    finally:
        opened_file.close()
    rows = len(next(iter(samples.values())))
    picks = [[(start + step) % rows for step in range(size)] for start in range(min(_ROWS, rows))]
    return [{name: array[pick] for name, array in samples.items()} for pick in picks]


def _right(graph: _Graph, seen: set[int]) -> set[int]:
    """The tensors that are seen in the file, and those all of whose consequences are right."""
    right = set(seen)
    readers: dict[int, list[_Call]] = {}
    for call in graph.calls:
        for number in call.reads:
            readers.setdefault(number, []).append(call)
    for call in reversed(graph.calls):
        for number in call.makes:
            after = readers.get(number, [])
            if after and all(made in right for one in after for made in one.makes if made in graph.needed):
                right.add(number)
    return right


def _fused_with(graph: _Graph, first: _Call, checks: Sequence[LayerCheck]) -> Iterator[str]:
    """The layers without a kernel of their own that follow a call one by one."""
    verdicts = {check.layer: check.verdict for check in checks}
    call = first
    while True:
        after = [one for one in graph.calls if set(one.reads) & set(call.makes)]
        if len(after) != 1 or _has_kernel(after[0].layer) or verdicts[after[0].name] != "differs":
            return
        call = after[0]
        yield call.name


def _has_kernel(layer: Any) -> bool:
    return any(getattr(layer, name, None) is not None for name in _WITH_KERNEL)


class _Candidates:
    """The tensors of a file by their number of elements, and which is nearest to a value."""

    def __init__(self, runs: Sequence[Mapping[str, Array]], feeds: Sequence[Mapping[str, Array]]) -> None:
        self._by_size: dict[int, list[Array]] = {}
        named: list[dict[str, Array]] = [
            {**{f"input {name}": array for name, array in feed.items()}, **run}
            for feed, run in zip(feeds, runs, strict=True)
        ]
        for name in named[0]:
            arrays = [one[name] for one in named if name in one]
            if len(arrays) == len(named) and len({array.shape for array in arrays}) == 1 and _numeric(arrays[0]):
                stacked = np.stack(arrays).astype(np.float64)
                self._by_size.setdefault(arrays[0].size, []).append(stacked.reshape(len(arrays), -1))

    def nearest(self, values: Sequence[Array]) -> float | None:
        """The least distance of any tensor to the value, in any order of its axes; None where none has its size."""
        if not _numeric(values[0]) or len({value.shape for value in values}) != 1:
            return None
        wanted = np.stack(values).astype(np.float64)
        norm = float(np.sqrt(np.mean(wanted**2))) or 1.0
        best: float | None = None
        for candidate in self._by_size.get(values[0].size, []):
            # In no order of axes are two tensors nearer to each other than their magnitudes are.
            least = abs(float(np.sqrt(np.mean(candidate**2))) - norm) / norm
            if best is not None and not least < best:
                continue
            for flat in _orders(wanted):
                distance = float(np.sqrt(np.mean((candidate - flat) ** 2))) / norm
                if not np.isnan(distance) and (best is None or distance < best):
                    best = distance
        return best


def _numeric(array: Array) -> bool:
    return array.dtype.kind in "fiub" and array.size > 0


def _orders(wanted: Array) -> Iterator[Array]:
    """The value with its axes in every order, runs first, flattened: files store channels first or last."""
    axes = [axis for axis in range(1, wanted.ndim) if wanted.shape[axis] > 1]
    squeezed = wanted.reshape(len(wanted), *(wanted.shape[axis] for axis in axes))
    if len(axes) > _MOST_AXES:
        yield squeezed.reshape(len(wanted), -1)
        return
    for order in permutations(range(1, squeezed.ndim)):
        yield squeezed.transpose(0, *order).reshape(len(wanted), -1)
