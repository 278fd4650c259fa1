"""The parts of a file that can be quantized or kept in float one by one, under the names of the Keras layers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """What one layer became in a file."""

    name: str
    """The Keras layer's; the file's own name of the operator where no layer's is in it."""
    nodes: tuple[str, ...]
    """ONNX: names of nodes. TFLite: names of the first output tensor of each operator."""
    operators: tuple[str, ...]
    """The kinds of its operators, in the order of `nodes`."""


def parts_of(file_format: str, data: bytes, layers: Sequence[str]) -> tuple[Part, ...]:
    """Group the operators of a float32 file by layer.

    Args:
        file_format: `"onnx"` or `"tflite"`.
        data: The file.
        layers: Names of the model's layers.

    Returns:
        The parts in the order in which they first run.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for node, operator in _READERS[file_format](data):
        groups.setdefault(_layer(node, layers) or node, []).append((node, operator))
    return tuple(
        Part(name, tuple(node for node, _ in members), tuple(kind for _, kind in members))
        for name, members in groups.items()
    )


def _layer(node: str, layers: Sequence[str]) -> str | None:
    """The layer that a node's name holds as one of its segments; the last one, which is the innermost."""
    segments = {segment for name in node.split(";") for segment in name.split("/")}
    return next((layer for layer in reversed(layers) if layer in segments), None)


def _onnx(data: bytes) -> Iterable[tuple[str, str]]:
    import onnx

    for node in onnx.load_from_string(data).graph.node:
        yield node.name or node.output[0], node.op_type


def _tflite(data: bytes) -> Iterable[tuple[str, str]]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    graph = model.subgraphs[0]
    for operator in graph.operators if graph.operators is not None else ():
        code = model.operatorCodes[operator.opcodeIndex]
        yield (
            graph.tensors[operator.outputs[0]].name.decode(),
            codes[max(code.builtinCode, code.deprecatedBuiltinCode)],
        )


_READERS: dict[str, Callable[[bytes], Iterable[tuple[str, str]]]] = {"onnx": _onnx, "tflite": _tflite}
