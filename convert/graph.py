"""The graph of calls a functional or sequential model is made of."""

from collections.abc import Callable
from typing import Any


def opened(model: Any, concerns: Callable[[Any], bool]) -> Any:
    """The graph of a model, with nested models opened where they hold a layer that `concerns` the caller.

    Returns:
        A `keras.Function` or the model itself; its layers are those of the model. None for a model that is a class.
    """
    import keras

    def holds(operation: Any) -> bool:
        return _functional(operation) is not None and any(
            concerns(layer) for layer in operation._flatten_layers(include_self=False)
        )

    def expanded(operation: Any) -> Callable[..., Any]:
        if not holds(operation):
            call: Callable[..., Any] = operation
            return call
        return lambda inputs, **_: _functional(operation)._run_through_graph(inputs, operation_fn=expanded)

    graph = _functional(model)
    if graph is None or not any(holds(operation) for operation in graph.operations):
        return graph
    inputs = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name) for tensor in graph.inputs]
    return keras.Function(inputs, graph._run_through_graph(inputs, operation_fn=expanded))


def ordered(graph: Any) -> list[Any]:
    """The calls of a graph, each behind those it needs; inputs are none."""
    depths = sorted(graph._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in graph._nodes_by_depth[depth] if not node.is_input]


def _functional(operation: Any) -> Any:
    """The graph inside a layer, where it is a model that has one."""
    found = getattr(operation, "_functional", None) or operation
    return found if hasattr(found, "_run_through_graph") else None
