"""Which files are looked into layer by layer, and on which samples: those of a conversion, of a pack, or a bare one."""

import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgepack.convert.layers import File, LayerReport, look
from edgepack.convert.packing import Built
from edgepack.convert.precisions import FLOATS
from edgepack.convert.prove import open_here
from edgepack.convert.samples import Samples
from edgepack.convert.writers import Writer
from edgepack.runtime.arrays import read_arrays
from edgepack.runtime.batches import with_free_batch
from edgepack.runtime.errors import DataError, EngineError, InputError, MissingExtraError, MissingFileError, PackError
from edgepack.runtime.manifest import FORMATS
from edgepack.runtime.pack import Pack, is_pack
from edgepack.runtime.tensor import Array, TensorSpec

_ROWS = 4
_SECONDS = 20.0  # for all files of a conversion
_LIBRARIES = ("onnx", "onnxruntime", "ai_edge_litert")


def look_at_built(
    built: Sequence[Built], writers: Mapping[str, Writer], samples: Samples, notes: list[str]
) -> tuple[LayerReport, ...]:
    """The layers of every quantized file of a conversion that runs, against the float32 file it was made of.

    Args:
        built: The files.
        writers: Their writers, by format.
        samples: What the files were judged on.
        notes: Grows by why files were not looked into.
    """
    begun = time.monotonic()
    found = []
    rows = {name: array[:_ROWS] for name, array in samples.inputs.items()}
    for one in built:
        if one.precision in FLOATS or one.proof.parity is None or one.format not in writers:
            continue
        if time.monotonic() - begun > _SECONDS:
            notes.append(f"{one.variant}: its layers were not looked at, since those of others took long")
            continue
        writer = writers[one.format]
        float32 = File(f"{one.format}-float32", one.format, writer.float32)
        try:
            file = File(one.variant, one.format, one.data)
            found.append(look(file, float32, rows, samples.origin, layers=writer.layers))
        except EngineError as error:
            notes.append(f"{one.variant}: its layers cannot be looked at: {error}")
    return tuple(found)


def look_into(
    path: Path, *, variant: str | None = None, against: str | None = None, samples: Path | None = None
) -> LayerReport:
    """Look into a variant of a pack, or into a bare file.

    Args:
        path: A pack, or a bare `.tflite` or `.onnx` file.
        variant: The variant of a pack; None is the first that is quantized, or the first.
        against: Another variant, or another bare file. None is the float32 variant of the same format, where the pack
            has it; of a bare file, none.
        samples: A `.npz` file of tensors by input name; None takes the pack's golden samples, and random numbers for a
            bare file.

    Raises:
        MissingExtraError: The libraries that look into files are not installed.
        MissingFileError, PackError, UnknownNameError: Nothing is there, or it is damaged, or has no such variant.
        InputError: A variant was asked of a bare file, or it takes text.
        DataError: The samples do not fit.
        EngineError: A file does not run operator by operator.
    """
    if missing := [module for module in _LIBRARIES if find_spec(module) is None]:
        raise MissingExtraError(f"{missing[0]}, which looks into files,", "convert")
    if not path.exists():
        raise MissingFileError(path, "file")
    if is_pack(path):
        return _look_into_pack(path, variant, against, samples)
    if variant:
        raise InputError(f"{path} is one file, and has no variant {variant!r}")
    file = _bare(path)
    other = _bare(Path(against)) if against else None
    specs = _inputs(file)
    if other:
        _inputs(other)
    return look(file, other, *_given(samples, specs) if samples else (_random(specs), "random numbers"))


def _look_into_pack(path: Path, variant: str | None, against: str | None, samples: Path | None) -> LayerReport:
    with Pack(path) as pack:
        known = pack.manifest.variants
        quantized = [one for one in known if one.precision not in FLOATS]
        chosen = pack.variant(variant) if variant else (quantized or list(known))[0]
        usual = next((one for one in known if (one.format, one.precision) == (chosen.format, "float32")), None)
        other = pack.variant(against) if against else usual if usual is not chosen else None
        files = [File(one.name, one.format, pack.read(one.file)) for one in (chosen, other) if one]
        if samples:
            rows, origin = _given(samples, pack.manifest.inputs)
        elif pack.manifest.goldens:
            rows, origin = pack.golden(pack.manifest.goldens[0])[0], "the golden samples"
        else:
            raise PackError(f"{path} holds no golden samples to run: pass --samples FILE.npz")
    return look(files[0], files[1] if len(files) > 1 else None, rows, origin)


def _bare(path: Path) -> File:
    if not path.exists():
        raise MissingFileError(path, "file")
    file_format = next((name for name, ending in FORMATS.items() if path.suffix == ending), None)
    if file_format is None:
        raise InputError(f"{path} is no file to look into; it takes {', '.join(FORMATS.values())} and packs")
    return File(path.name, file_format, path.read_bytes())


def _inputs(file: File) -> Sequence[TensorSpec]:
    """What an engine says that the file takes; raises `EngineError`, where it is damaged, before anything trusts it."""
    try:
        return open_here(file.format, file.data).inputs
    except EngineError as error:
        raise EngineError(f"{file.name}: {error}") from error


def _given(path: Path, specs: Sequence[TensorSpec]) -> tuple[dict[str, Array], str]:
    """Tensors for all inputs from a file."""
    arrays = read_arrays(path, "samples")
    if len(specs) == 1 and len(arrays) == 1:
        arrays = {specs[0].name: next(iter(arrays.values()))}
    if lacking := [spec.name for spec in specs if spec.name not in arrays]:
        raise DataError(f"{path} lacks {', '.join(lacking)}; it holds {', '.join(arrays)}")
    checked = {spec.name: spec.check(arrays[spec.name]) for spec in with_free_batch(specs)}
    if len({len(array) for array in checked.values()}) != 1 or not len(next(iter(checked.values()))):
        raise DataError(f"{path} holds no rows, or other numbers of them by input")
    return checked, path.name


def _random(specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Numbers between 0 and 1, whole ones 0 or 1; seeded."""
    rng = np.random.default_rng(0)
    if texts := [spec.name for spec in specs if spec.dtype == "string"]:
        raise InputError(f"input {texts[0]!r} is text: pass --samples FILE.npz")
    shapes = {spec.name: (spec.shape[0] or _ROWS, *(size or 1 for size in spec.shape[1:])) for spec in specs}
    return {
        spec.name: (rng.random(shapes[spec.name]) * (2 if spec.numpy_dtype.kind in "iub" else 1)).astype(
            spec.numpy_dtype
        )
        for spec in specs
    }
