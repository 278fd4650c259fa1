"""LSTM, GRU and SimpleRNN as one ONNX node each, with a dynamic batch, any mask, and initial states.

Keras writes gates in the order i, f, c, o (LSTM) and z, r, h (GRU); ONNX takes i, o, f, c and z, r, h (ONNX operator
specification, LSTM and GRU). `reset_after` is ONNX's `linear_before_reset`.

A masked step only carries the state on. So the steps that count are moved to the front, in their order, and the node
is told how many there are: that is exact for every mask, not just for padding at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack.convert.lowering.base import Call, GraphWriter, Markers
from edgepack.convert.lowering.recurrence import States, call_with, cells_of
from edgepack.runtime.tensor import Array

# activation of Keras -> (ONNX name, alpha, beta); None is ONNX's own default
_ACTIVATIONS: dict[str, tuple[str, float | None, float | None]] = {
    "tanh": ("Tanh", None, None),
    "sigmoid": ("Sigmoid", None, None),
    "relu": ("Relu", None, None),
    "linear": ("Affine", 1.0, 0.0),
    "hard_sigmoid": ("HardSigmoid", 1 / 6, 0.5),
    "softsign": ("Softsign", None, None),
    "softplus": ("Softplus", None, None),
}

# cell of Keras -> (ONNX operator, gates of ONNX as positions in Keras's kernel)
_CELLS = {"LSTMCell": ("LSTM", (0, 3, 1, 2)), "GRUCell": ("GRU", (0, 1, 2)), "SimpleRNNCell": ("RNN", (0,))}


@dataclass(frozen=True, slots=True)
class _Weights:
    """A cell's weights as the ONNX operator takes them, for one direction."""

    operator: str
    kernel: Array
    """`(1, gates * units, inputs)`"""
    recurrent: Array
    """`(1, gates * units, units)`"""
    bias: Array
    """`(1, 2 * gates * units)`: of the inputs, then of the state"""
    attributes: dict[str, Any]
    units: int


def lower(layer: Any, markers: Markers) -> Call | None:
    """The fused form of a recurrent layer, or None where a cell or an activation has none."""
    cells = [_read(cell) for cell in cells_of(layer)]
    weights = [one for one in cells if one is not None]
    if len(weights) < len(cells):
        markers.notes.append(f"{layer.name}: kept as a loop, since its cell has no fused form")
        return None
    markers.notes += [f"{layer.name}: one ONNX {one.operator} node" for one in weights]

    def run(sequences: Any, states: list[States], mask: Any, whole: bool) -> tuple[Any, list[States]]:
        return _run(weights, markers, sequences, states, mask, whole=whole)

    return call_with(layer, run)


def _run(
    weights: Sequence[_Weights], markers: Markers, sequences: Any, states: Sequence[States], mask: Any, *, whole: bool
) -> tuple[Any, list[States]]:
    """The outputs of all steps or of the last one, and the last states, around one marker for each cell."""
    import tensorflow as tf

    counts = None
    if mask is not None:
        order, positions, counts = _compaction(mask)
        sequences = tf.gather(sequences, order, batch_dims=1)
    last = []
    for one, given in zip(weights, states, strict=True):
        sequences, final = _emit(one, markers, sequences, given, counts)
        if counts is not None and given:
            empty = tf.equal(counts, 0)[:, tf.newaxis]
            final = [tf.where(empty, first, state) for first, state in zip(given, final, strict=True)]
        last.append(final)
    if not whole:
        return last[-1][0], last
    return (sequences if mask is None else _spread(sequences, positions)), last


def _compaction(mask: Any) -> tuple[Any, Any, Any]:
    """For a mask `(batch, steps)`: which step comes where, which one each step ends up behind, and how many count."""
    import tensorflow as tf

    length = tf.shape(mask)[1]
    steps = tf.range(length)[tf.newaxis, :]
    keys = tf.where(mask, steps, steps + length)  # unique, so that any sort keeps the order
    order = tf.math.top_k(-keys, k=length).indices
    positions = tf.cumsum(tf.cast(mask, tf.int32), axis=1) - 1
    return order, positions, tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)


def _spread(steps: Any, positions: Any) -> Any:
    """Outputs at their own steps again; a masked step repeats the last one that counts, or is zero."""
    import tensorflow as tf

    spread = tf.gather(steps, tf.maximum(positions, 0), batch_dims=1)
    return tf.where((positions >= 0)[:, :, tf.newaxis], spread, tf.zeros_like(spread))


def _emit(
    weights: _Weights, markers: Markers, sequences: Any, states: Sequence[Any], counts: Any
) -> tuple[Any, list[Any]]:
    """Put the marker into the graph: outputs of all steps `(batch, steps, units)`, and the last states."""
    import tensorflow as tf

    batch, length = sequences.shape[0], sequences.shape[1]
    arrays = [tf.constant(array) for array in (weights.kernel, weights.recurrent, weights.bias)]
    tensors = [sequences, *arrays, *([] if counts is None else [counts]), *states]
    state_count = 2 if weights.operator == "LSTM" else 1
    shapes: list[tuple[int | None, ...]] = [(batch, length, weights.units), *[(batch, weights.units)] * state_count]
    outputs = markers.emit(
        tensors, shapes, sequences.dtype, _write,
        operator=weights.operator, attributes={"hidden_size": weights.units, **weights.attributes},
        counted=counts is not None,
    )  # fmt: skip
    return outputs[0], outputs[1:]


def _write(graph: GraphWriter, operator: str, attributes: dict[str, Any], *, counted: bool) -> None:
    """Write: time first, the operator, and batch first again."""
    sequences, kernel, recurrent, bias, *rest = graph.inputs
    counts = rest.pop(0) if counted else ""
    first = graph.constant("first", np.array([0], np.int64))
    second = graph.constant("second", np.array([1], np.int64))
    states = [graph.node("Unsqueeze", [state, first])[0] for state in rest]
    inputs = [
        graph.node("Transpose", [sequences], perm=[1, 0, 2])[0],
        kernel,
        recurrent,
        bias,
        counts,
        *states,
    ]
    while inputs[-1] == "":
        inputs.pop()
    steps, *last = graph.node(operator, inputs, len(graph.outputs), **attributes)
    flat = graph.node("Squeeze", [steps, second])[0]
    graph.node("Transpose", [flat], [graph.outputs[0]], perm=[1, 0, 2])
    for state, output in zip(last, graph.outputs[1:], strict=True):
        graph.node("Squeeze", [state, first], [output])


def _read(cell: Any) -> _Weights | None:
    """The weights of a cell of Keras, or None where ONNX has no operator or activation for it."""
    kind = _CELLS.get(type(cell).__name__)
    if kind is None or not type(cell).__module__.startswith("keras."):
        return None
    operator, gates = kind
    activations = _activations(cell, operator)
    if activations is None:
        return None
    units = cell.units
    attributes: dict[str, Any] = dict(activations)
    input_bias, state_bias = _biases(cell, len(gates) * units)
    if operator == "GRU":
        attributes["linear_before_reset"] = int(cell.reset_after)
    return _Weights(
        operator,
        _gated(cell.kernel.numpy(), gates, units).T[np.newaxis],
        _gated(cell.recurrent_kernel.numpy(), gates, units).T[np.newaxis],
        np.concatenate([_gated(input_bias, gates, units), _gated(state_bias, gates, units)])[np.newaxis],
        attributes,
        units,
    )


def _gated(values: Array, gates: Sequence[int], units: int) -> Array:
    """Values whose last axis holds one block of `units` a gate, with the blocks in another order; float32."""
    blocks = [values[..., gate * units : (gate + 1) * units] for gate in gates]
    return np.ascontiguousarray(np.concatenate(blocks, axis=-1), dtype=np.float32)


def _biases(cell: Any, size: int) -> tuple[Array, Array]:
    """The bias of the inputs and that of the state; zero where the cell has none."""
    nothing = np.zeros(size, np.float32)
    if not cell.use_bias:
        return nothing, nothing
    bias = cell.bias.numpy()
    return (bias[0], bias[1]) if bias.ndim == 2 else (bias, nothing)


def _activations(cell: Any, operator: str) -> dict[str, Any] | None:
    """The operator's attributes for the cell's activations, or None where ONNX lacks one."""
    own = getattr(cell.activation, "__name__", "")
    gate = getattr(getattr(cell, "recurrent_activation", None), "__name__", "")
    wanted = {"LSTM": (gate, own, own), "GRU": (gate, own), "RNN": (own,)}[operator]
    if any(name not in _ACTIVATIONS for name in wanted):
        return None
    found = [_ACTIVATIONS[name] for name in wanted]
    attributes: dict[str, Any] = {"activations": [name for name, _, _ in found]}
    if any(alpha is not None for _, alpha, _ in found):
        attributes["activation_alpha"] = [alpha or 0.0 for _, alpha, _ in found]
        attributes["activation_beta"] = [beta or 0.0 for _, _, beta in found]
    return attributes
