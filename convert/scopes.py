"""Where each layer computes: while a model is traced, what a layer computes is named after the layer's path.

Keras and TensorFlow count the names up from call to call, so that `conv_1` in a graph may be the layer `conv` or the
layer `conv_1`. Here every layer has one scope, `<model>/<path>/`, in which all its calls compute.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.\\/>-]")  # what TensorFlow takes in no name


def paths(model: Any) -> dict[str, list[Any]]:
    """The layers of a model, and the operations between them, by path, in the order of the graph.

    Args:
        model: A Keras model; None, as a SavedModel has it, has no layers.

    Returns:
        Names as Keras has them, those in a nested model or layer behind its own, as `block/conv`. A layer that is
        reached on two ways has the first. What has one path with another is in one list with it.
    """
    found: dict[str, list[Any]] = {}
    if model is not None:
        seen = {id(model)}
        for path, operation in _walk(_unwrapped(model), "", seen):
            found.setdefault(path, []).append(operation)
    return found


@contextlib.contextmanager
def named(model: Any) -> Iterator[None]:
    """Let what each layer computes be named after its path, while the block traces the model."""
    if model is None:
        yield
        return
    root = root_of(model)
    places = [(model, root), (_unwrapped(model), root)]
    places += [(one, f"{root}/{scope_of(path)}") for path, group in paths(model).items() for one in group]
    changed = []
    try:
        for operation, place in places:
            name, function = _scoped(operation, place)
            object.__setattr__(operation, name, function)
            changed.append((operation, name))
        yield
    finally:
        for operation, name in changed:
            operation.__dict__.pop(name, None)  # a model is changed once, under whichever name it was reached


def root_of(model: Any) -> str:
    """The scope of the whole model; what stands in its place for a SavedModel, None."""
    return scope_of(getattr(model, "name", "")).lstrip("_/->\\") or "model"


def scope_of(path: str) -> str:
    """A path as it stands in the names of a graph: without what TensorFlow takes in no name."""
    return _FORBIDDEN.sub("_", path)


def _scoped(operation: Any, place: str) -> tuple[str, Callable[..., Any]]:
    """What an operation computes in, as the attribute to set: layers open a scope, other operations are called."""
    import tensorflow as tf

    if hasattr(operation, "_open_name_scope"):

        def opened() -> Any:
            scope = type(operation)._open_name_scope(operation)
            scope._tf_name_scope = tf.name_scope(_absolute(place))
            return scope

        return "_open_name_scope", opened
    call = operation.call

    def called(*arguments: Any, **named_arguments: Any) -> Any:
        with tf.name_scope(_absolute(place)):
            return call(*arguments, **named_arguments)

    return "call", called


def _absolute(place: str) -> str:
    """The scope of a place, whatever is open: it ends with a slash.

    In the body of a loop it has a segment more: what a layer computes there and around it may not share a name in ONNX.
    """
    import tensorflow as tf

    around = getattr(tf.compat.v1.get_default_graph(), "outer_graph", None)
    return f"{place}/inside/" if hasattr(around, "outer_graph") else f"{place}/"


def _unwrapped(model: Any) -> Any:
    """The model that `calling.with_signature` put into another of the same name; the model itself where it did not."""
    inside = list(_inside(model))
    return inside[0] if len(inside) == 1 and inside[0].name == model.name else model


def _walk(layer: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    for operation in _inside(layer):
        if id(operation) not in seen:
            seen.add(id(operation))
            path = f"{prefix}{operation.name}"
            yield path, operation
            yield from _walk(operation, f"{path}/", seen)


def _inside(layer: Any) -> Iterator[Any]:
    """What a layer is made of: the graph of a functional model first, then the layers it keeps."""
    graph = getattr(layer, "_functional", None) or layer
    flatten = getattr(layer, "_flatten_layers", None)
    kept = flatten(include_self=False, recursive=False) if flatten else ()
    both = {id(one): one for one in (*getattr(graph, "operations", ()), *kept)}
    yield from (one for one in both.values() if type(one).__name__ != "InputLayer" and one is not graph)
