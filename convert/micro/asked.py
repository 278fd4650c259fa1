"""What can be asked for a microcontroller, checked before any long work begins."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgepack.runtime.errors import InputError, MissingExtraError
from edgepack.runtime.writing import check_output

TARGET = "c-array"
SUFFIX = ".h"
_SOURCE = ".cc"
# TFLite-Micro's kernels take weights and activations of one kind; of float16 weights it unfolds none.
_PRECISIONS = ("int8", "int16x8", "float32")
_NOT_INCLUDED = frozenset('"\\\n\r')  # the source names the header in an `#include "…"`


def is_c_array(output: str | os.PathLike[str]) -> bool:
    """Whether a name asks for C++ source: it ends in `.h`."""
    return Path(output).suffix == SUFFIX and not str(output).endswith(("/", os.sep))


def defaults(output: str | os.PathLike[str]) -> dict[str, Any]:
    """The options that are another default for microcontrollers.

    int8 goes in and comes out, and no operator stays in float because XNNPACK is slow at it: a float tensor takes four
    times the arena.
    """
    return {"io": "int8", "float_operators": ()} if is_c_array(output) else {}


def check_precisions(precisions: Sequence[str]) -> None:
    """Raise `InputError` for a precision that TFLite-Micro has no kernels for."""
    for name in precisions:
        if name not in _PRECISIONS:
            raise InputError(
                f"precision {name} does not run on TFLite-Micro, whose kernels take weights and activations of one "
                f"kind; a c-array takes {', '.join(_PRECISIONS)}"
            )


def check_not_searched(output: str | os.PathLike[str], *, searched: bool) -> None:
    """Raise `InputError` where a search was asked for: it chooses by how fast files run on this machine."""
    path = Path(output)
    if searched:
        raise InputError(
            f"{path.name} is for a microcontroller, and how fast files run on this machine says nothing of one; search "
            f"for the smallest (-o {path.stem}.tflite --search --aim size --precision int8 --io int8), then export it"
        )


def check_pair(output: str | os.PathLike[str], *, force: bool) -> tuple[Path, Path]:
    """Where the header and the source go, if both can be written there.

    Raises:
        InputError: The name does not end in `.h`, or no `#include` can hold it.
        OutputError: One of them is there already and `force` is False, or cannot be written.
        MissingExtraError: The package tflite-micro is not installed.
    """
    if not is_c_array(output):
        raise InputError(f"{output} is no header: a c-array is NAME.h and NAME.cc, so give -o NAME{SUFFIX}")
    header = Path(output)
    if _NOT_INCLUDED & set(header.name):
        raise InputError(f"{header.name!r} has a quote, a backslash or a line end, which no #include takes: rename it")
    pair = (check_output(header, force=force), check_output(header.with_suffix(_SOURCE), force=force))
    if find_spec("tflite_micro") is None:
        raise MissingExtraError("tflite-micro, in which c-arrays are tried (Linux on x86-64 only),", "micro")
    return pair
