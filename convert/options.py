"""The choices that matter in quantizing, each by its name: what a precision leaves open."""

from typing import Any, Literal, get_args

import msgspec

from edgepack.runtime.errors import InputError, UnknownNameError

Granularity = Literal["per-channel", "per-tensor"]
Activations = Literal["auto", "uint8", "int8"]
Interface = Literal["float32", "int8"]
Method = Literal["minmax", "percentile", "entropy", "mse"]

METHODS: tuple[Method, ...] = get_args(Method)

_MOST_NAMED = 2


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a file is quantized, beyond its precision.

    An option that a precision has no use for is left at its default.
    """

    granularity: Granularity = "per-channel"
    """One scale for each output channel of the weights, or one for all of them."""
    activations: Activations = "auto"
    """The element type between operators; `auto` is the faster in the format: uint8 in ONNX, int8 in TFLite."""
    symmetric: bool = False
    """Whether the ranges of activations lie around zero, with a zero point in the middle."""
    reduce_range: bool = False
    """Seven bits for weights: processors without VNNI saturate with eight."""
    io: Interface = "float32"
    """What goes in and comes out; int8 for microcontrollers."""
    ranges: Method = "minmax"
    """How the ranges of activations are made of what calibration saw."""
    float_operators: tuple[str, ...] | None = None
    """Operators of the file that stay in float, as the format calls them; None leaves that to the precision."""
    float_layers: tuple[str, ...] = ()
    """Layers that stay in float, by the names of `parts.parts_of`."""

    def said(self) -> dict[str, Any]:
        """The options that are not the default, by name, as JSON has them."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def label(self) -> str:
        """What differs from the defaults, as it is put behind the name of a variant; empty where nothing does."""
        words = [
            *([self.granularity] if self.granularity != "per-channel" else []),
            *([self.activations] if self.activations != "auto" else []),
            *(["symmetric"] if self.symmetric else []),
            *(["reduced"] if self.reduce_range else []),
            *(["io-int8"] if self.io != "float32" else []),
            *([self.ranges] if self.ranges != "minmax" else []),
            *([_but(self.float_operators)] if self.float_operators is not None else []),
            *([f"kept{len(self.float_layers)}"] if self.float_layers else []),
        ]
        return "-".join(words).lower()


def _but(operators: tuple[str, ...]) -> str:
    """Names files too, so that many operators are counted only."""
    return f"but-{'-'.join(operators or ('none',))}" if len(operators) <= _MOST_NAMED else f"but{len(operators)}kinds"


def make_options(**given: object) -> Options:
    """Options by name, each checked.

    Raises:
        UnknownNameError: An option that there is none of, or a value that it does not take; the message lists those.
        InputError: A value of another type.
    """
    for name in given.keys() - set(Options.__struct_fields__):
        raise UnknownNameError("option", name, Options.__struct_fields__)
    for name, kind in (
        ("granularity", Granularity),
        ("activations", Activations),
        ("io", Interface),
        ("ranges", Method),
    ):
        if name in given and given[name] not in get_args(kind):
            raise UnknownNameError(name, str(given[name]), get_args(kind))
    try:
        return msgspec.convert(given, Options)
    except msgspec.ValidationError as error:
        raise InputError(
            f"options {given} cannot be: {error}; `symmetric` and `reduce_range` are True or False, "
            "`float_layers` and `float_operators` lists of names"
        ) from error
