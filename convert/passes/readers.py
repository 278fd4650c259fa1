"""Who reads each constant of an ONNX graph, and along which of its axes the output channels lie."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reader:
    """One node that takes a constant."""

    node: Any
    position: int
    """Which of the node's inputs it is."""


def readers_of(graph: Any) -> dict[str, list[Reader]]:
    """The nodes that take each tensor, by its name, those inside loops and branches among them."""
    found: dict[str, list[Reader]] = {}
    for node in nodes_of(graph):
        for position, name in enumerate(node.input):
            if name:
                found.setdefault(name, []).append(Reader(node, position))
    return found


def nodes_of(graph: Any) -> Iterator[Any]:
    """Every node of a graph, and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from nodes_of(inner)


def name_of(node: Any) -> str:
    """What a node is called: its name, or that of its first output where it has none."""
    return str(node.name or node.output[0])


def attribute_of(node: Any, name: str, default: int = 0) -> int:
    """An attribute that is a whole number."""
    return next((int(one.i) for one in node.attribute if one.name == name), default)


def channels_of(readers: list[Reader], rank: int) -> tuple[int, ...]:
    """The axes of a constant along which its numbers belong to different outputs, ascending.

    Args:
        readers: The nodes that take it; the first one decides.
        rank: How many axes it has.
    """
    first = readers[0] if readers else None
    axes = _CHANNELS.get(first.node.op_type, _first_axis)(first, rank) if first else (0,)
    return tuple(sorted(axis % rank for axis in axes))


def _first_axis(_reader: Reader, _rank: int) -> tuple[int, ...]:
    return (0,)


def _matrix(reader: Reader, rank: int) -> tuple[int, ...]:
    """Matrices of a product: sums run along the other axis of the last two."""
    return (-1,) if reader.position == 1 or rank < 2 else (-2,)


def _gemm(reader: Reader, _rank: int) -> tuple[int, ...]:
    transposed = attribute_of(reader.node, "transA" if reader.position == 0 else "transB")
    return (1 - transposed,) if reader.position == 1 else (transposed,)


def _table(reader: Reader, _rank: int) -> tuple[int, ...]:
    """Each row that can be taken out of a table."""
    return (attribute_of(reader.node, "axis"),)


def _gates(_reader: Reader, rank: int) -> tuple[int, ...]:
    """Weights `(directions, gates * units, inputs)` of a recurrent node."""
    return (0, 1) if rank == 3 else (0,)


# operator -> the axes of its weights that are output channels
_CHANNELS: Mapping[str, Callable[[Reader, int], tuple[int, ...]]] = {
    "Conv": _first_axis,
    "ConvTranspose": lambda _reader, _rank: (1,),
    "MatMul": _matrix,
    "Gemm": _gemm,
    "Gather": _table,
    "LSTM": _gates,
    "GRU": _gates,
    "RNN": _gates,
}
