"""Where in a file the output of each layer is: the tensor, how it is stored, and what the layer became."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgepack.convert.operators import BEFORE, BETWEEN, Contents, Operator, read
from edgepack.convert.parts import layer_named, layers_of
from edgepack.convert.scopes import scope_of

# What quantizers put behind the names of tensors.
_BEHIND = re.compile(r"(_(Quantize|Dequantize)Linear_(Input|Output)|_dequant|_quantized|_requant)+$")
_WEIGHTS = {"float32", "float16", "bfloat16", "int2", "int4", "uint4", "int8", "uint8", "int16"}
# Scopes that Keras and TensorFlow open inside of a layer.
_INSIDE = re.compile(
    r"(batchnorm|moments|tensordot|einsum|gelu|erfc|pyfuncstateless|while|body|cond|resize|partitionedcall|"
    r"readvariableop|biasadd|cast|reshape|matmul|stack|unstack)(_\d+)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Spot:
    """The output of one layer in a file."""

    layer: str
    gives: str
    """The layer whose output `tensor` is: the last of those that the file computes in one step."""
    tensor: str
    base: str
    """The tensor's name without what quantizers put behind it."""
    operators: tuple[str, ...]
    weights: str
    activations: str
    """Empty where the file does not tell."""
    ends: tuple[float, float] | None
    """The least and the greatest number that the tensor can hold, where it is quantized."""


@dataclass(frozen=True, slots=True)
class Spots:
    """The outputs of all layers of a file, in the order in which they are made."""

    spots: tuple[Spot, ...]
    rows: int | None
    """How many rows the file takes at once; None is any number."""

    def like(self, spot: Spot) -> Spot | None:
        """The same output of another file of the model: the tensor of that name, or the output of that layer."""
        same = [one for one in self.spots if one.base == spot.base] or [
            one for one in self.spots if one.gives == spot.gives
        ]
        return same[-1] if same else None


def find_spots(file_format: str, data: bytes, layers: Sequence[str] = ()) -> Spots:
    """Find where each layer's output is.

    Args:
        file_format: `"onnx"` or `"tflite"`.
        data: A file of any precision.
        layers: Paths of the model's layers; none takes them from the names in the file.
    """
    contents = read(file_format, data)
    layers = layers or _guessed(contents.operators)
    fed = _fed(contents.operators)
    homes = layers_of(contents.operators, layers)
    groups: dict[str, list[Operator]] = {}
    readers: dict[str, set[str]] = {tensor: {""} for tensor in contents.outputs}
    for operator, home in zip(contents.operators, homes, strict=True):
        if operator.name in fed:
            name = home or operator.name
            groups.setdefault(name, []).append(operator)
            for tensor in operator.reads:
                readers.setdefault(tensor, set()).add(name)
    unfolding = {tensor: one for one in contents.operators if one.name not in fed for tensor in one.makes}
    scopes = {scope_of(path): path for path in layers}
    found = []
    for name, members in groups.items():
        given = [tensor for one in members for tensor in one.makes if readers.get(tensor, set()) - {name}]
        tensor = (given or list(members[-1].makes))[-1]
        kinds = tuple(one.kind for one in members if one.kind not in BETWEEN | BEFORE)
        if kinds:
            found.append(_spot(name, tensor, kinds, _weights(members, contents, unfolding), members, contents, scopes))
    return Spots(tuple(found), contents.rows)


def _fed(operators: Sequence[Operator]) -> set[str]:
    """The operators that depend on what the file is given: all but those that unfold weights."""
    made = {tensor for one in operators for tensor in one.makes}
    live: set[str] = set()
    found = set()
    for one in operators:
        if any(tensor in live or tensor not in made for tensor in one.reads):
            live.update(one.makes)
            found.add(one.name)
    return found


def _spot(
    name: str,
    tensor: str,
    kinds: tuple[str, ...],
    weights: str,
    members: Sequence[Operator],
    contents: Contents,
    scopes: Mapping[str, str],
) -> Spot:
    base = _BEHIND.sub("", tensor)
    same = [one for member in members for one in member.makes if _BEHIND.sub("", one) == base]
    same += [one for member in members if member.kind in BETWEEN and tensor in member.makes for one in member.reads]
    told = [contents.tensors[one] for one in reversed(same) if one in contents.tensors]
    stored = next((one for one in told if one.ends), told[0] if told else None)
    gives = layer_named(base.partition(";")[0], scopes) or name
    if stored is None:
        return Spot(name, gives, tensor, base, kinds, weights, "", None)
    return Spot(name, gives, tensor, base, kinds, weights, stored.dtype, stored.ends)


def _weights(members: Sequence[Operator], contents: Contents, unfolding: Mapping[str, Operator]) -> str:
    """The element type of most of the weights that operators read, as they are or unfolded on the way."""
    sizes: Counter[str] = Counter()
    waiting = list(members)
    for one in waiting:  # grows
        for constant in one.constants:
            stored = contents.tensors.get(constant)
            if stored and len(stored.shape) > 1 and stored.dtype in _WEIGHTS:
                sizes[stored.dtype] += math.prod(stored.shape)
        waiting += [unfolding[tensor] for tensor in one.reads if tensor in unfolding]
    return max(sizes, key=lambda dtype: sizes[dtype], default="")


def _guessed(operators: Sequence[Operator]) -> list[str]:
    """Paths of layers as the names in a file tell them: what lies between the model and the operator."""
    found: dict[str, None] = {}
    for operator in operators:
        names = operator.name.split(";") if "/" in operator.name else ";".join(operator.constants).split(";")
        for segments in (name.split("/")[1:-1] for name in names):
            inside = (place for place, one in enumerate(segments) if place and _INSIDE.fullmatch(one))
            if segments:
                found["/".join(segments[: next(inside, None)])] = None
    return list(found)
