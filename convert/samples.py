"""Samples for calibration and evaluation: tensors as the model takes them, and labels where there are any."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.convert.ranges import declared
from edgepack.convert.source import Source
from edgepack.runtime.arrays import read_arrays
from edgepack.runtime.errors import DataError, InputError
from edgepack.runtime.tensor import Array, TensorSpec, describe

Given = str | os.PathLike[str] | Mapping[str, Any] | tuple[Any, Any] | np.ndarray[Any, Any]

_INPUT_ALIASES, _LABEL_ALIASES = ("x", "X", "inputs"), ("y", "labels")

_MOST_ROWS = 64
_ELEMENTS_AT_ONCE = 1 << 20  # seven pictures of 224 x 224 pixels


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows of tensors by input name, each `(samples, …)`, and labels by output name."""

    inputs: dict[str, Array]
    labels: dict[str, Array]
    origin: str
    """Where they come from, for the report: a file name, `"memory"`, or that they were drawn at random."""
    raw: dict[str, Array] = field(default_factory=dict)
    """The raw samples that steps made the inputs of, where the model's preprocessing was lifted."""

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def rows_at_once(self) -> int:
        """How many rows to run at once: a network holds many times its input while it runs."""
        elements = sum(int(np.prod(array.shape[1:])) for array in self.inputs.values())
        fitting = min(_MOST_ROWS, _ELEMENTS_AT_ONCE // max(1, elements))
        return 1 << max(0, fitting.bit_length() - 1)

    @property
    def digest(self) -> str:
        """A SHA-256 over names, dtypes, shapes and values of the inputs."""
        state = hashlib.sha256()
        for name, array in self.inputs.items():
            state.update(f"{name} {array.dtype} {array.shape}".encode())
            state.update(np.ascontiguousarray(array).tobytes())
        return state.hexdigest()


def read_samples(given: Given, source: Source, purpose: str) -> Samples:
    """Check samples against the model.

    Args:
        given: A `.npz` file, or a dict, by input and output names (`x` and `y` where there is one of each); an array
            of inputs; or a pair of inputs and labels.
        source: The model they are for.
        purpose: `"calibration"` or `"evaluation"`, for messages.

    Raises:
        MissingFileError: The file is not there.
        DataError: Not a `.npz` file of plain arrays, a name missing, a wrong shape or dtype, no samples, NaN in them,
            or labels that do not fit.
    """
    if isinstance(given, (str, os.PathLike)):
        found = read_arrays(Path(given), f"{purpose} data")
        arrays, origin = {name or "x": array for name, array in found.items()}, Path(given).name
    elif isinstance(given, Mapping):
        arrays, origin = dict(given), "memory"
    elif isinstance(given, tuple):
        arrays, origin = {"x": given[0], "y": given[1]}, "memory"
    else:
        arrays, origin = {"x": given}, "memory"
    inputs = {
        spec.name: _pick(arrays, spec.name, _INPUT_ALIASES, single=len(source.inputs) == 1) for spec in source.inputs
    }
    missing = [name for name, array in inputs.items() if array is None]
    if missing:
        raise DataError(
            f"the {purpose} data holds {', '.join(map(repr, arrays)) or 'nothing'}; the model's inputs are "
            f"{', '.join(repr(spec.name) for spec in source.inputs)}: name the arrays after them"
        )
    checked = _check_inputs(inputs, source, purpose)
    labels = {
        spec.name: _pick(arrays, spec.name, _LABEL_ALIASES, single=len(source.outputs) == 1) for spec in source.outputs
    }
    rows = len(next(iter(checked.values())))
    return Samples(checked, _check_labels(labels, rows, source, purpose), origin)


def in_batches(array: Array, size: int) -> Array:
    """Rows as `(pieces, size, …)`, for what takes a fixed number at once; the last piece is filled up with its last."""
    missing = -len(array) % size
    filled = np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array
    return filled.reshape(-1, size, *array.shape[1:])


def random_samples(source: Source, count: int, seed: int = 0) -> Samples:
    """Random samples where none were given, from the ranges the model declares; free axes are 16 long."""
    rng = np.random.default_rng(seed)
    ranges = declared(source)
    inputs = {}
    for spec in source.inputs:
        shape = (count, *(16 if size is None else size for size in spec.shape[1:]))
        inputs[spec.name] = ranges[spec.name].draw(rng, shape, spec.numpy_dtype)
    return Samples(inputs, {}, f"{count} random samples (none were given)")


def _pick(arrays: Mapping[str, Any], name: str, aliases: tuple[str, ...], *, single: bool) -> Any:
    """The array of that name; where there is one of its kind, an alias does too."""
    if name in arrays:
        return arrays[name]
    return next((arrays[alias] for alias in aliases if alias in arrays), None) if single else None


def _check_inputs(inputs: Mapping[str, Any], source: Source, purpose: str) -> dict[str, Array]:
    checked = {}
    for spec in source.inputs:
        try:
            checked[spec.name] = spec.check(_text_rows(inputs[spec.name], spec))
        except InputError as error:
            raise DataError(f"the {purpose} data does not fit: {str(error).split('; reshape')[0]}") from error
        if checked[spec.name].dtype.kind == "f" and not np.isfinite(checked[spec.name]).all():
            raise DataError(f"the {purpose} data for input {spec.name!r} holds NaN or infinity; remove those samples")
    rows = {name: len(array) for name, array in checked.items()}
    if len(set(rows.values())) > 1:
        raise DataError(f"the {purpose} data has a different number of samples per input ({rows}); give each the same")
    if 0 in rows.values():
        raise DataError(f"the {purpose} data holds no samples; give at least one, better a few hundred")
    return checked


def _text_rows(given: Any, spec: TensorSpec) -> Any:
    """Text as objects, each checked; one text a sample is taken for an input of `(batch, 1)` too."""
    if spec.dtype != "string":
        return given
    array = np.array(given, dtype=object)
    for value in array.flat:
        if not isinstance(value, (str, bytes)):
            raise InputError(f"input {spec.name!r} takes text, and holds {type(value).__name__} {value!r:.60}")
        if isinstance(value, str) and not value.isascii():
            _check_encodable(spec.name, value)
    return array[:, np.newaxis] if spec.shape == (None, 1) and array.ndim == 1 else array


def _check_encodable(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"input {name!r} holds {text[error.start]!a}, half of a surrogate pair: remove it") from error


def _check_labels(labels: Mapping[str, Any], rows: int, source: Source, purpose: str) -> dict[str, Array]:
    checked = {}
    for spec in source.outputs:
        if labels[spec.name] is None:
            continue
        array = np.asarray(labels[spec.name])
        if array.ndim == 0 or len(array) != rows:
            raise DataError(
                f"the {purpose} labels for {spec.name!r} have shape {describe(array.shape)} for {rows:,} samples; "
                "give one label a sample"
            )
        if array.dtype.kind not in "biuf":
            raise DataError(
                f"the {purpose} labels for {spec.name!r} hold {array.dtype}; they take class numbers or values"
            )
        checked[spec.name] = array
    return checked
