"""The manifest of a pack and the card of a model: frozen values, and their JSON."""

import contextlib
from collections import Counter
from typing import Any

import msgspec
import numpy as np

from edgepack.runtime.compare import Parity
from edgepack.runtime.errors import PackError
from edgepack.runtime.steps.base import Step, Steps
from edgepack.runtime.tensor import TensorSpec

__all__ = [
    "FORMAT_VERSION", "Card", "FileRef", "Golden", "Manifest", "Metric", "Step", "Steps", "Variant",
    "decode_card", "decode_manifest", "encode", "manifest_schema",
]  # fmt: skip

FORMAT_VERSION = 1

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what damaged or hostile JSON raises

FORMATS = {"onnx": ".onnx", "tflite": ".tflite"}  # format -> file ending


class FileRef(msgspec.Struct, frozen=True):
    """A member of the pack and what it must be: nothing is used before size and digest were checked."""

    path: str
    sha256: str
    size_bytes: int


class Metric(msgspec.Struct, frozen=True):
    """The task metric on labelled samples, of this file and of the Keras model on the same samples."""

    name: str
    value: float
    keras: float
    samples: int
    output: str = ""
    """Which output it is of: the one that loses most; empty where the model has one."""

    @property
    def lost(self) -> float:
        """How much less the value is than Keras's."""
        return self.keras - self.value

    @property
    def title(self) -> str:
        """Its name, and the output it is of where there are several."""
        return f"{self.name} of {self.output}" if self.output else self.name


class Variant(msgspec.Struct, frozen=True):
    """One converted file of the model, with the facts that were measured when it was proved."""

    name: str
    format: str
    precision: str
    file: FileRef
    parity: Parity
    golden_tolerance: float
    """How far an output may be from the golden one on a device, absolute."""
    metric: Metric | None = None
    tensor_bytes: dict[str, int] = {}
    """Bytes of constant tensors by element type, read back from the file."""
    operators: dict[str, int] = {}
    """How many operators of each kind the file holds."""
    options: dict[str, Any] = {}
    """How it was quantized, as far as that is not the default of its precision."""
    unfit: dict[str, str] = {}
    """Engines that refuse such a file or run it wrongly, each with the reason: none of them is taken for it."""


class Golden(msgspec.Struct, frozen=True):
    """A small batch of real inputs with the Keras model's own outputs, as `.npy` members by tensor name."""

    inputs: dict[str, FileRef]
    outputs: dict[str, FileRef]
    raw: dict[str, FileRef] = {}
    """The raw samples that the steps make these inputs of, where they are stored: text by name of the raw value."""


class Manifest(msgspec.Struct, frozen=True):
    """Everything a device needs to know about a pack."""

    format_version: int
    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    variants: tuple[Variant, ...]
    steps: Steps = Steps()
    labels: dict[str, tuple[str, ...]] = {}
    """Labels by output name, in the order of the output's last axis."""
    goldens: tuple[Golden, ...] = ()
    assets: tuple[FileRef, ...] = ()
    states: dict[str, str] = {}
    """Inputs that are the model's own state, each with the output that is its next value."""
    provenance: dict[str, Any] = {}
    """Library versions, recipe, calibration digest, …: where the pack comes from."""


class Card(msgspec.Struct, frozen=True):
    """What lies beside a trained `NAME.keras` as `NAME.card.json`, so that nobody has to guess how to use it."""

    format_version: int
    name: str
    summary: str = ""
    meanings: dict[str, str] = {}
    """What each input and output holds, by name."""
    steps: Steps = Steps()
    labels: dict[str, tuple[str, ...]] = {}
    metrics: dict[str, float] = {}
    recipe: dict[str, Any] = {}
    """What was trained on which data with which settings and library versions."""
    notes: tuple[str, ...] = ()
    """What the model is for, and what it is not."""
    states: dict[str, str] = {}
    """Inputs that are the model's own state, each with the output that is its next value."""


def encode(value: Manifest | Card) -> bytes:
    """The value as indented JSON with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        PackError: Not JSON, another format version, a field missing or of the wrong type, or names that clash.
    """
    _check_version(data, "manifest")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except _UNREADABLE as error:
        raise PackError(f"the manifest does not hold what a pack must: {error}; build the pack again") from error
    _check_unique("variant", [variant.name for variant in manifest.variants])
    _check_unique("input", [spec.name for spec in manifest.inputs])
    _check_unique("output", [spec.name for spec in manifest.outputs])
    for spec in (*manifest.inputs, *manifest.outputs):
        _check_element_type(spec)
    return manifest


def decode_card(data: bytes) -> Card:
    """Read a card; raises `PackError` as `decode_manifest` does."""
    _check_version(data, "card")
    try:
        return msgspec.json.decode(data, type=Card)
    except _UNREADABLE as error:
        raise PackError(f"the card does not hold what it must: {error}; train or write it again") from error


def manifest_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of `manifest.json`."""
    schema = msgspec.json.schema(Manifest)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "edgepack manifest", **schema}


class _Version(msgspec.Struct):
    format_version: int


def _check_version(data: bytes, what: str) -> None:
    """Look at the version before anything else: a newer format may differ in every other field."""
    try:
        version = msgspec.json.decode(data, type=_Version).format_version
    except _UNREADABLE as error:
        raise PackError(f"the {what} is not one of edgepack's: {error}") from error
    if version != FORMAT_VERSION:
        raise PackError(
            f"the {what} has format version {version}; this edgepack reads version {FORMAT_VERSION}: "
            + ("upgrade it: pip install -U edgepack" if version > FORMAT_VERSION else "build the pack again")
        )


def _check_unique(kind: str, names: list[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise PackError(f"the manifest names {kind} {', '.join(map(repr, twice))} twice; build the pack again")


def _check_element_type(spec: TensorSpec) -> None:
    with contextlib.suppress(TypeError, ValueError):
        if spec.dtype == "string" or np.dtype(spec.dtype).kind in "biuf":
            return
    raise PackError(f"tensor {spec.name!r} has element type {spec.dtype[:80]!r}, which no engine takes; build it again")
