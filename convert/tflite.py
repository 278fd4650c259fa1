"""Frozen Keras model to TFLite bytes, in any precision, with the model's own names."""

import copy
import io
import itertools
from typing import Any

import numpy as np

from edgepack.convert import tflite_model
from edgepack.convert.calibrate import Stream
from edgepack.convert.options import Options
from edgepack.convert.orders import TFLiteOrder
from edgepack.convert.precisions import Precision
from edgepack.convert.process import Converter
from edgepack.convert.source import Frozen, Source
from edgepack.runtime.about import About
from edgepack.runtime.tensor import TensorSpec

_SIGNATURE = "serving_default"
_MOST_PIECES, _MOST_BYTES = 300, 2**27  # of calibration samples that the converter is given


def export(
    converter: Converter,
    source: Source,
    frozen: Frozen,
    precision: Precision,
    about: About,
    *,
    options: Options | None = None,
    calibration: Stream | None = None,
) -> bytes:
    """Write one TFLite file.

    Args:
        converter: Where TensorFlow's converter runs.
        source: Whose names the file gets.
        frozen: The model with constant weights.
        precision: How it stores numbers.
        about: What the file says of itself.
        options: What the precision leaves open, as far as the converter takes it.
        calibration: Real samples, of which the first few hundred are taken; needed where ranges are calibrated.

    Raises:
        ConvertError: The converter refuses the model, or crashed on it.
    """
    options = options or Options()
    files = {"graph.pb": frozen.function.graph.as_graph_def().SerializeToString()}
    if precision.needs_calibration and calibration:
        files["calibration.npz"] = _calibration(calibration, source, frozen.function.inputs[0].shape[0] or 1)
    order = TFLiteOrder(
        frozen.inputs, frozen.outputs, precision.name, options.io, per_channel=options.granularity == "per-channel"
    )
    return _finish(converter.ask(order, files), source, frozen, about)


def _calibration(stream: Stream, source: Source, rows: int) -> bytes:
    """The first samples, as the converter's process reads them: arrays `(pieces, rows, …)`."""
    pieces = []
    size_bytes = 0
    for piece in itertools.islice(stream.batches(rows), _MOST_PIECES):
        pieces.append(piece)
        size_bytes += sum(array.nbytes for array in piece.values())
        if size_bytes > _MOST_BYTES:
            break
    arrays: dict[str, Any] = {
        str(index): np.stack([piece[spec.name] for piece in pieces]) for index, spec in enumerate(source.inputs)
    }
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def packed(data: bytes) -> bytes:
    """A file as engines and microcontrollers read it best: its buffers within it, weights on 16 bytes."""
    from ai_edge_litert import schema_py_generated as schema

    model = tflite_model.read(data)
    _tell_old_readers(schema, model)
    return tflite_model.write(model, len(data))


_LAST_OLD_CODE = 127


def _tell_old_readers(schema: Any, model: Any) -> None:
    """Give operators that a quantizer put in the code and the empty options that OpenVINO asks for."""
    for code in model.operatorCodes:
        code.deprecatedBuiltinCode = max(code.deprecatedBuiltinCode, min(code.builtinCode, _LAST_OLD_CODE))
    kinds = {
        schema.BuiltinOperator.QUANTIZE: (schema.BuiltinOptions.QuantizeOptions, schema.QuantizeOptionsT),
        schema.BuiltinOperator.DEQUANTIZE: (schema.BuiltinOptions.DequantizeOptions, schema.DequantizeOptionsT),
    }
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            kind = kinds.get(max(code.builtinCode, code.deprecatedBuiltinCode))
            if kind and operator.builtinOptions is None:
                operator.builtinOptionsType, operator.builtinOptions = kind[0], kind[1]()


def _finish(data: bytes, source: Source, frozen: Frozen, about: About) -> bytes:
    """Give a file the model's names: on its tensors and in one signature, in the model's order; and its metadata."""
    from ai_edge_litert import schema_py_generated as schema

    model = tflite_model.read(data)
    graph = model.subgraphs[0]
    _part_outputs(schema, model, graph)
    _fix_rows(graph)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = _SIGNATURE.encode(), 0
    signature.inputs = _name_tensors(schema, graph, graph.inputs, source.inputs, frozen.inputs)
    signature.outputs = _name_tensors(schema, graph, graph.outputs, source.outputs, frozen.outputs)
    model.signatureDefs = [signature]
    model.description = f"{about.name}, written by edgepack {about.edgepack}".encode()
    tflite_model.describe(model, about.entries())
    return tflite_model.write(model, len(data))


def _part_outputs(schema: Any, model: Any, graph: Any) -> None:
    """Give every output a tensor of its own: one that is an input too, or another output, could not have its name.

    The converter folds away whatever leaves values as they are, so that only its file can be mended. The copy is a
    cast to the same type, the one operator that takes every type.
    """
    taken = {int(index) for index in graph.inputs}
    parted = []
    for index in map(int, graph.outputs):
        parted.append(_copied(schema, model, graph, index) if index in taken else index)
        taken.add(index)
    graph.outputs = parted


def _fix_rows(graph: Any) -> None:
    """Let outputs have as many rows as the inputs; the converter loses that where other axes are free."""

    def signature(index: Any) -> list[int]:
        tensor = graph.tensors[index]
        return list(tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature)

    rows = {signature(index)[0] for index in graph.inputs if signature(index)}
    if len(rows) != 1 or -1 in rows:
        return
    for index in graph.outputs:
        shape = signature(index)
        if shape and shape[0] == -1:
            graph.tensors[index].shapeSignature = [*rows, *shape[1:]]


def _copied(schema: Any, model: Any, graph: Any, index: int) -> int:
    """A new tensor that holds what tensor `index` does; returns its index."""
    tensor = copy.copy(graph.tensors[index])
    tensor.name = f"{tensor.name.decode()}_copy_{len(graph.tensors)}".encode()
    tensor.buffer = 0  # it is computed
    graph.tensors.append(tensor)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CAST
    code.version = 1
    model.operatorCodes.append(code)
    cast = schema.OperatorT()
    cast.opcodeIndex = len(model.operatorCodes) - 1
    cast.inputs, cast.outputs = [index], [len(graph.tensors) - 1]
    cast.builtinOptionsType, cast.builtinOptions = schema.BuiltinOptions.CastOptions, schema.CastOptionsT()
    cast.builtinOptions.inDataType = cast.builtinOptions.outDataType = tensor.type
    graph.operators.append(cast)
    return len(graph.tensors) - 1


def _name_tensors(
    schema: Any, graph: Any, indices: Any, specs: tuple[TensorSpec, ...], frozen_names: tuple[str, ...]
) -> list[Any]:
    """Name the tensors after `specs`, found by the names the frozen graph gave them; returns the signature's map."""
    found = {graph.tensors[index].name.decode(): index for index in indices}
    wanted = [name.removesuffix(":0") for name in frozen_names]
    ordered = [found[name] for name in wanted] if set(wanted) == set(found) else list(indices)
    maps = []
    for index, spec in zip(ordered, specs, strict=True):
        graph.tensors[index].name = spec.name.encode()
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = spec.name.encode(), int(index)
        maps.append(entry)
    return maps
