"""Which schemes are tried in which format: a table, with those ahead that were best most often."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any

import msgspec

from edgepack.convert.options import METHODS, Options
from edgepack.convert.precisions import find
from edgepack.convert.schemes import Scheme


@dataclass(frozen=True, slots=True)
class Candidate:
    """One file that may be written."""

    target: str
    scheme: Scheme

    @property
    def variant(self) -> str:
        """Its name, with the options that are not the default."""
        return self.scheme.variant(self.target, full=True)


@dataclass(frozen=True, slots=True)
class _Idea:
    """One line of the table."""

    precision: str
    options: Mapping[str, Any] = field(default_factory=dict)
    heavy_alone: bool = False
    """Whether only the products of weights are quantized, and what hands their results on."""


# format -> operators that multiply weights, where the time goes, and those that only hand numbers on: beside a
# quantized product they cost nothing in eight bits, and in float a conversion on either side
_HEAVY = {
    "tflite": frozenset({
        "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONCATENATION", "MAX_POOL_2D", "PAD",
        "RELU", "RELU6", "RESHAPE", "TRANSPOSE",
    }),
    "onnx": frozenset({
        "Conv", "ConvTranspose", "MatMul", "Gemm", "Clip", "Concat", "Flatten", "MaxPool", "Pad", "Relu", "Reshape",
        "Squeeze", "Transpose", "Unsqueeze",
    }),
}  # fmt: skip

_RANGES = tuple(_Idea("int8", {"ranges": method}) for method in METHODS if method != "minmax")

# format -> ideas, the likely best first
_TABLE: dict[str, tuple[_Idea, ...]] = {
    "tflite": (
        _Idea("float32"),
        _Idea("int8"),
        _Idea("dynamic_int8"),
        _Idea("float16"),
        _Idea("weight_int8"),
        _Idea("int8", heavy_alone=True),
        _Idea("int8", {"granularity": "per-tensor"}),
        *_RANGES,
        _Idea("dynamic_int8", {"float_operators": ("CONV_2D",)}),
        _Idea("int8", {"float_operators": ()}),
        _Idea("weight_int4"),
        _Idea("int16x8"),
    ),
    "onnx": (
        _Idea("float32"),
        _Idea("int8"),
        _Idea("dynamic_int8"),
        _Idea("weight_int8"),
        _Idea("float16"),
        _Idea("int8", heavy_alone=True),
        _Idea("int8", {"granularity": "per-tensor"}),
        _Idea("int8", {"activations": "int8"}),
        *_RANGES,
        _Idea("int8", {"reduce_range": True}),
        _Idea("int8", {"activations": "int8", "symmetric": True}),
        _Idea("int8", {"float_operators": ()}),
        _Idea("dynamic_int8", {"granularity": "per-tensor"}),
        _Idea("weight_int4"),
        _Idea("int16x8"),
    ),
}


def candidates(
    target: str, base: Options, precisions: Collection[str], operators: Collection[str]
) -> tuple[Candidate, ...]:
    """What is tried in one format, the likely best first; float32 is always the first, as all are held against it.

    Args:
        target: The format.
        base: What the user fixed: an option that is not at its default stays as it is in every candidate.
        precisions: Names of the precisions that may be tried.
        operators: Kinds of operators in the float32 file.
    """
    found = []
    for idea in _TABLE[target]:
        if idea.precision == "float32" or idea.precision in precisions:
            options = _options(idea, target, base, operators)
            if options is not None:
                found.append(Candidate(target, Scheme(find(idea.precision), options)))
    return tuple(dict.fromkeys(found))


def candidate_of(target: str, precision: str, options: Mapping[str, Any]) -> Candidate:
    """The candidate of a format, the name of a precision, and the options that are not the default."""
    return Candidate(target, Scheme(find(precision), msgspec.convert(options, Options)))


def most_of(target: str) -> int:
    """How many candidates there are at most in a format; 0 for one that there is none of."""
    return len(_TABLE.get(target, ()))


def in_turn(formats: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """The candidates of all formats in one line, the first of each before the second of any."""
    return [one for one in chain.from_iterable(zip_longest(*formats)) if one is not None]


def without(candidate: Candidate, operators: Collection[str]) -> Candidate | None:
    """The candidate with more kinds of operators in float; None where it has them there already.

    That helps where the engine's fast kernels do not know them in eight bits: they run elsewhere, and what is around
    them is cut to pieces.
    """
    options = candidate.scheme.options
    before = set(options.float_operators or ())
    if set(operators) <= before:
        return None
    kept = tuple(sorted(before | set(operators)))
    return Candidate(
        candidate.target, Scheme(candidate.scheme.precision, msgspec.structs.replace(options, float_operators=kept))
    )


def _options(idea: _Idea, target: str, base: Options, operators: Collection[str]) -> Options | None:
    """The options of an idea over those the user fixed; None where it comes to nothing of its own."""
    if idea.precision == "float32":
        return Options()
    wanted = dict(idea.options)
    if base.io != "float32" and (idea.heavy_alone or "float_operators" in wanted):
        return None  # whole numbers from end to end were asked for
    if idea.heavy_alone:
        light = tuple(sorted(set(operators) - _HEAVY[target]))
        if not light:
            return None
        wanted["float_operators"] = light
    fixed = base.said()
    if wanted and not wanted.keys() - fixed.keys():
        return None
    return msgspec.structs.replace(base, **{name: value for name, value in wanted.items() if name not in fixed})
