"""Raw samples: what one must look like, and how several become the tensors a model takes."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from edgepack.runtime.errors import InputError
from edgepack.runtime.steps import prepare
from edgepack.runtime.steps.base import Step, Steps
from edgepack.runtime.tensor import Array, TensorSpec, check_names, describe


def take(name: str, shape: Sequence[int | None], dtype: str) -> Callable[[Any], Array]:
    """Return a function that checks one raw sample of input `name`.

    Args:
        name: The input, for messages.
        shape: Its sizes, without the batch; None is any. For `(1,)` a single value does too.
        dtype: A numpy name, or `"string"`: text, or bytes of UTF-8.
    """
    wanted = tuple(shape)
    text = dtype == "string"
    if not text:
        np.dtype(dtype)

    def run(sample: Any) -> Array:
        array = _read_text(name, sample) if text else np.asarray(sample)
        if array.shape == () and wanted == (1,):
            array = array.reshape(1)
        fits = array.ndim == len(wanted) and all(
            size in {None, got} for size, got in zip(wanted, array.shape, strict=True)
        )
        if not fits:
            raise InputError(
                f"a sample for input {name!r} has shape {describe(wanted, dtype)}; this one {describe(array.shape)}: "
                "give several samples as a list"
            )
        if text:
            return array
        typed = TensorSpec(name, array.shape, dtype)
        return typed.check(array if hasattr(sample, "dtype") else array.tolist())

    return run


def gather(of: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that takes the raw samples of all inputs by name and gives those a step needs.

    Args:
        of: `{"name": raw value, "steps": what happens to it}`; one gives its value, several give a tuple.
    """
    parts = [(part.name, prepare(part.steps)) for part in _parts(of)]

    def run(samples: Mapping[str, Any]) -> Any:
        if not all(name in samples for name, _ in parts):
            raise InputError(f"a sample holds {', '.join(name for name, _ in parts)} by name")
        values = tuple(function(samples[name]) for name, function in parts)
        return values[0] if len(values) == 1 else values

    return run


class Preparation:
    """From raw samples to tensors.

    Attributes:
        names: What a sample is made of: names of raw values, which are those of the inputs unless steps `gather` them.
    """

    def __init__(self, inputs: Sequence[TensorSpec], steps: Steps) -> None:
        self._inputs = tuple(inputs)
        self._functions = {name: prepare(chain) for name, chain in steps.inputs.items()}
        self._gathering = {name for name, chain in steps.inputs.items() if chain and chain[0].step == "gather"}
        self._growing = {name for name, chain in steps.inputs.items() if chain and chain[-1].step == "pad"}
        self.names = raw_names(inputs, steps)
        firsts = first_steps(inputs, steps).values()
        self._one_row = len(firsts) == 1 and {step.step for found in firsts for step in found} == {"row"}
        self._named = [TensorSpec(name, (), "") for name in self.names]

    def __call__(self, samples: Sequence[Any]) -> dict[str, Array]:
        """One array for each input, with one row for each sample.

        Args:
            samples: Raw samples: a dict by `names`, or the bare value where there is one.

        Raises:
            InputError, StepError: A sample is not of the kind that is taken; or samples differ in shape.
        """
        if not samples:
            raise InputError("got no samples; give one or more")
        rows = [self._one(sample) for sample in samples]
        return {spec.name: self._stack(spec.name, [row[spec.name] for row in rows]) for spec in self._inputs}

    def _one(self, sample: Any) -> dict[str, Array]:
        """One raw sample as tensors without a batch axis."""
        raw = sample if self._is_by_name(sample) else {self.names[0]: sample}
        check_names(self._named, raw)
        prepared = {}
        for spec in self._inputs:
            given = raw if spec.name in self._gathering else raw[spec.name]
            function = self._functions.get(spec.name)
            prepared[spec.name] = function(given) if function else _plain(spec.name, given)
        return prepared

    def _is_by_name(self, sample: Any) -> bool:
        """Whether a sample is a dict of raw values; where there is only a row, it may be one of that row's columns."""
        return isinstance(sample, Mapping) and not (self._one_row and set(sample) != set(self.names))

    def _stack(self, name: str, rows: list[Array]) -> Array:
        if name in self._growing:
            longest = max(len(row) for row in rows)
            rows = [np.pad(row, (0, longest - len(row))) if len(row) < longest else row for row in rows]
        try:
            return np.stack(rows)
        except ValueError as error:
            shapes = ", ".join(dict.fromkeys(describe(row.shape) for row in rows))
            raise InputError(
                f"the samples for input {name!r} differ in shape ({shapes}); run them one by one"
            ) from error


def raw_names(inputs: Sequence[TensorSpec], steps: Steps) -> tuple[str, ...]:
    """What a raw sample is made of, by name."""
    names: list[str] = []
    for spec in inputs:
        chain = steps.inputs.get(spec.name, ())
        gathered = chain and chain[0].step == "gather"
        names += [part.name for part in _parts(chain[0].options["of"])] if gathered else [spec.name]
    return tuple(dict.fromkeys(names))


def first_steps(inputs: Sequence[TensorSpec], steps: Steps) -> dict[str, list[Step]]:
    """What each raw value of a sample meets first: a step for each input that it goes to and that has steps."""
    firsts: dict[str, list[Step]] = {name: [] for name in raw_names(inputs, steps)}
    for spec in inputs:
        chain = steps.inputs.get(spec.name, ())
        if chain and chain[0].step == "gather":
            for part in _parts(chain[0].options["of"]):
                firsts[part.name] += part.steps[:1]
        elif chain:
            firsts[spec.name].append(chain[0])
    return firsts


def _plain(name: str, value: Any) -> Array:
    """A sample for an input without steps: only an array is one."""
    if isinstance(value, (str, bytes, os.PathLike)):
        raise InputError(f"input {name!r} has no steps to read {value!r:.80} with; give its tensor to session.run")
    return np.asarray(value)


class _Part(msgspec.Struct, frozen=True):
    """A raw value that a step gathers, and what happens to it first."""

    name: str
    steps: tuple[Step, ...] = ()


def _parts(of: Any) -> list[_Part]:
    try:
        parts = msgspec.convert(of, list[_Part])
    except msgspec.ValidationError as error:
        raise ValueError(f"of holds what no part is: {error}") from error
    if not parts or any(step.step == "gather" for part in parts for step in part.steps):
        raise ValueError("of holds one part or more, and none of them gathers again")
    return parts


def _read_text(name: str, sample: Any) -> Array:
    """Text as an array of objects; bytes are read as UTF-8 that may be broken."""
    if isinstance(sample, (str, bytes)):
        array = np.empty((), object)
        array[()] = sample
        if isinstance(sample, str):
            return array
    else:
        array = np.array(sample, dtype=object)
    values = array.ravel()
    for index, value in enumerate(values):
        if isinstance(value, bytes):
            values[index] = value.decode("utf-8", "surrogateescape")
        elif not isinstance(value, str):
            raise InputError(
                f"a sample for input {name!r} is text; this one holds {type(value).__name__} {value!r:.60}"
            )
    return values.reshape(array.shape)
