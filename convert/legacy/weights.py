"""The weights of a Keras 2 file put into the Keras 3 model made of it, in both layouts there were."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edgepack.convert.legacy.parts import Part, legal
from edgepack.runtime.errors import ModelError, one_line
from edgepack.runtime.tensor import Array

# Names that mean the same in every layer that has them: no two of them stand for each other.
_KNOWN = {"kernel", "recurrent_kernel", "pointwise_kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance",
          "embeddings", "alpha"}  # fmt: skip


def load_h5(group: Any, model: Part) -> None:
    """Read the weights of a `.h5` file: one group a layer, in it the trainable weights first.

    Args:
        group: The open group `model_weights`.
        model: What gets them.

    Raises:
        ModelError: The file does not hold just the weights that the model has.
    """
    parts = {part.layer.name: part for part in model.parts}
    for name in _attribute(group, "layer_names"):
        stored = _member(group, name)
        datasets = {one: _member(stored, one) for one in _attribute(stored, "weight_names")}
        part = parts.pop(legal(name), None)
        if part is not None:
            _assign(f"layer {name!r}", _in_order(part), datasets)
        elif datasets:
            raise ModelError(f"holds weights for a layer {name!r} that its model does not have; is the file whole?")
    lacking = [name for name, part in parts.items() if part.layer.weights]
    if lacking:
        raise ModelError(f"holds no weights for {', '.join(lacking)}; is the file whole?")
    if "top_level_model_weights" in group and _attribute(_member(group, "top_level_model_weights"), "weight_names"):
        raise ModelError("holds weights outside of its layers, which Keras 3 has no place for; move them into a layer")


def load_keras(file: Any, model: Part) -> None:
    """Read the weights of a `.keras` file: groups along the attributes of layers, numbered arrays in each.

    Args:
        file: The open `model.weights.h5`.
        model: What gets them.

    Raises:
        ModelError: The file does not hold just the weights that the model has.
    """
    variables = _unique(model.layer.weights)
    most = 2 * max((int(np.prod(one.shape)) for one in variables), default=1)
    count = 0
    for path, stored in _groups(file, ()):
        layer = find_inside(model, path)
        arrays = [_read(_member(stored, key), most) for key in sorted(stored, key=int)]
        if hasattr(layer, "cell"):  # a recurrent layer has weights of its own only if it was made for cuDNN
            layer, arrays = layer.cell, from_cudnn(*arrays)
        try:
            layer.load_own_variables({str(index): array for index, array in enumerate(arrays)})
        except Exception as error:  # a layer may load as it likes
            text = one_line(error, 300)
            raise ModelError(f"holds weights at {'/'.join(path)} that do not fit: {text}") from error
        count += len(arrays)
    if count != len(variables):
        raise ModelError(f"holds {count} weights, its model has {len(variables)}; is the file whole?")


def find_inside(part: Part, path: Sequence[str]) -> Any:
    """The layer, or whatever an attribute of one holds, at a path of a `.keras` file.

    Raises:
        ModelError: There is nothing at that path.
    """
    found: Any = part
    for token in path:
        inner = _child(found, token)
        if inner is None:
            raise ModelError(f"holds something for {'/'.join(path)}, which its model does not have; is the file whole?")
        found = inner
    return found.layer if isinstance(found, Part) else found


def finish(part: Part) -> None:
    """Let layers that compute something from their weights do so."""
    for inner in part.parts:
        finish(inner)
    if hasattr(part.layer, "finalize_state") and part.layer.weights:
        part.layer.finalize_state()


def from_cudnn(kernel: Array, recurrent: Array, bias: Array) -> list[Array]:
    """The weights of a CuDNNLSTM or CuDNNGRU as those of an LSTM or a GRU with `reset_after`.

    Args:
        kernel: `(features, gates × units)`, each gate kept in the other order of axes.
        recurrent: `(units, gates × units)`, each gate transposed.
        bias: `(2 × gates × units,)`, those of input and of state one behind the other.
    """
    gates = recurrent.shape[1] // recurrent.shape[0]
    kernels = [one.T.reshape(one.shape, order="F") for one in np.hsplit(kernel, gates)]
    recurrents = [one.T for one in np.hsplit(recurrent, gates)]
    both = bias.reshape(2, -1)
    return [np.hstack(kernels), np.hstack(recurrents), both if gates == 3 else both.sum(axis=0)]


def _child(found: Any, token: str) -> Any:
    """What Keras 2 kept in `found` under this name; a list stands for layers named after their classes."""
    if isinstance(found, Part) and token in {"layers", "_layer_checkpoint_dependencies"}:
        return found.parts
    if isinstance(found, Part) and token == "layer" and found.parts:
        return found.parts[0]
    if isinstance(found, (list, tuple)):
        return _by_class(found).get(token)
    layer = found.layer if isinstance(found, Part) else found
    return next(
        (inner for name in (token, token.lstrip("_"), f"_{token}") if (inner := getattr(layer, name, None))), None
    )


def _by_class(items: Sequence[Any]) -> dict[str, Any]:
    """Items under the names Keras 2 gives those of a list: `dense`, `dense_1`, …."""
    named: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for item in items:
        kind = item.kind if isinstance(item, Part) else type(item).__name__
        name = _snake(kind.rpartition(">")[2])
        named[f"{name}_{counts[name]}" if name in counts else name] = item
        counts[name] = counts.get(name, 0) + 1
    return named


def _snake(name: str) -> str:
    """`ConvLSTM2D` as Keras 2 writes it: `conv_lstm2d`."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def _in_order(part: Part) -> list[Any]:
    """The variables of a layer as Keras 2 lists them: those that train, then those that do not."""
    return _unique([*_trainable(part), *_fixed(part)])


def _trainable(part: Part) -> list[Any]:
    if not part.layer.trainable:
        return []
    if not part.parts:
        return list(part.layer.trainable_weights)
    return [one for each in part.parts for one in _trainable(each)]


def _fixed(part: Part) -> list[Any]:
    if not part.parts:
        return list(part.layer.non_trainable_weights)
    return [one for each in part.parts for one in (_fixed(each) if part.layer.trainable else _in_order(each))]


def _assign(what: str, variables: Sequence[Any], datasets: dict[str, Any]) -> None:
    """Give the variables their values, in order, after a look at names and shapes."""
    if len(variables) != len(datasets):
        raise ModelError(f"holds {len(datasets)} weights for {what}, which has {len(variables)} in Keras 3")
    values: list[Array] = []
    for variable, (name, dataset) in zip(variables, datasets.items(), strict=True):
        plain = re.sub(r"(_\d+)?(:\d+)?$", "", name.rpartition("/")[2])
        if plain != variable.name and {plain, variable.name} <= _KNOWN:
            raise ModelError(f"holds {name} for {what} where Keras 3 has {variable.path}")
        values.append(_read(dataset, 2 * int(np.prod(variable.shape))))
        if values[-1].shape != tuple(variable.shape) and variable.name == "bias" and len(values) > 2:
            values[-3:] = from_cudnn(*values[-3:])
    for variable, value, name in zip(variables, values, datasets, strict=True):
        if value.shape != tuple(variable.shape):
            raise ModelError(f"holds {name} {value.shape} for {what}, which takes {tuple(variable.shape)}")
        variable.assign(value)


def _groups(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every group of numbered arrays below the model itself, with the path that leads there."""
    for name in group:
        inner = _member(group, name)
        if not hasattr(inner, "keys") or (not path and name in {"optimizer", "metrics"}):
            continue
        steps = [step for step in re.split(r"[/\\]", name) if step]
        if steps[-1] == "vars":
            if len(inner):
                yield (*path, *steps[:-1]), inner
        else:
            yield from _groups(inner, (*path, *steps))


def _read(dataset: Any, most: int) -> Array:
    """The array, if it is not larger than it can be."""
    if dataset.external or dataset.is_virtual:
        raise ModelError(f"keeps {dataset.name} outside of the file, where it is not read from; save the model again")
    if dataset.size > most:
        raise ModelError(f"holds {dataset.name} with {dataset.size:,} values where at most {most:,} fit")
    return np.asarray(dataset[()])


def _member(group: Any, name: str) -> Any:
    """What the group itself holds under that name; a link that leads elsewhere is not followed."""
    import h5py

    found = group
    for step in filter(None, name.split("/")):
        link = found.get(step, getlink=True) if hasattr(found, "keys") else None
        if not isinstance(link, h5py.HardLink):
            raise ModelError(f"holds no {name} where its layers need it; is the file whole?")
        found = found[step]
    return found


def _attribute(group: Any, name: str) -> list[str]:
    """A list of names; a long one is kept in pieces, name0, name1, …."""
    attributes = group.attrs
    keys = [name] if name in attributes else [f"{name}{index}" for index in range(len(attributes))]
    pieces = [attributes[key] for key in keys if key in attributes]
    return [one.decode() if isinstance(one, bytes) else str(one) for piece in pieces for one in piece]


def _unique(variables: Sequence[Any]) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())
