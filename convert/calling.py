"""What a Keras model takes and gives, and how it is called; a class of its own is wrapped so that it tells."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from edgepack.convert.inference import at_inference
from edgepack.quiet import quiet
from edgepack.runtime.errors import ModelError, one_line
from edgepack.runtime.tensor import TensorSpec

_NOT_INPUTS = ("training", "mask", "self")


def with_signature(model: Any, given: Any) -> Any:
    """A functional model that calls `model`, with inputs as given.

    Args:
        model: Any Keras model; its weights are those of the result.
        given: What it is called on, each tensor as something with `shape` and `dtype` (`tf.TensorSpec`, `keras.Input`,
            an array): one, a list, or a dict by name. A dict whose keys are the names of the arguments of
            `call` gives those. None takes the shapes the model was built or called with, as float32.

    Raises:
        ModelError: Nothing is known of the inputs, or the model cannot be called on them.
    """
    import keras

    if given is None:
        given = _recorded(model)
    paths = [path for path, _ in keras.tree.flatten_with_path(given)]
    leaves = [leaf for _, leaf in keras.tree.flatten_with_path(given)]
    names = [_name(path, leaf, _arguments(model)) for path, leaf in zip(paths, leaves, strict=True)]
    # Keras tells operations apart by name, and the model is one of them.
    inputs = [
        _input(leaf, f"{name}_input" if name == model.name else name) for leaf, name in zip(leaves, names, strict=True)
    ]
    structure = keras.tree.pack_sequence_as(given, inputs)
    with quiet():
        return keras.Model(structure, _called(model, structure), name=model.name)


def tensors_of(model: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """What a model that knows its inputs takes and gives, in flat order.

    A tensor in a dict is called after its place there, others after their input or the layer they come from. Element
    types are those the model computes when half precision is left to the files.

    Raises:
        ModelError: A tensor is sparse or ragged.
    """
    graph = getattr(model, "_functional", None) or model
    own = [tensor.name for tensor in model.inputs]
    inputs = _specs(getattr(graph, "_inputs_struct", None), model.inputs, own)
    for tensor, spec in zip(model.inputs, inputs, strict=True):
        _check_dense(spec.name, not (getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False)))
    outputs = _specs(getattr(graph, "_outputs_struct", None), model.outputs, graph.output_names)
    return inputs, as_computed(model, inputs, outputs)


def flat_call(model: Any, tensors: Sequence[Any]) -> list[Any]:
    """Call with tensors in flat order, in the structure the model was made with; the outputs in flat order."""
    import keras

    functional = getattr(model, "_functional", None) or model
    struct = getattr(functional, "_inputs_struct", None)
    packed = list(tensors) if struct is None else keras.tree.pack_sequence_as(struct, list(tensors))
    if isinstance(packed, list) and len(packed) == 1 and struct is None:
        packed = packed[0]
    with at_inference(model):
        return list(keras.tree.flatten(model(packed, training=False)))


def _place(path: tuple[Any, ...]) -> str:
    """The name of a tensor by its place in nested dicts and lists; empty where there is no dict."""
    return "_".join(map(str, path)) if any(isinstance(step, str) for step in path) else ""


def _recorded(model: Any) -> Any:
    """The shapes that the model was built or called with, by argument."""
    import keras

    shapes = dict(getattr(model, "_build_shapes_dict", None) or {})
    if not shapes:
        raise ModelError(
            f"model {model.name!r} does not know its inputs; pass input_signature={{'x': tf.TensorSpec((None, 8))}}, "
            "or call it once on data"
        )
    needed = _arguments(model, required=True)
    if len(needed) > len(shapes):
        raise ModelError(
            f"model {model.name!r} is called on {', '.join(needed)}, but Keras kept the shape of the first alone; pass "
            f"input_signature={{{', '.join(f'{name!r}: …' for name in needed)}}}"
        )
    named = {key.removesuffix("_shape"): _free(value) for key, value in shapes.items()}
    dtype = "float32" if model.input_dtype in {"float16", "bfloat16"} else model.input_dtype
    specs = keras.tree.map_shape_structure(lambda shape: keras.KerasTensor(shape, dtype=dtype), named)
    return next(iter(specs.values())) if len(specs) == 1 else specs


def _free(value: Any) -> Any:
    """Shapes whose first axis is any number of rows."""
    import keras

    return keras.tree.map_shape_structure(lambda shape: (None, *shape[1:]), value)


def _arguments(model: Any, *, required: bool = False) -> list[str]:
    """The names of tensors that the model's `call` takes, or just of those it cannot do without."""
    parameters = inspect.signature(model.call).parameters.values()
    return [
        one.name for one in parameters
        if one.name not in _NOT_INPUTS and one.kind in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}
        and not (required and one.default is not one.empty)
    ]  # fmt: skip


def _name(path: tuple[Any, ...], leaf: Any, arguments: list[str]) -> str:
    """A tensor's name: its place in a dict, else its own, else the argument's."""
    if placed := _place(path):
        return placed
    own = getattr(leaf, "name", None)
    if isinstance(own, str) and not own.startswith("keras_tensor"):
        return own.partition(":")[0]
    first = arguments[0] if arguments else "input"
    return "_".join([first, *map(str, path)])


def _input(leaf: Any, name: str) -> Any:
    import keras

    if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype"):
        raise ModelError(
            f"input_signature has {type(leaf).__name__} for {name!r}; it takes tf.TensorSpec, keras.Input or an array"
        )
    shape = tuple(leaf.shape)
    if not shape:
        raise ModelError(f"input_signature has shape () for {name!r}; the first axis of a tensor is the batch")
    # An array shows its sizes, and no more of the batch than that there is one.
    rows = shape[0] if _declares(leaf) else None
    return keras.Input(batch_shape=(rows, *shape[1:]), dtype=keras.backend.standardize_dtype(leaf.dtype), name=name)


def _declares(leaf: Any) -> bool:
    return not hasattr(leaf, "__array__")


def _called(model: Any, structure: Any) -> Any:
    """The model's outputs, called in the first way that it takes."""
    reasons = []
    for call in _ways(model, structure):
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - a model may raise anything while it is called
            reasons.append(one_line(error, 300) or type(error).__name__)
    if received := re.search("Non-tensor received: (.*)", reasons[0]):
        raise ModelError(
            f"model {model.name!r} gives {received[1]}, which is no tensor, among its outputs; return a dict or list "
            "of tensors"
        )
    raise ModelError(f"model {model.name!r} cannot be called on its input signature: {reasons[0]}")


def _ways(model: Any, structure: Any) -> Iterator[Callable[[], Any]]:
    if isinstance(structure, Mapping) and set(structure) <= set(_arguments(model)):
        yield lambda: model(**structure)
    yield lambda: model(structure)
    if isinstance(structure, (list, tuple)):
        yield lambda: model(*structure)
    if isinstance(structure, Mapping) and len(structure) == 1:
        yield lambda: model(next(iter(structure.values())))


def _specs(structure: Any, tensors: Sequence[Any], names: Sequence[str]) -> tuple[TensorSpec, ...]:
    """Names, shapes and dtypes of tensors: a name is the place in a dict, else the given one."""
    import keras

    if structure is not None:
        paths = [path for path, _ in keras.tree.flatten_with_path(structure)]
        names = [_place(path) or name for path, name in zip(paths, names, strict=True)]
    return tuple(
        TensorSpec(name, tuple(tensor.shape), str(tensor.dtype))
        for name, tensor in zip(_unique(names), tensors, strict=True)
    )


def as_computed(model: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The outputs as a model gives them where it computes in float32, which is not always what its layers say.

    Merges of integers say they give floats, and attention over two axes gives its scores another shape (Keras 3.15).
    """
    import tensorflow as tf

    specs = [tf.TensorSpec(spec.shape, spec.dtype) for spec in inputs]
    try:
        with quiet():
            traced = tf.function(lambda *tensors: flat_call(model, tensors)).get_concrete_function(*specs)
    except Exception:  # noqa: BLE001 - a model that fails when it is called says so when it is converted
        return tuple(outputs)
    given = tf.nest.flatten(traced.structured_outputs)
    return tuple(_given(spec, tensor) for spec, tensor in zip(outputs, given, strict=True))


def _given(spec: TensorSpec, tensor: Any) -> TensorSpec:
    """An output as it is traced; an axis that only its layer knows the size of keeps it."""
    # Keras says that two times a tensor is sparse (3.15), so that only the tensor itself can tell.
    _check_dense(spec.name, hasattr(tensor, "op"))
    shape = tensor.shape.as_list() if tensor.shape.rank is not None else spec.shape
    if len(shape) == len(spec.shape):
        shape = [said if found is None else found for said, found in zip(spec.shape, shape, strict=True)]
    # TensorFlow divides integers in float64, which no layer asks for and the files do not keep.
    dtype = spec.dtype if tensor.dtype.name == "float64" else tensor.dtype.name
    return replace(spec, shape=tuple(shape), dtype=dtype)


def _check_dense(name: str, is_dense: bool) -> None:
    if not is_dense:
        raise ModelError(f"tensor {name!r} is sparse or ragged, which no light engine has; make it dense")


def _unique(names: Sequence[str]) -> list[str]:
    """The names with `_1`, `_2`, … behind those that came before."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        result.append(f"{name}_{count}" if count else name)
    return result
