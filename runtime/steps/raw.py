"""Raw values: what a sample is made of before any step, told by the first step that each of them meets."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from edgepack.runtime.steps.base import Step, Steps
from edgepack.runtime.steps.row import column_names, listed
from edgepack.runtime.steps.samples import first_steps
from edgepack.runtime.tensor import TensorSpec, describe


class RawValue(NamedTuple):
    """One raw value of a sample."""

    name: str
    first: Step | None
    """The step it meets first; None where it is a tensor as it is, or means different things to different inputs."""

    @property
    def kind(self) -> str:
        """`image`, `row`, `series`, `sound`, `text`, or `array` for whatever is numbers in Python alone."""
        if self.first is None:
            return "array"
        if self.first.step == "take":
            options = self.first.options
            one = tuple(options.get("shape", ())) in {(), (1,)}
            return "text" if one and options.get("dtype") == "string" else "array"
        return self.first.step if self.first.step in _TOLD else "array"

    @property
    def told(self) -> str:
        """What it is, for people; the options are those of a step that was bound already."""
        return _TOLD[self.kind](self.first.options if self.first else {})


def raw_values(inputs: Sequence[TensorSpec], steps: Steps) -> tuple[RawValue, ...]:
    """What a raw sample is made of; the steps are those of a `Preparation` that was made."""
    return tuple(
        RawValue(name, found[0] if found and all(one == found[0] for one in found) else None)
        for name, found in first_steps(inputs, steps).items()
    )


def _row(options: Mapping[str, Any]) -> str:
    names = column_names(options["columns"])
    return (
        f"a row of {len(names):,} numbers ({listed(names)}): a .csv file of rows; in Python a dict by column, an array "
        "or a line of CSV"
    )


def _series(options: Mapping[str, Any]) -> str:
    length = options.get("length")
    fitted = "" if length is None else f", cut or padded to {length:,} steps"
    return f"a series of (time, {options.get('channels', 1)}) numbers{fitted}: a .csv or .npy file; in Python an array"


def _sound(options: Mapping[str, Any]) -> str:
    seconds = options.get("seconds")
    fitted = "" if seconds is None else f", cut or padded to {seconds:g} s"
    return (
        f"a sound{fitted}: a .wav file; in Python its path or bytes, or an array of samples at {options['rate']:,} Hz"
    )


def _array(options: Mapping[str, Any]) -> str:
    shape, dtype = options.get("shape"), options.get("dtype", "")
    return (
        f"an array{'' if shape is None else f' {describe(shape, dtype)}'}; its tensors with a batch axis: .npy or .npz"
    )


# kind -> what a raw value of that kind is, by the options of its first step
_TOLD: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "image": lambda _: "an image: a file that Pillow reads (PNG, JPEG, …); in Python its path, bytes, or uint8 pixels",
    "text": lambda _: "a text: a .txt file with one a line; in Python a str",
    "row": _row,
    "series": _series,
    "sound": _sound,
    "array": _array,
}
