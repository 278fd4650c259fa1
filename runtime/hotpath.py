"""The shortest way through the commonest call: one tensor that fits as it is.

On a small net the engine takes some tens of microseconds and Python's caches are cold after each of its runs, so that
every line here can be measured. Whatever is not the plain case gets no answer, and the session's full checks follow.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgepack.runtime.engines.base import Engine
from edgepack.runtime.tensor import Array, TensorSpec

FLOATS = frozenset({"float16", "float32", "float64"})

Run = Callable[[Any, Any], dict[str, Array]]
"""Takes inputs and buffers, as `Session.run` does."""

# The function behind numpy's dispatcher, where it can be had: it takes half the time on small tensors.
_vdot: Callable[[Array, Array], Any] = getattr(np.vdot, "_implementation", np.vdot)


def holds_nan(array: Array) -> bool:
    """Whether a float array holds NaN.

    The product of an array with itself is NaN where it holds one, and only there: squares are never negative, so
    that infinities cannot cancel. No other pass over an array is cheaper.
    """
    product = _vdot(array, array)
    return bool(product != product)  # noqa: PLR0124 - NaN alone differs from itself


def one_tensor(engine: Engine, spec: TensorSpec, outputs: Sequence[str], batch: int | None, otherwise: Run) -> Run:
    """Return the call for a model with one input.

    Args:
        engine: What runs; its outputs are in the order of `outputs`.
        spec: The model's input.
        outputs: Names of the outputs.
        batch: How many rows the file takes at once; None is any number.
        otherwise: Answers whatever is not the plain case, after every check.

    Returns:
        `Session.run`: it takes a dict with one array of the exact dtype and shape, free of NaN, straight to the engine.
    """
    run, name, names, vdot, ndarray = engine.run, spec.name, tuple(outputs), _vdot, np.ndarray
    only = names[0] if len(names) == 1 else None
    run_one = getattr(engine, "run_one", _nothing)() if only else None
    dtype, is_float = spec.numpy_dtype, spec.dtype in FLOATS
    free = batch is None and bool(spec.shape) and spec.shape[0] is None
    tail = spec.shape[1:] or None if free else None  # () would fit a number without any axis
    shape = (batch or 1, *spec.shape[1:]) if free or batch else spec.shape

    if run_one is not None and only:
        return _one_for_one(run_one, (name, only), (dtype, shape, tail), otherwise, is_float=is_float)

    def call(inputs: Any, out: Any = None) -> dict[str, Array]:
        if out is None and inputs.__class__ is dict and len(inputs) == 1:
            value = inputs.get(name)
            if (
                value.__class__ is ndarray
                and value.dtype is dtype
                and (value.shape == shape or (value.shape[1:] == tail and len(value)))
                and not (is_float and (product := vdot(value, value)) != product)
            ):
                return {only: run(inputs)[0]} if only else dict(zip(names, run(inputs), strict=False))
        return otherwise(inputs, out)

    return call


def _one_for_one(
    run: Callable[[Array], Array],
    names: tuple[str, str],
    fits: tuple[Any, Any, Any],
    otherwise: Run,
    *,
    is_float: bool,
) -> Run:
    """The same call for an engine that takes one array and gives one; written out, as a call more would show."""
    (name, only), (dtype, shape, tail), vdot, ndarray = names, fits, _vdot, np.ndarray

    def call(inputs: Any, out: Any = None) -> dict[str, Array]:
        if out is None and inputs.__class__ is dict and len(inputs) == 1:
            value = inputs.get(name)
            if (
                value.__class__ is ndarray
                and value.dtype is dtype
                and (value.shape == shape or (value.shape[1:] == tail and len(value)))
                and not (is_float and (product := vdot(value, value)) != product)
            ):
                return {only: run(value)}
        return otherwise(inputs, out)

    return call


def _nothing() -> None:
    return None


def into_buffers(
    engine: Engine, spec: TensorSpec, outputs: Sequence[TensorSpec], batch: int | None
) -> Callable[[Any, Any], dict[str, Array] | None]:
    """Return the call that writes into the caller's arrays, for a model with one input and one output.

    Args:
        engine: What runs.
        spec: The model's input.
        outputs: Its outputs.
        batch: How many rows the file takes at once; None is any number.

    Returns:
        A function that takes inputs and buffers as `Session.run` does, and returns the buffers by name; None for
        whatever is not the plain case.
    """
    run_into = getattr(engine, "run_into", None)
    if run_into is None or len(outputs) != 1 or None in outputs[0].shape[1:] or not spec.shape or not outputs[0].shape:
        return no_answer
    name, out_name, vdot, ndarray = spec.name, outputs[0].name, _vdot, np.ndarray
    dtype, is_float = spec.numpy_dtype, spec.dtype in FLOATS
    tail, fixed = spec.shape[1:], batch or spec.shape[0]
    out_dtype, out_tail = outputs[0].numpy_dtype, outputs[0].shape[1:]
    if None in tail:
        return no_answer
    known: list[tuple[Any, Any]] = [(None, None)]  # the last pair of arrays that fitted: they are held here, and stay

    def call(inputs: Any, out: Any) -> dict[str, Array] | None:
        value: Any = inputs.get(name) if inputs.__class__ is dict and len(inputs) == 1 else inputs
        buffer: Any = out.get(out_name) if out.__class__ is dict and len(out) == 1 else out
        last, last_buffer = known[0]
        if last is not value or last_buffer is not buffer or not buffer.flags.writeable:
            if not fits(value, buffer):
                return None
            known[0] = (value, buffer)
        if is_float and (product := vdot(value, value)) != product:
            return None
        run_into({name: value}, (buffer,))
        return {out_name: buffer}

    def fits(value: Any, buffer: Any) -> bool:
        return (
            value.__class__ is ndarray
            and buffer.__class__ is ndarray
            and value.dtype is dtype
            and buffer.dtype is out_dtype
            and value.shape[1:] == tail
            and len(value) > 0
            and fixed in {None, len(value)}
            and buffer.shape == (len(value), *out_tail)
            and bool(buffer.flags.c_contiguous and buffer.flags.writeable and value.flags.c_contiguous)
        )

    return call


def no_answer(*_: Any) -> None:
    """The call for every other model: it leaves all to the full checks."""
