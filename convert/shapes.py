"""Sizes of free axes: read from what was asked, held against the model, and fixed in its specs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from msgspec.structs import replace as with_fields

from edgepack.convert.source import Source, freeze, traced
from edgepack.runtime.errors import InputError, ModelError
from edgepack.runtime.tensor import Array, TensorSpec, describe

Shape = tuple[int | None, ...]
Shapes = Mapping[str, Sequence[Any]] | Sequence[Any]

_FREE = {None, -1, "?", "-1", "none", "None"}
_FREE_BATCH = {*_FREE, "batch"}
_TAKES = "it takes one number for each axis, the batch first, such as image=1,96,96,1; ? leaves an axis free"


@dataclass(frozen=True, slots=True)
class Stretched:
    """Rows of other sizes than those a file is compared on: right at one size, it may be wrong at another."""

    inputs: Mapping[str, Array]
    reference: Mapping[str, Array]
    """The Keras model's own outputs."""
    hint: str
    """How to do without."""


def read_texts(texts: Iterable[str]) -> dict[str, Shape]:
    """Shapes from `"name=1,96,96,1"` or, for a model of one input, `"1,96,96,1"`; the name is then empty.

    Raises:
        InputError: A text of another kind, or two for one input.
    """
    shapes: dict[str, Shape] = {}
    for text in texts:
        name, equals, sizes = text.rpartition("=")
        if equals and not name:
            raise InputError(f"input shape {text!r} has no name before =; {_TAKES}")
        if name in shapes:
            raise InputError(f"input shape {text!r} comes after another for the same input; give one for each input")
        shapes[name] = _shape(text, [part.strip() for part in sizes.split(",")])
    return shapes


def read_shapes(given: Shapes | None) -> dict[str, Shape]:
    """Shapes by input name from a dict, or from one sequence of sizes for a model of one input; its name is empty.

    Raises:
        InputError: Something that is no size.
    """
    if given is None:
        return {}
    named = given if isinstance(given, Mapping) else {"": given}
    return {name: _shape(f"{name}={sizes}" if name else str(sizes), sizes) for name, sizes in named.items()}


def batch_of(shapes: Mapping[str, Shape], batch: int | str) -> int | str:
    """The batch, where a shape fixes it: the one asked for otherwise.

    Raises:
        InputError: They contradict each other.
    """
    for name, shape in shapes.items():
        if shape[0] is None:
            continue
        if batch not in {"auto", shape[0]}:
            raise InputError(
                f"the shape of {_called(name)} has a batch of {shape[0]}, but the batch is {batch} already; give each "
                "the same, or ? for the first size"
            )
        batch = shape[0]
    return batch


def fixed(source: Source, shapes: Mapping[str, Shape], batch: int | str) -> Source:
    """The source with the sizes that were asked for; those of its outputs follow.

    Args:
        source: The model.
        shapes: By input name.
        batch: What `batch_of` gave.

    Raises:
        InputError: No such input, another number of axes, a size the model fixes otherwise, or a batch that it does
            not take.
        ModelError: The model cannot be run on these sizes.
    """
    if source.batch and batch not in {"auto", source.batch}:
        raise InputError(
            f"model {source.name!r} was made for a batch of {source.batch}, and {batch} was asked; leave the batch out "
            "(a session answers any number of rows all the same), or build the model with a free batch"
        )
    if not shapes:
        return source
    named = _named(source, shapes)
    inputs = tuple(_merged(spec, named[spec.name]) if spec.name in named else spec for spec in source.inputs)
    if inputs == source.inputs:
        return source
    return _with_outputs(replace(source, inputs=inputs), batch if isinstance(batch, int) else None)


def free_axes(specs: Iterable[TensorSpec]) -> list[TensorSpec]:
    """The tensors with a free axis beside the batch."""
    return [spec for spec in specs if None in spec.shape[1:]]


def hint(source: Source) -> str:
    """How to fix the free axes of a model; empty where it has none."""
    free = free_axes(source.inputs)
    if not free:
        return ""
    asked = " ".join(f"--input-shape {spec.name}={_pattern(spec)}" for spec in free)
    return f"the model has free sizes, which can be fixed: {asked} with a number for each N"


def stretched(source: Source, inputs: Mapping[str, Array]) -> Stretched | None:
    """Two rows with other sizes on the free axes; None where no axis is free, or the model takes no other sizes."""
    if not free_axes(source.inputs):
        return None
    for more in (1, 0):  # an odd size shows what is wrong at borders, but some models only take even ones
        longer = {spec.name: _wrapped(spec, inputs[spec.name][:2], more) for spec in source.inputs}
        try:
            return Stretched(longer, source.predict(longer), hint(source))
        except ModelError:
            continue
    return None


def _shape(text: str, sizes: Any) -> Shape:
    if isinstance(sizes, str) or not isinstance(sizes, Sequence) or not sizes:
        raise InputError(f"input shape {text!r} is no list of sizes; {_TAKES}")
    return tuple(_size(text, size, _FREE_BATCH if axis == 0 else _FREE) for axis, size in enumerate(sizes))


def _size(text: str, size: Any, free: set[Any]) -> int | None:
    if isinstance(size, (str, int, type(None))) and size in free:
        return None
    whole = int(size) if isinstance(size, (int, np.integer)) or (isinstance(size, str) and size.isdecimal()) else 0
    if whole < 1 or isinstance(size, bool):
        raise InputError(f"input shape {text!r} has the size {str(size)!r}; {_TAKES}")
    return whole


def _named(source: Source, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """The shapes under the model's names."""
    names = [spec.name for spec in source.inputs]
    listed = "; ".join(map(str, source.inputs))
    if "" in shapes and (len(names) > 1 or len(shapes) > 1):
        raise InputError(f"an input shape has no name, and the model takes {listed}; write NAME=1,96,96,1")
    for name in shapes:
        if name and name not in names:
            raise InputError(f"there is an input shape for {name!r}, and the model takes {listed}; use these names")
    return {name or names[0]: shape for name, shape in shapes.items()}


def _merged(spec: TensorSpec, asked: Shape) -> TensorSpec:
    """The spec with its free axes as asked."""
    if len(asked) != len(spec.shape):
        raise InputError(
            f"the shape asked for input {spec.name!r} has {len(asked)} sizes, {describe(asked)}; the model takes "
            f"{len(spec.shape)}, {describe(spec.shape)}: give one for each, the batch first"
        )
    for wanted, size in list(zip(asked, spec.shape, strict=True))[1:]:
        if None not in {wanted, size} and wanted != size:
            raise InputError(
                f"the shape asked for input {spec.name!r} is {describe(asked)}; the model has {describe(spec.shape)}: "
                "only free sizes (any) can be chosen"
            )
    tail = tuple(size if wanted is None else wanted for wanted, size in zip(asked[1:], spec.shape[1:], strict=True))
    return with_fields(spec, shape=(spec.shape[0], *tail))


def _with_outputs(source: Source, batch: int | None) -> Source:
    """The source with the shapes its outputs have for those of its inputs."""
    try:
        tensors = freeze(source, batch).function.outputs if source.run else traced(source, batch).outputs
    except ModelError as error:
        sizes = "; ".join(map(str, source.inputs))
        raise ModelError(f"the model cannot be run on {sizes}: {error}") from error
    outputs = tuple(
        with_fields(spec, shape=(None, *tuple(tensor.shape)[1:])) if tensor.shape.rank == len(spec.shape) else spec
        for spec, tensor in zip(source.outputs, tensors, strict=True)
    )
    return replace(source, outputs=outputs)


def _called(name: str) -> str:
    return f"input {name!r}" if name else "the input"


def _pattern(spec: TensorSpec) -> str:
    return ",".join(["1", *("N" if size is None else str(size) for size in spec.shape[1:])])


def _wrapped(spec: TensorSpec, rows: Array, more: int) -> Array:
    """The rows, repeated along free axes to twice their length and a little more."""
    added = [(0, 0)] + [
        (0, length + more if size is None else 0) for size, length in zip(spec.shape[1:], rows.shape[1:], strict=True)
    ]
    return np.ascontiguousarray(np.pad(rows, added, mode="wrap"))
