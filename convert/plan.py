"""What was asked of a conversion, checked before any long work begins."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgepack.convert import micro
from edgepack.convert.options import Options
from edgepack.convert.precisions import PRECISIONS, Precision, find
from edgepack.convert.schemes import Scheme
from edgepack.convert.shapes import Shape, Shapes, batch_of, read_shapes
from edgepack.convert.standard import Standard, choose
from edgepack.runtime.errors import InputError, MissingExtraError, OutputError, UnknownNameError
from edgepack.runtime.manifest import FORMATS
from edgepack.runtime.pack import check_pack_output

# target -> the modules that write and prove its files
_NEEDS = {
    "tflite": ("tensorflow", "flatbuffers", "ai_edge_litert"),
    "onnx": ("tensorflow", "tf2onnx", "onnx", "onnxruntime"),
}
TARGETS = tuple(_NEEDS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for, checked."""

    output: Path
    as_folder: bool
    targets: tuple[str, ...]
    schemes: tuple[Scheme, ...]
    batch: int | str
    shapes: Mapping[str, Shape]
    """Sizes for free axes, by input name."""
    standard: Standard
    """Of the ONNX files."""
    bare: str | None
    """The format of the one bare file that is written instead of a pack."""
    c_array: bool = False
    """Whether that file is written as C++ source."""


def make_plan(  # noqa: PLR0913 - each an independent choice of the user
    output: str | os.PathLike[str],
    targets: str | Sequence[str],
    precisions: str | Sequence[str] | None,
    batch: int | str,
    input_shapes: Shapes | None = None,
    *,
    searched: bool = False,
    options: Options | None = None,
    opset: int | None = None,
    min_onnxruntime: str | None = None,
    force: bool,
) -> Plan:
    """Check what was asked; the arguments are those of `convert_model`, and whether the best is searched for.

    Raises:
        UnknownNameError: A target or a precision that there is none of.
        InputError: Nothing to build, or arguments that contradict each other.
        OutputError: The output exists already, cannot be written, or its name does not say what to write.
    """
    c_array = micro.is_c_array(output)
    usual = "all" if searched else "int8" if c_array else "float32"
    targets, precisions = _several(targets), _several(usual if precisions is None else precisions)
    if "all" in precisions:
        precisions = tuple(PRECISIONS)
    for target in targets:
        if target not in (*TARGETS, micro.TARGET):
            raise UnknownNameError("target", target, (*TARGETS, micro.TARGET))
    if c_array or micro.TARGET in targets:
        micro.check_pair(output, force=force)
        micro.check_not_searched(output, searched=searched)
        micro.check_precisions(precisions)
    chosen = tuple(find(one) for one in precisions)
    if not targets or not chosen:
        raise InputError(
            f"nothing to build: give a target ({', '.join(TARGETS)}) and a precision ({', '.join(PRECISIONS)})"
        )
    if not (batch in {"auto", "dynamic"} or (type(batch) is int and batch > 0)):
        raise InputError(f"batch is {batch!r}; it takes 'auto', 'dynamic' or a number of rows from 1")
    shapes = read_shapes(input_shapes)
    batch = batch_of(shapes, batch)
    as_folder = str(output).endswith(("/", os.sep))
    path = check_pack_output(output, force=force)
    endings = {ending: name for name, ending in FORMATS.items()} | {micro.SUFFIX: "tflite"}
    bare = None if as_folder else endings.get(path.suffix)
    if bare and len(chosen) > 1 and not searched:
        raise InputError(f"{path.name} holds one file; give one precision, or write a pack: -o {path.stem}.edgepack")
    if not bare and not as_folder and path.suffix != ".edgepack":
        raise OutputError(
            f"{path} has no ending that says what to write; it takes .edgepack, .tflite, .onnx, .h, or a folder with /"
        )
    standard = choose(opset, min_onnxruntime)
    if (opset or min_onnxruntime) and "onnx" not in ((bare,) if bare else targets):
        raise InputError("an opset or a version of ONNX Runtime was asked, and no ONNX file is written: leave it out")
    _check_packages((bare,) if bare else targets)
    _check_options(options or Options(), micro.defaults(output), chosen)
    schemes = tuple(Scheme(one, options or Options()) for one in chosen)
    return Plan(path, as_folder, (bare,) if bare else targets, schemes, batch, shapes, standard, bare, c_array)


def _check_options(options: Options, usual: Mapping[str, Any], precisions: Sequence[Precision]) -> None:
    """Refuse an option that none of the precisions has a use for: it would change nothing, in silence."""
    for name in options.said():
        is_usual = name in usual and getattr(options, name) == usual[name]
        if not is_usual and not any(name in one.options for one in precisions):
            takers = ", ".join(one.name for one in PRECISIONS.values() if name in one.options)
            asked = ", ".join(one.name for one in precisions)
            which = "one of these" if "," in takers else "that one"
            raise InputError(f"{name} means nothing to {asked}; it is for {takers}: ask for {which}, or leave it out")


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names as a sequence; one string holds several, separated by commas."""
    parts = names.split(",") if isinstance(names, str) else names
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _check_packages(targets: Sequence[str]) -> None:
    """Raise `MissingExtraError` unless all that writes and proves these formats is installed."""
    for target in targets:
        for module in _NEEDS[target]:
            if find_spec(module) is None:
                raise MissingExtraError(f"{module}, which writes {target} files,", "convert")
