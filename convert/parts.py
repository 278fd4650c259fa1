"""The parts of a file that can be quantized or kept in float one by one, under the names of the Keras layers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgepack.convert.operators import BEFORE, BETWEEN, Operator, read
from edgepack.convert.scopes import scope_of

_KERNEL = re.compile(r"conv|depthwise|matmul|tensordot|einsum", re.IGNORECASE)
"""What TensorFlow calls the operators that hold a layer's weights."""
_ITSELF = "/."  # behind a layer's name: without those in it
_FOLDED = "ConstantFolding/"  # TensorFlow's optimizer puts it before the names of what it makes


@dataclass(frozen=True, slots=True)
class Part:
    """What one layer became in a file."""

    name: str
    """The Keras layer's, behind the names of those it lies in, as `block/conv`; the file's own name of the operator
    where no layer's is in it."""
    nodes: tuple[str, ...]
    """ONNX: names of nodes. TFLite: names of the output tensors of each operator, with `;` between them."""
    operators: tuple[str, ...]
    """The kinds of its operators, in the order of `nodes`."""


def parts_of(file_format: str, data: bytes, layers: Sequence[str]) -> tuple[Part, ...]:
    """Group the operators of a float32 file by layer.

    Args:
        file_format: `"onnx"` or `"tflite"`.
        data: The file.
        layers: Paths of the model's layers, as `scopes.paths` gives them.

    Returns:
        The parts in the order in which they first run; each operator is in one of them.
    """
    operators = read(file_format, data).operators
    groups: dict[str, list[Operator]] = {}
    for operator, layer in zip(operators, layers_of(operators, layers), strict=True):
        groups.setdefault(layer or operator.name, []).append(operator)
    return tuple(
        Part(name, tuple(one.name for one in members), tuple(one.kind for one in members))
        for name, members in groups.items()
    )


def chosen(parts: Iterable[Part], layer: str) -> tuple[Part, ...]:
    """The parts of a layer, and of all that lies in it; empty where there is no layer of that name.

    `block/.` is what `block` computes itself, without the layers in it.
    """
    own = layer.removesuffix(_ITSELF)
    return tuple(part for part in parts if part.name == own or (own == layer and part.name.startswith(f"{layer}/")))


def address(parts: Iterable[Part], part: Part) -> str:
    """The name by which `chosen` finds a part alone: its own, with `/.` behind it where other parts lie in it."""
    return part.name if chosen(parts, part.name) == (part,) else f"{part.name}{_ITSELF}"


def layers_of(operators: Sequence[Operator], layers: Iterable[str]) -> list[str | None]:
    """The layer of each operator.

    It is told by the operator's name; of several in one name, it is the layer that holds the weights. An output of
    the file is named after the model's output: its layer is told by its weights. What exporters put in between, such
    as a transposition, belongs to the layer around it, or else to the one before it; what quantizers put behind an
    operator belongs to the layer of that.

    Args:
        operators: Of one file, each behind those it reads.
        layers: Paths of the model's layers.

    Returns:
        Paths among `layers`; None where nothing tells.
    """
    scopes = {scope_of(path): path for path in layers}
    found = [None if one.kind in BETWEEN | BEFORE else _named(one, scopes) for one in operators]
    direct = set(found)
    makers = {tensor: index for index, one in enumerate(operators) for tensor in one.makes}
    readers: dict[int, list[int]] = {}
    for index, one in enumerate(operators):
        for tensor in one.reads:
            if tensor in makers:
                readers.setdefault(makers[tensor], []).append(index)
    before, after = list(found), list(found)
    for index, one in enumerate(operators):
        if before[index] is None:
            before[index] = _common([before[makers[tensor]] for tensor in one.reads if tensor in makers])
    for index in reversed(range(len(operators))):
        if after[index] is None:
            after[index] = _common([after[reader] for reader in readers.get(index, ())])
    around = [_common([one, other]) for one, other in zip(before, after, strict=True)]
    return [
        _home(one.kind, own, outer if outer in direct else None, first, last)
        for one, own, outer, first, last in zip(operators, found, around, before, after, strict=True)
    ]


def _home(kind: str, own: str | None, around: str | None, before: str | None, after: str | None) -> str | None:
    """The layer of an operator, of what is known of it and of those around it."""
    if kind in BETWEEN:
        return before or after
    return after or before if kind in BEFORE else own or around or before or after


def _named(operator: Operator, scopes: Mapping[str, str]) -> str | None:
    """The layer that an operator's name tells, or that of its weights."""
    named = [(layer, name) for name in operator.name.split(";") if (layer := layer_named(name, scopes))]
    heavy = [layer for layer, name in named if _KERNEL.search(name.rpartition(f"{scope_of(layer)}/")[2])]
    if named:
        return heavy[0] if heavy else named[-1][0]
    weights = [layer for name in operator.constants for one in name.split(";") if (layer := layer_named(one, scopes))]
    return weights[0] if weights else scopes.get(operator.name)


def layer_named(name: str, scopes: Mapping[str, str]) -> str | None:
    """The innermost layer in whose scope a name lies, `<model>/<path>/…`.

    Args:
        name: Of an operator or a tensor.
        scopes: Paths of layers by their scope.
    """
    segments = name.removeprefix(_FOLDED).split("/")[1:-1]
    places = ("/".join(segments[:end]) for end in range(len(segments), 0, -1))
    return next((scopes[place] for place in places if place in scopes), None)


def _common(layers: Sequence[str | None]) -> str | None:
    """The innermost layer that all of them lie in, as far as they are known; the first where they share none."""
    known = [layer.split("/") for layer in layers if layer]
    if not known:
        return None
    shared = []
    for segments in zip(*known, strict=False):
        if len(set(segments)) > 1:
            break
        shared.append(segments[0])
    return "/".join(shared or known[0])
