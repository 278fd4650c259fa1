"""A pack's variant, or a bare TFLite file, as C++ source: what convert would have written, long after it ran."""

import os
from pathlib import Path

from edgepack.convert.micro.array import CArray
from edgepack.convert.micro.asked import check_pair
from edgepack.convert.micro.text import said_steps
from edgepack.convert.micro.writing import write_c_array
from edgepack.convert.precisions import find
from edgepack.runtime.arrays import read_arrays
from edgepack.runtime.errors import InputError, MissingFileError
from edgepack.runtime.goldens import Golden
from edgepack.runtime.manifest import Manifest
from edgepack.runtime.pack import Pack, is_pack


def export(
    file: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    variant: str = "",
    samples: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> CArray:
    """Write a TFLite file that is there already as C++ source for TFLite-Micro.

    A variant of a pack is held against the pack's golden answers of Keras, and brings labels and a list of steps.

    Args:
        file: A pack, or a bare `.tflite` file.
        output: The header, `NAME.h`; the source is `NAME.cc` beside it.
        variant: Which file of a pack; by default its int8 one for TFLite.
        samples: For a bare file: a `.npz` file of inputs by name; random ones are drawn without.
        force: Replace what is there.

    Raises:
        MissingFileError, PackError: `file` or `samples` cannot be read.
        UnknownNameError: The pack has no variant of that name.
        InputError: The variant is no TFLite file, there is none to choose, or arguments that contradict each other.
        Exception: Whatever `write_c_array` raises.
    """
    check_pair(output, force=force)
    if is_pack(file):
        if samples is not None:
            raise InputError("samples are for a bare .tflite file: a pack has its golden ones")
        return _export_variant(file, output, variant, force=force)
    if variant:
        raise InputError(f"{file} is a bare file, which has no variant {variant!r}: leave it out")
    if not os.path.isfile(file):
        raise MissingFileError(file, "pack or .tflite file")
    golden: Golden | None = None if samples is None else (read_arrays(Path(samples), "samples"), {})
    return write_c_array(Path(file).read_bytes(), output, golden=golden, force=force)


def _export_variant(file: str | os.PathLike[str], output: str | os.PathLike[str], name: str, *, force: bool) -> CArray:
    with Pack(file) as pack:
        manifest = pack.manifest
        chosen = pack.variant(name or _best(manifest))
        if chosen.format != "tflite":
            raise InputError(f"variant {chosen.name!r} is no TFLite file but {chosen.format}: name another")
        return write_c_array(
            pack.read(chosen.file),
            output,
            golden=pack.golden(manifest.goldens[0]) if manifest.goldens else None,
            budget=find(chosen.precision).budget,
            labels=manifest.labels,
            notes=said_steps(manifest.steps),
            force=force,
        )


def _best(manifest: Manifest) -> str:
    """The int8 TFLite file, if there are several the one that takes and gives int8; raises `InputError` without one."""
    found = [one for one in manifest.variants if one.format == "tflite" and one.precision == "int8"]
    if not found:
        known = ", ".join(one.name for one in manifest.variants)
        raise InputError(
            f"the pack has no int8 TFLite file (it has {known}): convert with --precision int8 --calibration FILE.npz, "
            "or name another with --variant"
        )
    return min(found, key=lambda one: one.options.get("io") != "int8").name
