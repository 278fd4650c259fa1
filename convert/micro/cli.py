"""The command `export`: a thin skin over `micro.export`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from edgepack import console
from edgepack.runtime.errors import UnknownNameError

Switch = Annotated[bool, Parameter(negative="")]


def export(
    file: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    to: str = "c-array",
    variant: str = "",
    samples: Path | None = None,
    force: Switch = False,
    json: Switch = False,
) -> int:
    """Write a TFLite file of a pack, or a bare one, as C++ source for TFLite-Micro.

    It runs in TFLite-Micro's own interpreter first: the arena is measured there, and the answers are compared with
    LiteRT's and with the pack's golden ones.

    Args:
        file: A pack, or a bare .tflite file.
        output: The header, NAME.h; NAME.cc is written beside it.
        to: What is written: c-array.
        variant: Which file of a pack; by default its int8 one for TFLite.
        samples: For a bare file: a .npz file of inputs by name; random ones are drawn without.
        force: Replace the output.
        json: Print one JSON document on stdout and nothing else.
    """
    from edgepack.convert.micro import TARGET
    from edgepack.convert.micro.exporting import export as export_file

    if to != TARGET:
        raise UnknownNameError("form to export to", to, (TARGET,))
    array = export_file(file, output, variant=variant, samples=samples, force=force)
    if json:
        console.show_json(array)
        return 0
    for line in (*array.lines(), f"wrote {array.header}", f"wrote {array.source}"):
        console.show(line)
    return 0
