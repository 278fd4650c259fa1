"""What firmware must know of a TFLite file: inputs, outputs, operators, and room for faster kernels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from edgepack.convert import tflite_model
from edgepack.convert.micro.array import Port
from edgepack.runtime.engines.tflite_file import reason_to_refuse
from edgepack.runtime.errors import ModelError

Shape = Sequence[int]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file says of itself."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: tuple[str, ...]
    """Kinds, each once, in the order in which they first stand there."""
    reserve_bytes: int

    @property
    def rows(self) -> int:
        """How many samples it takes at once."""
        return next((port.shape[0] for port in self.inputs[:1] if port.shape), 1)


def read(data: bytes) -> Facts:
    """Read a TFLite file.

    Raises:
        ModelError: It is damaged, or holds no graph.
    """
    if reason := reason_to_refuse(data):
        raise ModelError(f"the TFLite file cannot be read: {reason}")
    model, types = tflite_model.read(data), tflite_model.dtypes()
    every = [(_kind(model, one, kind), one, graph) for graph, one, kind in tflite_model.operators(model)]
    graph = model.subgraphs[0]
    named = _signature_names(model)
    worth = {
        int(operator.outputs[0]): graph.tensors[operator.inputs[0]]
        for kind, operator, each in every
        if each is graph and kind == "DEQUANTIZE"
    }

    def port(index: int) -> Port:
        tensor = graph.tensors[index]
        scale, zero = _quantization(tensor)
        step = scale if scale is not None else _quantization(worth[index])[0] if index in worth else None
        name = named.get(index, (tensor.name or b"").decode(errors="replace"))
        return Port(name, types[tensor.type], tuple(map(int, _list(tensor.shape))), scale, zero, step)

    return Facts(
        tuple(port(int(index)) for index in _list(graph.inputs)),
        tuple(port(int(index)) for index in _list(graph.outputs)),
        tuple(dict.fromkeys(kind for kind, _, _ in every)),
        _reserve(every),
    )


def _kind(model: Any, operator: Any, kind: str) -> str:
    """The kind of an operator, with the name that a custom one goes by."""
    code = model.operatorCodes[operator.opcodeIndex]
    return f"{kind} {code.customCode.decode(errors='replace')}" if kind == "CUSTOM" and code.customCode else kind


def _list(values: Any) -> Any:
    """A vector of the schema, which is None where it is empty."""
    return () if values is None else values


def _signature_names(model: Any) -> dict[int, str]:
    """Names that the first signature gives to tensors of the first graph, by their index."""
    signatures = [one for one in _list(model.signatureDefs) if one.subgraphIndex == 0]
    maps = (entry for one in signatures[:1] for entry in (*_list(one.inputs), *_list(one.outputs)))
    return {int(entry.tensorIndex): entry.name.decode(errors="replace") for entry in maps}


def _quantization(tensor: Any) -> tuple[float | None, int]:
    scales: Any = _list(tensor.quantization.scale) if tensor.quantization else ()
    if len(scales) != 1:
        return None, 0
    return float(scales[0]), int(_list(tensor.quantization.zeroPoint)[0])


# The working memory of CMSIS-NN's int8 kernels (Source/*/*get_buffer_size*.c of 2023 to 2026: the larger of the
# Cortex-M4/M7/M33 and the Cortex-M55/M85 versions), by the shape of the weights, of pooling by that of the output.
_WORKING: dict[str, Callable[[Shape], int]] = {
    "CONV_2D": lambda shape: 4 * _up(shape[1] * shape[2] * shape[3], 16),  # four columns of a patch
    "DEPTHWISE_CONV_2D": lambda shape: 4 * shape[1] * shape[2] * max(124, shape[3]) + 4,  # blocks of 124 channels
    "TRANSPOSE_CONV": lambda shape: 4 * _up(shape[1] * shape[2] * shape[3], 16) + prod(shape),  # and the filter turned
    "AVERAGE_POOL_2D": lambda shape: 4 * shape[-1],
}
_KEPT: dict[str, Callable[[Shape], int]] = {
    "FULLY_CONNECTED": lambda shape: _up(4 * shape[0], 16)
}  # sums of the weights, for each layer of its own


def _reserve(every: list[tuple[str, Any, Any]]) -> int:
    """Bytes to add to an arena that was measured with reference kernels, which need none of this."""
    working = max(_needs(every, _WORKING), default=0)
    return _up(working + sum(_needs(every, _KEPT)), 16)


def _needs(every: list[tuple[str, Any, Any]], table: dict[str, Callable[[Shape], int]]) -> Iterator[int]:
    for kind, operator, graph in every:
        if kind in table:
            tensor = graph.tensors[operator.outputs[0] if kind == "AVERAGE_POOL_2D" else operator.inputs[1]]
            if tensor.quantization is not None and tensor.quantization.scale is not None:
                yield table[kind]([int(size) for size in _list(tensor.shape)])


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
