"""Samples for calibration and evaluation: tensors as the model takes them, and labels where there are any."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
        return rows_at_once(sum(int(np.prod(array.shape[1:])) for array in self.inputs.values()))

    @property
    def digest(self) -> str:
        """A SHA-256 over names, dtypes, shapes and values of the inputs."""
        return digest_of(layout_of(self.inputs), row_hashes(self.inputs))

    def take(self, rows: slice | Array) -> "Samples":
        """Some of the rows, in the order asked."""
        return replace(
            self,
            inputs={name: array[rows] for name, array in self.inputs.items()},
            labels={name: array[rows] for name, array in self.labels.items()},
            raw={name: array[rows] for name, array in self.raw.items()},
        )


def rows_at_once(elements: int) -> int:
    """How many rows of so many elements to hold or to run at once."""
    fitting = min(_MOST_ROWS, _ELEMENTS_AT_ONCE // max(1, elements))
    return 1 << max(0, fitting.bit_length() - 1)


def joined(parts: Sequence[Samples], origin: str) -> Samples:
    """All rows of some samples, one or more, of one model."""

    def together(kind: str) -> dict[str, Array]:
        arrays = [getattr(part, kind) for part in parts]
        return {name: np.concatenate([one[name] for one in arrays]) for name in arrays[0]}

    return Samples(together("inputs"), together("labels"), origin, together("raw"))


def layout_of(inputs: Mapping[str, Array]) -> str:
    """Names, dtypes and the shape of a row, for a digest."""
    return " ".join(f"{name} {array.dtype} {array.shape[1:]}" for name, array in inputs.items())


def row_hashes(inputs: Mapping[str, Array]) -> list[bytes]:
    """The SHA-256 of each row's values."""
    rows = len(next(iter(inputs.values())))
    states = [hashlib.sha256() for _ in range(rows)]
    for array in inputs.values():
        for state, row in zip(states, array, strict=True):
            state.update(_bytes(row))
    return [state.digest() for state in states]


def digest_of(layout: str, hashes: Sequence[bytes]) -> str:
    """The SHA-256 of samples by the hashes of their rows: however many are read at a time, it is the same."""
    return hashlib.sha256(layout.encode() + b"".join(hashes)).hexdigest()


def _bytes(row: Any) -> bytes:
    array = np.asarray(row)
    if array.dtype != object:
        return array.tobytes()
    return b"".join(
        f"{len(text)} ".encode() + text
        for text in (
            value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass") for value in array.flat
        )
    )


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
    else:
        arrays, origin = named(given), "memory"
    return checked(arrays, origin, source, purpose)


def named(given: Any) -> dict[str, Any]:
    """Arrays by name, `x` and `y` where they have none of their own."""
    if isinstance(given, Mapping):
        return dict(given)
    return {"x": given[0], "y": given[1]} if isinstance(given, tuple) else {"x": given}


def checked(arrays: Mapping[str, Any], origin: str, source: Source, purpose: str) -> Samples:
    """Arrays as the samples of a model; arguments and errors as those of `read_samples`."""
    inputs, labels = pick(arrays, source, purpose)
    tensors = _check_inputs(inputs, source, purpose)
    rows = len(next(iter(tensors.values())))
    found = {name: np.asarray(given) for name, given in labels.items()}
    for name, array in found.items():
        check_labels(name, array.shape, array.dtype, rows, purpose)
    if purpose == "evaluation" and not found:
        _check_leftover(arrays, source)
    return Samples(tensors, found, origin)


def pick(arrays: Mapping[str, Any], source: Source, purpose: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is there for the model's inputs, and for those of its outputs that have labels, by their names.

    Raises:
        DataError: There is nothing for an input.
    """
    inputs = {
        spec.name: _pick(arrays, spec.name, _INPUT_ALIASES, single=len(source.inputs) == 1) for spec in source.inputs
    }
    missing = [name for name, array in inputs.items() if array is None]
    if missing:
        raise DataError(
            f"the {purpose} data holds {', '.join(map(repr, arrays)) or 'nothing'}; the model's inputs are "
            f"{', '.join(repr(spec.name) for spec in source.inputs)}: name the arrays after them"
        )
    labels = {
        spec.name: _pick(arrays, spec.name, _LABEL_ALIASES, single=len(source.outputs) == 1) for spec in source.outputs
    }
    return inputs, {name: array for name, array in labels.items() if array is not None}


def check_rows(rows: Mapping[str, int], purpose: str) -> None:
    """Raise `DataError` unless inputs have the same number of rows, and some."""
    if len(set(rows.values())) > 1:
        raise DataError(f"the {purpose} data has a different number of samples per input ({rows}); give each the same")
    if 0 in rows.values():
        raise DataError(f"the {purpose} data holds no samples; give at least one, better a few hundred")


def check_labels(name: str, shape: tuple[int, ...], dtype: "np.dtype[Any]", rows: int, purpose: str) -> None:
    """Raise `DataError` unless labels of that shape and type can be those of so many rows."""
    if shape[:1] != (rows,):
        raise DataError(
            f"the {purpose} labels for {name!r} have shape {describe(shape)} for {rows:,} samples; "
            "give one label a sample"
        )
    if dtype.kind not in "biuf":
        raise DataError(f"the {purpose} labels for {name!r} hold {dtype}; they take class numbers or values")


def _check_leftover(arrays: Mapping[str, Any], source: Source) -> None:
    """Refuse what nobody takes where labels could be: under another name they would judge nothing, in silence."""
    taken = {spec.name for spec in source.inputs} | set(_INPUT_ALIASES if len(source.inputs) == 1 else ())
    left = [name for name in arrays if name not in taken]
    if left:
        raise DataError(
            f"the evaluation data holds {', '.join(map(repr, left))}, which is neither an input nor labels: those go "
            f"by the name of an output ({', '.join(repr(spec.name) for spec in source.outputs)})"
        )


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
    check_rows({name: len(array) for name, array in checked.items()}, purpose)
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
