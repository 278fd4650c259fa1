"""Recurrent layers without Flex operators, lists of tensors or kept state: unrolled, or a loop over blocks of steps.

The input of every step is projected by one matrix multiplication before the first, and all gates of a step by one
more. What is left is a chain of small operators, all of which XNNPACK takes. Each step that stands in the file has its
own packed copy of the recurrent kernel in memory, so that long sequences and large kernels are better looped over: in
blocks, since a turn of a `WHILE` copies whatever the loop carries.

Medians in microseconds (ai-edge-litert 2.x, one thread of an AMD EPYC, 13 inputs, only the last step is given):

| | LSTM(64), 8 steps | 40 | 200 | GRU(32), 8 steps | 40 | 200 |
|--|--|--|--|--|--|--|
| Keras's own loop (`WHILE` over a step) | 31 | 115 | 528 | 19 | 80 | 433 |
| unrolled | 10 | 53 | 469 to 1900 | 5 | 28 | 192 |
| loop over blocks of 4 | | 61 | 322 | | 48 | 228 |
| loop over blocks of 8 | | 69 | 368 | | 56 | 222 |
| loop over blocks of 20 | | 97 | 412 | | 88 | 260 |
| `UNIDIRECTIONAL_SEQUENCE_LSTM` | 20 | 100 | 552 | | | |

The fused operator is the slower one, and it keeps its state from one call to the next, which is wrong for everyone who
does not reset the interpreter; it is not used. An unrolled step costs about 1.6 kB of file, so 200 of them 400 kB.

So: all steps are unrolled where there are 64 at most and their packed kernels take 3 MB at most, as those of LSTM(64)
on 40 steps do (LSTM(128): unrolled 200, in blocks 160). Else a block has 8 steps, or as many as 512 kB of kernels are,
and one where the number of steps is free (GRU(32), all of 40 steps given: 118, in Keras's own form 270 to 450).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgepack.convert.lowering.base import Call, Markers
from edgepack.convert.lowering.recurrence import States, call_with, cells_of
from edgepack.runtime.tensor import Array

_UNROLLED_STEPS = 64
_PACKED_BYTES = 3 << 20  # of recurrent kernels, unrolled: more falls out of the caches of small devices
_BLOCK_STEPS = 8
_BLOCK_BYTES = 512 << 10  # of recurrent kernels in a block

Carried = list[Any]
"""What one step hands to the next: the output, and the states that are not the output; None is zero."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """How the steps of one cell are computed."""

    name: str
    kernel_bytes: int
    """Of what every step multiplies its state by."""
    width: int
    """How many numbers one projected step holds; 0 where nothing is projected."""
    project: Callable[[Any], Any]
    """From inputs `(batch, steps, …)` to what `advance` takes, with the same leading axes."""
    advance: Callable[[Any, Carried], Carried]
    """One step: takes its projected input `(batch, …)`; empty where it is the first and all is zero."""
    choose: Callable[[Any, Any, Any], Any]
    """Takes which rows count, 1 or 0 as `(batch, 1)`, and new and old values; gives the new ones where they count."""
    begin: Callable[[Any, States], Carried] = lambda _, states: states
    """From the inputs and the states that are given, if any."""
    end: Callable[[Carried], States] = lambda carried: carried


def lower(layer: Any, markers: Markers) -> Call | None:
    """The layer unrolled, or as a loop over its steps."""
    cells = [_read(layer, index, cell) for index, cell in enumerate(cells_of(layer))]
    own = layer.call

    def run(sequences: Any, states: list[States], mask: Any, whole: bool) -> tuple[Any, list[States]]:
        last = []
        for index, (cell, given) in enumerate(zip(cells, states, strict=True)):
            markers.note(f"{layer.name}: {_described(cell, sequences.shape[1])}")
            sequences, final = _run(cell, sequences, given, mask, whole=whole or index + 1 < len(cells))
            last.append(final)
        return sequences, last

    lowered = call_with(layer, run)

    def call(sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        if not hasattr(sequences, "shape") or None in sequences.shape[2:] or sequences.dtype != "float32":
            why = "its inputs are not one tensor of float32 with steps of a fixed size"
            markers.note(f"{layer.name}: Keras's own loop, since {why}")
            return own(sequences, initial_state=initial_state, mask=mask, training=training)
        return lowered(sequences, initial_state=initial_state, mask=mask, training=training)

    return call


def _described(cell: _Cell, steps: int | None) -> str:
    if steps is None:
        return f"{cell.name}, a loop over a free number of steps"
    block = _block(cell, steps)
    if block == steps:
        return f"{cell.name}, unrolled, {steps} steps"
    return f"{cell.name}, a loop over {steps} steps in blocks of {block}"


def _block(cell: _Cell, steps: int) -> int:
    """How many steps stand in the file one behind the other: all of them, or as many as one turn of a loop takes."""
    if steps <= _UNROLLED_STEPS and steps * cell.kernel_bytes <= _PACKED_BYTES:
        return steps
    return min(steps, max(1, min(_BLOCK_STEPS, _BLOCK_BYTES // max(1, cell.kernel_bytes))))


def _run(cell: _Cell, sequences: Any, given: States, mask: Any, *, whole: bool) -> tuple[Any, States]:
    """The outputs of all steps, or of the last one, and the last states."""
    import tensorflow as tf

    carried, marks = cell.begin(sequences, given), None
    if mask is not None:
        # What is not a number at a masked step must not reach the states, times 0 or not.
        kept = mask
        for _ in sequences.shape[2:]:
            kept = tf.expand_dims(kept, -1)
        sequences = tf.where(kept, sequences, tf.zeros_like(sequences))
        marks = tf.expand_dims(tf.cast(mask, tf.float32), -1)
    steps = sequences.shape[1]
    block = 1 if steps is None else _block(cell, steps)
    if cell.width and (block == steps or cell.width <= sequences.shape[-1]):  # a loop carries the narrower of both
        sequences, cell = cell.project(sequences), replace(cell, project=lambda values: values)
    early = 1 if steps is None else (steps - 1) % block + 1  # a loop needs states to begin with: these steps make them
    values = cell.project(_first(sequences, early))
    outputs, carried = _steps(cell, values, carried, None if marks is None else _first(marks, early))
    stacked = tf.stack(outputs, axis=1) if whole else None
    if early != steps:
        rest = [one[:, early:] for one in (sequences, marks) if one is not None]
        stacked, carried = _loop(cell, block, rest, carried, stacked)
    return (stacked if whole else carried[0]), cell.end(carried)


def _steps(cell: _Cell, projected: Any, carried: Carried, marks: Any) -> tuple[list[Any], Carried]:
    """The outputs of a few steps, one after the other, and what the last of them hands on."""
    import tensorflow as tf

    counts = [None] * projected.shape[1] if marks is None else tf.unstack(marks, axis=1)
    outputs = []
    for values, count in zip(tf.unstack(projected, axis=1), counts, strict=True):
        new = cell.advance(values, carried)
        if count is not None:
            old = carried or [None] * len(new)
            new = [cell.choose(count, one, before) for one, before in zip(new, old, strict=True)]
        carried = new
        outputs.append(carried[0])
    return outputs, carried


def _loop(cell: _Cell, block: int, sequences: Sequence[Any], carried: Carried, before: Any) -> tuple[Any, Carried]:
    """`block` steps a turn, over a number of steps that is a multiple of it.

    Args:
        cell: Whose steps they are.
        block: Steps in a turn; 1 where their number is free.
        sequences: The inputs and, where there is a mask, the marks.
        carried: What the step before handed on.
        before: The outputs of the steps before; None where no more than the last output is wanted.

    Returns:
        All outputs where they are wanted, and what the last step hands on.
    """
    import tensorflow as tf

    steps = sequences[0].shape[1]
    turns = tf.shape(sequences[0])[1] if steps is None else steps // block
    blocks = [
        tf.expand_dims(one, 2) if block == 1 else _reshaped(one, [turns, block, *one.shape[2:]]) for one in sequences
    ]
    shapes = [tuple(one.shape) for one in carried]

    def turn(index: Any, written: list[Any], carried: Carried) -> Any:
        values, *marks = (tf.gather(one, index, axis=1) for one in blocks)
        outputs, carried = _steps(cell, cell.project(values), carried, marks[0] if marks else None)
        # The outputs move up by a block in each turn: a write at a place would make sizes that are known free.
        written = [tf.concat([one[:, block:], tf.stack(outputs, axis=1)], axis=1) for one in written]
        return index + 1, written, [tf.ensure_shape(one, shape) for one, shape in zip(carried, shapes, strict=True)]

    rows = carried[0].shape[0] or tf.shape(carried[0])[0]
    written = [] if before is None else [tf.zeros([rows, turns * block, *carried[0].shape[1:]])]
    _, written, carried = tf.while_loop(lambda index, *_: index < turns, turn, (0, written, list(carried)))
    return (tf.concat([before, written[0]], axis=1) if written else None), list(carried)


def _first(tensor: Any, steps: int) -> Any:
    """The first steps; how many they are is known even where the length is not."""
    return tensor[:, :steps] if tensor.shape[1] else _reshaped(tensor[:, :steps], [steps, *tensor.shape[2:]])


def _reshaped(tensor: Any, shape: Sequence[int]) -> Any:
    """A tensor with other axes behind the first."""
    import tensorflow as tf

    return tf.reshape(tensor, [-1 if tensor.shape[0] is None else tensor.shape[0], *shape])


def _read(layer: Any, index: int, cell: Any) -> _Cell:
    """How the steps of a layer's cell are computed; a cell of the user's own is called."""
    reader = _READERS.get(type(cell).__name__) if type(cell).__module__.startswith("keras.") else None
    return reader(cell) if reader else _called(layer, index, cell)


def _lstm(cell: Any) -> _Cell:
    import tensorflow as tf

    recurrent = _array(cell.recurrent_kernel)

    def advance(values: Any, carried: Carried) -> Carried:
        if carried:
            values = values + tf.matmul(carried[0], recurrent)
        into, keep, new, out = tf.split(values, 4, axis=-1)
        memory = cell.recurrent_activation(into) * cell.activation(new)
        if carried:
            memory = cell.recurrent_activation(keep) * carried[1] + memory
        return [cell.recurrent_activation(out) * cell.activation(memory), memory]

    return _projecting(cell, "lstm", 4, _bias(cell, 4), advance)


def _gru(cell: Any) -> _Cell:
    import tensorflow as tf

    recurrent, units = _array(cell.recurrent_kernel), cell.units
    bias = _bias(cell, 3)
    state_bias = np.zeros(3 * units, np.float32)
    if bias.ndim == 2:
        bias, state_bias = bias
        both = np.arange(3 * units) < 2 * units  # added to the same gate, so that it can be added before
        bias, state_bias = bias + state_bias * both, state_bias * ~both
    gates = [np.ascontiguousarray(recurrent[:, : 2 * units]), np.ascontiguousarray(recurrent[:, 2 * units :])]

    def advance(values: Any, carried: Carried) -> Carried:
        update, reset, new = tf.split(values, 3, axis=-1)
        if carried and cell.reset_after:
            parts = tf.split(tf.matmul(carried[0], recurrent) + state_bias, 3, axis=-1)
            update, reset, inner = update + parts[0], reset + parts[1], parts[2]
        elif carried:
            parts = tf.split(tf.matmul(carried[0], gates[0]), 2, axis=-1)
            update, reset = update + parts[0], reset + parts[1]
        update, reset = cell.recurrent_activation(update), cell.recurrent_activation(reset)
        if not carried:
            new = cell.activation(new + reset * state_bias[2 * units :] if cell.reset_after else new)
            return [new - update * new]
        state = carried[0]
        new = cell.activation(new + (reset * inner if cell.reset_after else tf.matmul(reset * state, gates[1])))
        return [new + update * (state - new)]

    return _projecting(cell, "gru", 3, bias, advance)


def _simple(cell: Any) -> _Cell:
    import tensorflow as tf

    recurrent = _array(cell.recurrent_kernel)

    def advance(values: Any, carried: Carried) -> Carried:
        return [cell.activation(values + tf.matmul(carried[0], recurrent) if carried else values)]

    return _projecting(cell, "rnn", 1, _bias(cell, 1), advance)


def _projecting(cell: Any, name: str, gates: int, bias: Array, advance: Callable[[Any, Carried], Carried]) -> _Cell:
    """A cell of Keras: its inputs are projected for all steps and gates at once, its first state is its output."""
    import tensorflow as tf

    kernel = _array(cell.kernel)

    def choose(count: Any, new: Any, old: Any) -> Any:
        # Exact, for these are finite; a select would break the chain that XNNPACK takes.
        return count * new if old is None else count * new + (1 - count) * old

    return _Cell(
        name,
        kernel_bytes=4 * gates * cell.units * cell.units,
        width=gates * cell.units,
        project=lambda values: tf.matmul(values, kernel) + bias,
        advance=advance,
        choose=choose,
    )


def _called(layer: Any, index: int, cell: Any) -> _Cell:
    """A cell that is called as Keras calls it, one step after the other."""
    import keras
    import tensorflow as tf

    options = {"training": False} if getattr(cell, "_call_has_training_arg", False) else {}
    structure: list[Any] = []

    def begin(sequences: Any, given: States) -> Carried:
        if not given:
            every = layer.get_initial_state(batch_size=tf.shape(sequences)[0])
            own = every[index] if layer.cell is not cell else every
            given = list(own) if isinstance(own, (list, tuple)) else [own]
        structure[:] = [given]
        return [None, *(tf.convert_to_tensor(one, cell.compute_dtype) for one in keras.tree.flatten(given))]

    def advance(values: Any, carried: Carried) -> Carried:
        output, states = cell(values, keras.tree.pack_sequence_as(structure[0], carried[1:]), **options)
        return [output, *keras.tree.flatten(states)]

    def choose(count: Any, new: Any, old: Any) -> Any:
        shape = [-1, *[1] * (len(new.shape) - 1)]
        return tf.where(tf.reshape(count, shape) > 0, new, tf.zeros_like(new) if old is None else old)

    return _Cell(
        type(cell).__name__,
        kernel_bytes=sum(4 * int(np.prod(weight.shape)) for weight in getattr(cell, "weights", ())),
        width=0,
        project=lambda values: values,
        advance=advance,
        choose=choose,
        begin=begin,
        end=lambda carried: keras.tree.pack_sequence_as(structure[0], carried[1:]),
    )


def _array(weight: Any) -> Array:
    return np.asarray(weight.numpy(), np.float32)


def _bias(cell: Any, gates: int) -> Array:
    """The bias `(gates * units,)`, or `(2, gates * units)` of inputs and of the state; zero where the cell has none."""
    return _array(cell.bias) if cell.use_bias else np.zeros(gates * cell.units, np.float32)


# class of the cell -> how it is read
_READERS: dict[str, Callable[[Any], _Cell]] = {"LSTMCell": _lstm, "GRUCell": _gru, "SimpleRNNCell": _simple}
