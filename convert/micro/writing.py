"""A TFLite file to a pair of C++ files: read, tried in TFLite-Micro, compared, and only then written."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edgepack.convert.micro.array import Agreement, CArray
from edgepack.convert.micro.asked import check_pair
from edgepack.convert.micro.operators import resolver_calls
from edgepack.convert.micro.reading import Facts, read
from edgepack.convert.micro.text import header, identifier, source
from edgepack.convert.micro.trying import Tried, try_out
from edgepack.runtime.compare import Budget, Parity, compare
from edgepack.runtime.errors import ConvertError, DataError
from edgepack.runtime.goldens import Golden
from edgepack.runtime.tensor import Array
from edgepack.runtime.writing import replacing

_MOST_RUNS = 64
_RANDOM_RUNS = 8
_ALIGNMENT = 16
# Some kernels round a product once and others twice; what is one step inside a net is more where a sigmoid is steep.
_LITERT = Budget(min_snr_db=20)
_FEW_STEPS = 1.0


def write_c_array(
    data: bytes,
    path: str | os.PathLike[str],
    *,
    golden: Golden | None = None,
    budget: Budget | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    notes: Sequence[str] = (),
    force: bool = False,
) -> CArray:
    """Write a TFLite file as C++ source for TFLite-Micro, after it ran in TFLite-Micro's own interpreter.

    The names in the source begin with the name of the file: `digits_model`, `digits_arena_bytes`,
    `digits_add_operators(resolver)`, `digits_input_image_scale`, and so on.

    Args:
        data: The TFLite file; best with int8 that goes in and comes out.
        path: The header, `NAME.h`; the source is `NAME.cc` beside it.
        golden: Samples and the Keras model's answers, real numbers `(samples, …)` by name. Without answers
            it is compared with LiteRT alone; None draws random samples too.
        budget: How close to Keras it must come; None is not asked.
        labels: Labels by output name, for firmware to print.
        notes: Lines for the header's comment.
        force: Replace what is there.

    Returns:
        What firmware must know: the size, the arena that was measured, operators, scales.

    Raises:
        InputError: The name does not end in `.h`.
        OutputError: A file is there already, or cannot be written; both are as they were.
        MissingExtraError: The package tflite-micro is not installed.
        ModelError: The file is damaged.
        DataError: The samples are not for this file.
        ConvertError: TFLite-Micro has no kernel for an operator, refuses it, or gives other answers.
    """
    pair = check_pair(path, force=force)
    facts = read(data)
    resolver_calls(facts.operators)
    feeds, wanted, count = _samples(facts, golden)
    tried = try_out(data, feeds, len(facts.outputs), keeps_state="VAR_HANDLE" in facts.operators)
    litert = _agreement(facts, tried, count)
    keras = None if wanted is None else _parity(facts, tried, wanted, count)
    if keras and (reasons := keras.failures(budget or Budget())):
        raise ConvertError(f"TFLite-Micro's answers are too far from Keras: {'; '.join(reasons)}")
    arena = tried.arena_bytes + facts.reserve_bytes
    array = CArray(
        header=str(pair[0]), source=str(pair[1]), name=identifier(pair[0].stem, "model"), size_bytes=len(data),
        arena_bytes=-(-arena // _ALIGNMENT) * _ALIGNMENT, smallest_arena_bytes=tried.arena_bytes,
        reserve_bytes=facts.reserve_bytes, operators=facts.operators, inputs=facts.inputs, outputs=facts.outputs,
        litert=litert, keras=keras, samples="given samples" if golden else "random samples: none were given",
    )  # fmt: skip
    _write(pair, array, data, labels or {}, notes)
    return array


def _samples(facts: Facts, golden: Golden | None) -> tuple[list[Array], Mapping[str, Array] | None, int]:
    """What goes in, `(runs, *shape)` for each input as the file stores it; the right answers, and how many samples."""
    if golden is None:
        rng = np.random.default_rng(0)
        drawn = [rng.uniform(*_range(port.dtype), (_RANDOM_RUNS, *port.shape)) for port in facts.inputs]
        stored = [array.astype(port.dtype) for array, port in zip(drawn, facts.inputs, strict=True)]
        return stored, None, _RANDOM_RUNS * facts.rows
    inputs, outputs = golden
    names = {port.name for port in facts.inputs}
    if names != set(inputs):
        raise DataError(f"the samples are for {', '.join(sorted(inputs))}; the file takes {', '.join(sorted(names))}")
    counts = {np.shape(array)[:1] for array in (*inputs.values(), *outputs.values())}
    if len(counts) > 1 or counts & {(), (0,)}:
        raise DataError(f"the samples hold {sorted(counts)} rows; give at least one, and as many for each name")
    rows, given = facts.rows, len(next(iter(inputs.values())))
    chosen = np.unique(np.linspace(0, given - 1, min(given, _MOST_RUNS * rows)).astype(int))
    filled = np.concatenate([chosen, np.repeat(chosen[-1:], -len(chosen) % rows)])
    feeds = []
    for port in facts.inputs:
        real = np.asarray(inputs[port.name])[filled]
        if real[:rows].shape != port.shape:
            raise DataError(f"the samples for {port.name!r} have shape {real.shape[1:]}; the file takes {port.shape}")
        feeds.append(port.stored(real).reshape(-1, *port.shape))
    right = {name: np.asarray(array)[chosen] for name, array in outputs.items()}
    return feeds, right or None, len(chosen)


def _range(dtype: str) -> tuple[float, float]:
    """What random samples are drawn from: all that 8 and 16 bits hold, few numbers of what may be rows of a table."""
    if dtype in {"int8", "uint8", "int16"}:
        limits = np.iinfo(dtype)
        return float(limits.min), float(limits.max)
    return (-1.0, 1.0) if dtype.startswith("float") else (0.0, 2.0)


def _agreement(facts: Facts, tried: Tried, count: int) -> Agreement:
    """How far the outputs are from LiteRT's; raises `ConvertError` where that is more than kernels round."""
    samples = min(len(tried.micro[0]) * facts.rows, count)  # the last run may be filled with copies
    micro, litert = _named(facts, tried.micro), _named(facts, tried.litert)
    apart = compare(litert, micro)
    same = sum(int((one == other).sum()) for one, other in zip(tried.micro, tried.litert, strict=True))
    found = [
        float(np.abs(micro[port.name].astype(np.float64) - litert[port.name]).max(initial=0.0)) / port.step
        for port in facts.outputs
        if port.step
    ]
    steps = max(found) if len(found) == len(facts.outputs) else None
    equal = same / max(1, sum(array.size for array in tried.micro))
    if (steps is None or steps > _FEW_STEPS + 1e-3) and (reasons := apart.failures(_LITERT)):
        raise ConvertError(f"TFLite-Micro gives other answers than LiteRT: {'; '.join(reasons)}")
    return Agreement(samples, equal, steps, apart.snr_db)


def _parity(facts: Facts, tried: Tried, wanted: Mapping[str, Array], count: int) -> Parity:
    found = _named(facts, tried.micro)
    some = min(count, len(next(iter(found.values()))))
    try:
        return compare({name: array[:some] for name, array in wanted.items()},
                       {name: array[:some] for name, array in found.items()})  # fmt: skip
    except ValueError as error:
        raise DataError(f"the answers are not for this file: {error}") from error


def _named(facts: Facts, arrays: Sequence[Array]) -> dict[str, Array]:
    """Outputs as real numbers by name, `(samples, …)`."""
    return {
        port.name: port.real(array).reshape(-1, *array.shape[2:])
        for port, array in zip(facts.outputs, arrays, strict=True)
    }


def _write(
    pair: tuple[Path, Path], array: CArray, data: bytes, labels: Mapping[str, Sequence[str]], notes: Sequence[str]
) -> None:
    """Write both files beside their places before either takes it."""
    with replacing(pair[0]) as beside_header, replacing(pair[1]) as beside_source:
        beside_header.write_text(header(array, labels, notes), encoding="ascii")
        # It names the header, in the bytes that the file system has.
        beside_source.write_bytes(os.fsencode(source(array, data, pair[0].name)))
