"""Models that are given their own state back: which inputs are fed from which outputs, and what they begin with."""

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from edgepack.runtime.errors import InputError
from edgepack.runtime.tensor import Array, TensorSpec, describe


class States:
    """Pairs of a state input and the output that is its next value; false where there is none."""

    def __init__(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], pairs: Mapping[str, str]) -> None:
        """Check the pairs; raises `InputError` where a name is not there, or two tensors differ in size or type."""
        ins, outs = {spec.name: spec for spec in inputs}, {spec.name: spec for spec in outputs}
        for given, next_value in pairs.items():
            if given not in ins or next_value not in outs:
                raise InputError(
                    f"states pairs {given!r} with {next_value!r}; it takes inputs ({', '.join(ins)}) paired with "
                    f"outputs ({', '.join(outs)})"
                )
            _check_pair(ins[given], outs[next_value])
        if pairs and len(pairs) == len(ins):
            raise InputError("states names every input of the model; at least one must be left to the caller")
        self._pairs, self._specs = dict(pairs), {name: ins[name] for name in pairs}

    def __bool__(self) -> bool:
        return bool(self._pairs)

    @property
    def pairs(self) -> Mapping[str, str]:
        """Each state input, with the output that is its next value."""
        return self._pairs

    @property
    def names(self) -> Set[str]:
        """The inputs that are states."""
        return self._pairs.keys()

    @property
    def next_names(self) -> Set[str]:
        """The outputs that are their next values."""
        return frozenset(self._pairs.values())

    def filled(self, given: dict[str, Any]) -> dict[str, Any]:
        """The inputs, with zeros for states that are left out."""
        missing = [name for name in self._pairs if name not in given]
        if not missing:
            return given
        rows = next((len(value) for name, value in given.items() if name not in self._pairs and np.ndim(value)), 1)
        return given | {name: _zeros(self._specs[name], rows) for name in missing}

    def remembered(self, run: Callable[[dict[str, Any]], dict[str, Array]]) -> "Remembered":
        """Runs that feed each state from the run before."""
        return Remembered(run, self._pairs)


class Remembered:
    """The states of one stream."""

    def __init__(self, run: Callable[[dict[str, Any]], dict[str, Array]], pairs: Mapping[str, str]) -> None:
        self._run, self._pairs = run, pairs
        self._values: dict[str, Array] = {}

    def run(self, given: Mapping[str, Any]) -> dict[str, Array]:
        """Run once; a state among the inputs takes the place of the remembered one."""
        outputs = self._run({**self._values, **given})
        self._values = {name: outputs[next_value] for name, next_value in self._pairs.items()}
        return outputs

    def reset(self) -> None:
        """Forget everything: the next run begins anew."""
        self._values = {}


def _check_pair(given: TensorSpec, next_value: TensorSpec) -> None:
    sizes = list(zip(given.shape, next_value.shape, strict=False))
    same = len(given.shape) == len(next_value.shape) and all(one == two or None in (one, two) for one, two in sizes)
    if not same or given.dtype != next_value.dtype:
        raise InputError(
            f"states pairs input {given} with output {next_value}; a state keeps its shape and element type"
        )


def _zeros(spec: TensorSpec, rows: int) -> Array:
    if None in spec.shape[1:]:
        raise InputError(f"state {spec.name!r} has free sizes ({describe(spec.shape)}): give its first value")
    sizes = tuple(rows if size is None else size for size in spec.shape)
    return np.zeros([size or 0 for size in sizes], spec.numpy_dtype)
