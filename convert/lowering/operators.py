"""What stands in a traced graph and the ONNX exporter does not know, written as ONNX nodes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from edgepack.convert.lowering.base import GraphWriter, Marker, load


def handlers(markers: Mapping[str, Marker]) -> dict[str, tuple[Any, list[Any]]]:
    """What tf2onnx takes as `custom_op_handlers`: for markers by the token of their node, and for operators."""

    def write_marker(context: Any, node: Any, name: str, arguments: Any) -> None:
        marker = markers[node.get_attr("token").s.decode()]
        _replace(context, node, name, arguments, writer=partial(load(marker.writer), **marker.options))

    table = dict.fromkeys(("PyFunc", "PyFuncStateless", "EagerPyFunc"), write_marker)
    table |= {operator: partial(_replace, writer=writer) for operator, writer in _WRITERS.items()}
    return {operator: (handler, []) for operator, handler in table.items()}


def _replace(context: Any, node: Any, name: str, _arguments: Any, *, writer: Callable[[GraphWriter], None]) -> None:
    """Let `writer` write the nodes that take the place of one; what is known of its outputs stays known."""
    inputs, outputs = list(node.input), list(node.output)
    shapes = [context.get_shape(output) for output in outputs]
    dtypes = [context.get_dtype(output) for output in outputs]
    context.remove_node(node.name)
    writer(GraphWriter(context, name, inputs, outputs))
    for output, shape, dtype in zip(outputs, shapes, dtypes, strict=True):
        context.set_shape(output, shape)
        context.set_dtype(output, dtype)


def _erfc(graph: GraphWriter) -> None:
    """`erfc(x) = 1 - erf(x)`, which the exact gelu is made of."""
    graph.node("Sub", [_one(graph), *graph.node("Erf", graph.inputs)], graph.outputs)


def _expm1(graph: GraphWriter) -> None:
    """`expm1(x) = exp(x) - 1`, which celu is made of."""
    graph.node("Sub", [*graph.node("Exp", graph.inputs), _one(graph)], graph.outputs)


def _one(graph: GraphWriter) -> str:
    return graph.constant("one", np.array(1, np.float32))


# operator of TensorFlow -> what writes it
_WRITERS = {"Erfc": _erfc, "Expm1": _expm1}
