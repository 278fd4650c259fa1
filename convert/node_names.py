"""Names of the nodes of an ONNX model: each has one of its own, in the scope of the layer that it belongs to.

The exporter leaves nodes without a layer's name, and ONNX Runtime's optimizer without any; a convolution that took in a
normalization is called after that. Quantizers keep nodes in float by name, and whoever reads the file later has nothing
but the names to tell its layers.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgepack.convert.operators import onnx_operators
from edgepack.convert.parts import layers_of
from edgepack.convert.scopes import scope_of

_HEAVY = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_HEAVY_TENSORFLOW = {
    "BatchMatMulV2", "Conv2D", "Conv2DBackpropInput", "Conv3D", "Conv3DBackpropInputV2", "DepthwiseConv2dNative",
    "Einsum", "MatMul",
}  # fmt: skip
_FURTHEST = 8  # operators between a convolution and what it took in: bias, normalization, shapes


def name_nodes(model: Any, layers: Sequence[str], root: str, graph: Any) -> None:
    """Give every node a name of its own, `<root>/<layer>/…` where its layer can be told.

    Args:
        model: An `onnx.ModelProto`, changed in place; tensors keep their names.
        layers: Paths of the model's layers, as `scopes.paths` gives them.
        root: The scope of the whole model.
        graph: The frozen graph of TensorFlow that it was made of.
    """
    nodes = list(_nodes(model.graph))
    fed = _fed(graph)
    heavy = {node.name: found for node in nodes if node.op_type in _HEAVY and (found := _heavy(fed, node.name))}
    for node in nodes:
        whole, mark, number = node.name.rpartition("__")  # what the exporter puts around a node is called after it
        node.name = heavy.get(node.name) or heavy.get(whole, whole) + mark + number
    homes = layers_of(tuple(onnx_operators(model.graph)), layers)
    taken: set[str] = set()
    for node, home in zip(nodes, homes, strict=True):
        name = node.name or node.op_type
        scope = f"{root}/{scope_of(home)}/" if home else ""
        if not name.startswith(scope):
            name = scope + name.rpartition("/")[2]
        node.name = _unique(name, taken)


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes in the order of `onnx_operators`."""
    inner = []
    for node in graph.node:
        yield node
        inner += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    for body in inner:
        yield from _nodes(body)


def _fed(graph: Any) -> dict[str, Any]:
    """The operators that depend on what the model is given, by name; all others are constants."""
    found: dict[str, Any] = {}
    for operation in graph.get_operations():  # each behind those it reads
        if operation.type == "Placeholder" or any(tensor.op.name in found for tensor in operation.inputs):
            found[operation.name] = operation
    return found


def _heavy(fed: Mapping[str, Any], name: str) -> str | None:
    """What the exporter called after a normalization, by the name of the operator before it that holds the weights."""
    operation = fed.get(name.partition(":")[0])
    for _ in range(_FURTHEST):
        if operation is None or operation.type in _HEAVY_TENSORFLOW:
            break
        before = {tensor.op.name for tensor in operation.inputs} & fed.keys()
        operation = fed[before.pop()] if len(before) == 1 else None
    return str(operation.name) if operation is not None and operation.type in _HEAVY_TENSORFLOW else None


def _unique(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found
