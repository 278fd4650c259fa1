"""What a recurrent layer of Keras means, around any way to run its cells: order, mask, states, what it gives back."""

from collections.abc import Callable
from typing import Any

from edgepack.convert.lowering.base import Call

States = list[Any]
"""The states of one cell, as Keras nests them; empty where the layer begins at zero."""

Run = Callable[[Any, list[States], Any, bool], tuple[Any, list[States]]]
"""Takes sequences `(batch, steps, …)` in the order they are read, the states of each cell, a mask `(batch, steps)` or
None, and whether all steps are wanted. Gives the outputs of all steps or of the last one, and the last states of each
cell. At a masked step the output and the states are those of the step before."""


def cells_of(layer: Any) -> list[Any]:
    """The cells that a layer runs one behind the other."""
    cell = layer.cell
    stacked = type(cell).__name__ == "StackedRNNCells" and type(cell).__module__.startswith("keras.")
    return list(cell.cells) if stacked else [cell]


def call_with(layer: Any, run: Run) -> Call:
    """The `call` of a recurrent layer whose cells are run by `run`."""

    def call(sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        import tensorflow as tf

        del training
        mask = _mask(mask)
        if layer.go_backwards:
            sequences = tf.reverse(sequences, [1])
            mask = None if mask is None else tf.reverse(mask, [1])
        states = _states(layer, initial_state)
        output, last = run(sequences, states, mask, layer.return_sequences)
        if mask is not None:
            output = _hidden(layer, output, mask, begun=initial_state is not None)
        if not layer.return_state:
            return output
        return (output, *(last if len(last) > 1 else last[0]))

    return call


def _mask(mask: Any) -> Any:
    """A mask `(batch, steps)` of booleans, or None."""
    import keras
    import tensorflow as tf

    masks = keras.tree.flatten(mask)
    if not masks or masks[0] is None:
        return None
    flat = masks[0] if len(masks[0].shape) == 2 else tf.squeeze(masks[0], -1)
    return tf.cast(flat, tf.bool)


def _states(layer: Any, given: Any) -> list[States]:
    """The states that each cell begins with."""
    count = len(cells_of(layer))
    if given is None:
        return [[] for _ in range(count)]
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    if count == 1 and layer.cell is cells_of(layer)[0]:
        return [listed]
    return [list(one) if isinstance(one, (list, tuple)) else [one] for one in listed]


def _hidden(layer: Any, output: Any, mask: Any, *, begun: bool) -> Any:
    """The output, zero where Keras has it so: where masked, if that was asked, or where no step has counted yet.

    Keras keeps the last output apart from the states: it begins at zero whatever the states begin with.
    """
    import tensorflow as tf

    if layer.zero_output_for_mask:
        known = mask if layer.return_sequences else mask[:, -1]
    elif not begun:
        return output
    elif layer.return_sequences:
        known = tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0
    else:
        known = tf.reduce_any(mask, axis=1)
    return tf.where(tf.expand_dims(known, -1), output, tf.zeros_like(output))
