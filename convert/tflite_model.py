"""A TFLite file as the objects of its schema: read whole, changed, and written as engines read it best."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import msgspec
import numpy as np

from edgepack.runtime.engines.tflite_file import METADATA
from edgepack.runtime.tensor import Array


def read(data: bytes) -> Any:
    """The file as a `ModelT` of the schema, with every buffer in it: those too that lie behind the flatbuffer."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for buffer in model.buffers:
        if buffer.data is None and buffer.offset > 1:
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0
    for graph in model.subgraphs:
        graph.operators = graph.operators if graph.operators is not None else []
    return model


def write(model: Any, size_bytes: int) -> bytes:
    """The bytes of a `ModelT`: its buffers within the flatbuffer, on 16 bytes each.

    Args:
        model: What to write.
        size_bytes: About how many there will be.
    """
    import flatbuffers

    class Aligned(flatbuffers.Builder):  # type: ignore[misc]
        """Keeps weights on 16 bytes, as the schema's force_align asks and the object API forgets."""

        def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:  # noqa: N802, N803
            return super().StartVector(elemSize, numElems, max(alignment, 16) if elemSize == 1 else alignment)

    builder = Aligned(size_bytes + 4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def operators(model: Any) -> Iterator[tuple[Any, Any, str]]:
    """Every operator with its graph and its kind, as TFLite calls that."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            yield graph, operator, kind(model, operator)


def kind(model: Any, operator: Any) -> str:
    """What TFLite calls the kind of an operator: `CONV_2D`."""
    code = model.operatorCodes[operator.opcodeIndex]
    return kinds()[max(code.builtinCode, code.deprecatedBuiltinCode)]


def name(graph: Any, operator: Any) -> str:
    """What an operator is known by: the names of its outputs, with `;` between them."""
    return ";".join(graph.tensors[index].name.decode() for index in operator.outputs)


def is_constant(model: Any, tensor: Any) -> bool:
    """Whether the file holds the tensor's values."""
    return model.buffers[tensor.buffer].data is not None


def values(model: Any, tensor: Any, dtype: type) -> Array:
    """What the file holds of a constant tensor, in its shape; the array cannot be written to."""
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype).reshape(tensor.shape)


@cache
def kinds() -> dict[int, str]:
    """The names of operators by their code."""
    from ai_edge_litert import schema_py_generated as schema

    return _names(schema.BuiltinOperator)


@cache
def dtypes() -> dict[int, str]:
    """The names of element types by their code, as numpy has them."""
    from ai_edge_litert import schema_py_generated as schema

    return {code: found.lower() for code, found in _names(schema.TensorType).items()}


def add_code(model: Any, code: int, version: int = 1) -> int:
    """The index of an operator's code, which is added where the file has none yet."""
    from ai_edge_litert import schema_py_generated as schema

    for index, known in enumerate(model.operatorCodes):
        if max(known.builtinCode, known.deprecatedBuiltinCode) == code and known.version >= version:
            return index
    entry = schema.OperatorCodeT()
    entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), version
    model.operatorCodes.append(entry)
    return len(model.operatorCodes) - 1


def describe(model: Any, entries: Mapping[str, str]) -> None:
    """Say something of the file in edgepack's own metadata entry, beside what is said there already: text by name."""
    from ai_edge_litert import schema_py_generated as schema

    model.metadata = [*(model.metadata or ())]
    entry = next((one for one in model.metadata if one.name.decode() == METADATA), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA.encode(), len(model.buffers)
        model.metadata.append(entry)
        model.buffers.append(schema.BufferT())
    buffer = model.buffers[entry.buffer]
    said = {} if buffer.data is None else msgspec.json.decode(bytes(buffer.data), type=dict[str, str])
    buffer.data = np.frombuffer(msgspec.json.encode({**said, **entries}), np.uint8)


def _names(enumeration: type) -> dict[int, str]:
    return {value: found for found, value in vars(enumeration).items() if isinstance(value, int)}
