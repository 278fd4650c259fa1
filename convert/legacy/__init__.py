"""Keras 2 files: what Keras 3 refuses in them is repaired, what silently changed its meaning keeps the old one.

The file's config is made into a Keras 3 model layer by layer (`parts`, `repairs`), call by call (`graph`), and the
weights are read by the file's own names and order (`weights`). Files that Keras 3 wrote are left to Keras.
"""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from edgepack.convert.legacy import weights
from edgepack.convert.legacy.graph import make_model
from edgepack.convert.legacy.parts import Maker, Part
from edgepack.convert.legacy.repairs import Config
from edgepack.runtime.errors import ModelError

_OLD_CORNERS = ("2.2.3", "2.2.4")  # of Keras without TensorFlow; "2.2.4-tf" resizes by centers
_JSON_LIMIT = 64 << 20  # bytes; the configs of the largest models take a few


def keras_version(path: Path) -> str:
    """The version of Keras that wrote the model file; empty where the file does not say."""
    import h5py

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return str(json.loads(_entry(archive, "metadata.json")).get("keras_version", ""))
        with h5py.File(path) as file:
            found = file.attrs.get("keras_version", "1" if "model_config" in file.attrs else "")
            return _text(found)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return ""


def load_legacy(path: Path, *, unsafe_lambda: bool) -> Any:
    """The Keras 3 model that computes what the model in a Keras 2 file computes.

    Args:
        path: A `.h5` or `.keras` file that Keras 2 wrote.
        unsafe_lambda: Execute the code that Lambda layers carry.

    Raises:
        UnsafeModelError: The file carries code and `unsafe_lambda` is False.
        ModelError: A layer of it cannot be made in Keras 3: the message names layer and key.
    """
    if keras_version(path).startswith("1"):
        raise ModelError(
            f"{path} was written by Keras 1; load it with Keras 2.2 and save it again, then it is read here"
        )
    load = _load_keras if zipfile.is_zipfile(path) else _load_h5
    try:
        part = load(path, unsafe_lambda)
    except ModelError as error:
        raise type(error)(f"{path} (Keras {keras_version(path)}) {error}") from error
    weights.finish(part)
    return part.layer


def _make(config: str | bytes, unsafe_lambda: bool) -> Part:
    entry = json.loads(config, object_hook=_decoded)
    return Maker(unsafe_lambda, _makes_masks(entry), make_model).make(entry)


def _makes_masks(value: Any) -> bool:
    """Whether there is a layer anywhere inside that makes a mask."""
    if isinstance(value, dict):
        return (
            value.get("class_name") == "Masking" or bool(value.get("mask_zero")) or _makes_masks(list(value.values()))
        )
    return isinstance(value, (list, tuple)) and any(map(_makes_masks, value))


def _load_h5(path: Path, unsafe_lambda: bool) -> Part:
    import h5py

    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise ModelError("holds weights alone; build the model, load them, and save it whole with model.save")
        backend = _text(file.attrs.get("backend", file["model_weights"].attrs.get("backend", "tensorflow")))
        if backend != "tensorflow":
            raise ModelError(
                f"was saved on {backend}, which turns kernels around; load it in Keras 2 on TensorFlow first"
            )
        config = _text(file.attrs["model_config"])
        if keras_version(path) in _OLD_CORNERS and '"bilinear"' in config:
            raise ModelError(
                "resizes bilinearly by corners instead of centers, as nothing does now; replace that layer"
            )
        part = _make(config, unsafe_lambda)
        weights.load_h5(file["model_weights"], part)
    return part


def _load_keras(path: Path, unsafe_lambda: bool) -> Part:
    import h5py

    with zipfile.ZipFile(path) as archive:
        part = _make(_entry(archive, "config.json"), unsafe_lambda)
        with archive.open("model.weights.h5") as stored, tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(stored, copy)
            with h5py.File(copy) as file:
                weights.load_keras(file, part)
        for name in archive.namelist():
            _load_vocabulary(archive, name, part)
    return part


def _load_vocabulary(archive: zipfile.ZipFile, name: str, part: Part) -> None:
    """Give a lookup layer the vocabulary that the file keeps beside the weights."""
    first, *steps = Path(name).parts
    if first != "assets" or steps[-1:] != ["vocabulary.txt"]:
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / steps[-1]).write_bytes(_entry(archive, name))
        weights.find_inside(part, steps[:-1]).load_assets(folder)


def _entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """A small file of the archive."""
    with archive.open(name) as entry:
        data = entry.read(_JSON_LIMIT + 1)
    if len(data) > _JSON_LIMIT:
        raise ModelError(f"holds a {name} of more than {_JSON_LIMIT >> 20} MB; no model needs as much")
    return data


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _decoded(value: Config) -> Any:
    """What Keras wrote in JSON for values that JSON does not have."""
    kind = value.get("class_name")
    if kind == "__tuple__":
        return tuple(value["items"])
    if kind == "__ellipsis__":
        return ...
    if kind == "TensorShape":
        return tuple(value["items"])
    if kind in {"__numpy__", "__tensor__"}:
        return value["config"]["value"]
    return value
