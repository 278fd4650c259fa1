"""Tables that rows are picked from, as of an embedding, in few bits: what is picked is unfolded, not the table.

Google's quantizer leaves the table of a `GATHER` as it is unless activations are quantized too. TensorFlow's converter
stores it in eight bits; this pass does the same, and stores it in four where that is asked.
"""

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np

from edgepack.convert import tflite_model
from edgepack.runtime.tensor import Array

_FEWEST = 1024  # elements; below, unfolding takes longer than the memory is worth
# operator -> bits that its kernel takes, with one scale for the whole table -> the version of it that does
_PICKS = {"GATHER": {8: 2, 4: 7}, "GATHER_ND": {8: 2}}
_UNFOLDS = {8: 2, 4: 6}  # bits -> the version of DEQUANTIZE that takes them

_Pick = tuple[Any, Any, str]  # a graph, its operator, and the kind of that


def store_tables(data: bytes, bits: int, kept: Collection[str] = ()) -> bytes:
    """Store the float32 tables of a TFLite file in int8 or int4.

    Args:
        data: The file.
        bits: 8 or 4.
        kept: Kinds of operators, and names of operators, whose tables stay as they are.

    Returns:
        The file; the same bytes where there is nothing to store.
    """
    model = tflite_model.read(data)
    users: Counter[int] = Counter()
    picks = []
    for graph, operator, kind in tflite_model.operators(model):
        if kind in _PICKS and not {kind, tflite_model.name(graph, operator)} & set(kept):
            picks.append((graph, operator, kind))
        else:
            users.update(int(graph.tensors[index].buffer) for index in operator.inputs if index >= 0)
    found = [pick for pick in picks if _is_table(model, _table(pick), users)]
    sizes: Counter[int] = Counter()  # of a table that several pick from, what all of them take
    for pick in found:
        sizes[id(_table(pick))] = max(sizes[id(_table(pick))], bits if bits in _PICKS[pick[2]] else 8)
    for pick in found:
        _unfold_after(model, pick, sizes[id(_table(pick))])
    return tflite_model.write(model, len(data)) if found else data


def _table(pick: _Pick) -> Any:
    graph, operator, _ = pick
    return graph.tensors[operator.inputs[0]]


def _is_table(model: Any, tensor: Any, users: Counter[int]) -> bool:
    """Whether a tensor is a large float32 constant that nothing else reads."""
    stored = tflite_model.is_constant(model, tensor) and not users[int(tensor.buffer)]
    return stored and int(np.prod(tensor.shape)) >= _FEWEST and tflite_model.dtypes()[tensor.type] == "float32"


def _unfold_after(model: Any, pick: _Pick, bits: int) -> None:
    """Store the table of one operator, and put a `DEQUANTIZE` behind it that gives what it gave."""
    from ai_edge_litert import schema_py_generated as schema

    graph, operator, kind = pick
    table = _table(pick)
    _store(model, table, bits)
    picked = schema.TensorT()
    given = graph.tensors[operator.outputs[0]]
    picked.name = given.name + b"_picked"
    picked.shape, picked.shapeSignature = given.shape, given.shapeSignature
    picked.type, picked.quantization = table.type, table.quantization
    graph.tensors.append(picked)
    code = model.operatorCodes[operator.opcodeIndex]
    code.version = max(code.version, _PICKS[kind][bits])
    unfold = schema.OperatorT()
    unfold.opcodeIndex = tflite_model.add_code(model, schema.BuiltinOperator.DEQUANTIZE, _UNFOLDS[bits])
    unfold.builtinOptionsType, unfold.builtinOptions = (
        schema.BuiltinOptions.DequantizeOptions,
        schema.DequantizeOptionsT(),
    )
    unfold.inputs, unfold.outputs = [len(graph.tensors) - 1], [operator.outputs[0]]
    operator.outputs = [len(graph.tensors) - 1]
    graph.operators.insert(graph.operators.index(operator) + 1, unfold)


def _store(model: Any, table: Any, bits: int) -> None:
    """Replace a table by whole numbers around zero, with one scale."""
    from ai_edge_litert import schema_py_generated as schema

    kind = {8: schema.TensorType.INT8, 4: schema.TensorType.INT4}[bits]
    if table.type == kind:  # two operators pick from it
        return
    buffer = model.buffers[table.buffer]
    values = tflite_model.values(model, table, np.float32).ravel()
    most = 2 ** (bits - 1) - 1
    scale = np.float32(max(float(np.abs(values).max()), np.finfo(np.float32).tiny * most) / most)
    whole = np.clip(np.rint(values / scale), -most, most).astype(np.int8)
    shared = any(
        other is not table and other.buffer == table.buffer for graph in model.subgraphs for other in graph.tensors
    )
    if shared:
        table.buffer = len(model.buffers)
        model.buffers.append(buffer := schema.BufferT())
    buffer.data = whole.view(np.uint8) if bits == 8 else _packed(whole)
    table.type = kind
    table.quantization = schema.QuantizationParametersT()
    table.quantization.scale, table.quantization.zeroPoint = [scale], [0]


def _packed(whole: Array) -> Array:
    """Two numbers of four bits a byte, the first one in the lower half."""
    halves = np.append(whole, np.zeros(len(whole) % 2, np.int8)).view(np.uint8).reshape(-1, 2) & 15
    return halves[:, 0] | halves[:, 1] << 4
