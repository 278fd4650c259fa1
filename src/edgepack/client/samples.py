"""Raw samples as they go over the wire: read as the pack's first step reads them, so that the server sees the same.

A file of an image or a sound goes as it is; whatever else there is goes through the pack's first step here, which says
at once what is wrong with it. Pixels then go as PNG, which keeps them exactly, and numbers as JSON writes float32.
"""

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.runtime import sample_files
from edgepack.runtime.errors import InputError
from edgepack.runtime.pictures import png
from edgepack.runtime.serve.messages import RawMetadata
from edgepack.runtime.steps import Step, prepare
from edgepack.runtime.steps.files import read_file
from edgepack.runtime.steps.raw import RawValue
from edgepack.runtime.tensor import Array

_MOST_FILE_BYTES = 512_000_000  # the most that any first step reads; the server's own limit is far below


class Samples:
    """How raw samples of one model are written as JSON.

    Args:
        raw: What a sample is made of, from the model's metadata.
    """

    def __init__(self, raw: Sequence[RawMetadata]) -> None:
        self._raw = [RawValue(one.name, _first(one)) for one in raw]
        self._writers = {one.name: _WRITERS[value.kind](value) for one, value in zip(raw, self._raw, strict=True)}

    def listed(self, sample: Any) -> tuple[list[Any], bool]:
        """The samples that are meant, as `Session.predict` sees them, and whether they are several.

        Args:
            sample: One, a list or tuple of them, or the `Path` of a file that holds many.
        """
        if isinstance(sample, os.PathLike) and sample_files.holds_many(self._raw):
            return [one for _, one in sample_files.read(self._raw, Path(sample))], True
        many = isinstance(sample, (list, tuple))
        return (list(sample), True) if many else ([sample], False)

    def written(self, sample: Any) -> Any:
        """One sample as JSON holds it.

        Raises:
            InputError, StepError: It is not of the kind that the first step takes.
            MissingFileError: A path that leads nowhere.
        """
        if not self._is_by_name(sample):
            if len(self._raw) != 1:
                names = ", ".join(self._writers)
                raise InputError(f"a sample of this model has {len(self._raw)} parts: give a dict with {names}")
            return self._writers[self._raw[0].name](sample)
        unknown = sample.keys() ^ self._writers.keys()
        if unknown:
            raise InputError(
                f"a sample is made of {', '.join(self._writers)}; this one of {', '.join(map(str, sample))}"
            )
        return {name: write(sample[name]) for name, write in self._writers.items()}

    def _is_by_name(self, sample: Any) -> bool:
        """Whether a sample is a dict of raw values; where there is only a row, it may be one of that row's columns."""
        only_a_row = [value.kind for value in self._raw] == ["row"]
        return isinstance(sample, Mapping) and not (only_a_row and set(sample) != set(self._writers))


def _first(raw: RawMetadata) -> Step | None:
    """The step that a raw value meets first, where its kind needs one to be read."""
    if raw.kind == "text":
        return Step("take", {"name": raw.name, "shape": (), "dtype": "string"})
    return Step(raw.kind, dict(raw.options)) if raw.kind in {"image", "row", "series", "sound"} else None


def _image(value: RawValue) -> Callable[[Any], Any]:
    return _file_or(value, lambda pixels: _encoded(png(pixels)))


def _sound(value: RawValue) -> Callable[[Any], Any]:
    return _file_or(value, Array.tolist)


def _file_or(value: RawValue, write: Callable[[Array], Any]) -> Callable[[Any], Any]:
    """Files and their bytes as they are; anything else read by the first step, and written by `write`."""
    read = _reader(value)

    def run(sample: Any) -> Any:
        if isinstance(sample, (str, os.PathLike)):
            return _encoded(read_file(sample, value.kind, _MOST_FILE_BYTES))
        if isinstance(sample, (bytes, bytearray)):
            return _encoded(sample)
        return write(read(sample))

    return run


def _numbers(value: RawValue) -> Callable[[Any], Any]:
    read = _reader(value)
    return lambda sample: read(sample).tolist()


def _text(value: RawValue) -> Callable[[Any], Any]:
    read = _reader(value)

    def run(sample: Any) -> str:
        text = str(read(sample).item())
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError("a text goes to a server as UTF-8, and this one is none; decode it first") from None
        return text

    return run


def _array(value: RawValue) -> Callable[[Any], Any]:
    def run(sample: Any) -> Any:
        if isinstance(sample, os.PathLike):
            raise InputError(f"{value.name!r} is {value.told}; read {sample} and give what it holds")
        array = np.asarray(sample)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{value.name!r} holds NaN or infinity, which JSON has no word for; use run")
        return array.tolist()

    return run


def _reader(value: RawValue) -> Callable[[Any], Any]:
    assert value.first is not None
    return prepare([value.first])


def _encoded(data: bytes | bytearray) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode("ascii")}


# kind of raw value -> how one is written
_WRITERS: dict[str, Callable[[RawValue], Callable[[Any], Any]]] = {
    "image": _image, "sound": _sound, "row": _numbers, "series": _numbers, "text": _text, "array": _array
}  # fmt: skip
