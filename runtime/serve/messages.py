"""What goes to the data plane and comes back: values that know no protocol."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple

import msgspec

from edgepack.runtime.tensor import Array

Parameters = dict[str, bool | int | float | str]

Cause = Literal["", "failed", "unloaded", "rolled back", "not served", "not loaded yet"]
"""Why a version is unavailable: it is bad, was taken out, the policy passes it over, or nobody asked for it yet."""


class InferRequest(msgspec.Struct):
    """Tensors for one model."""

    model: str
    inputs: dict[str, Array]
    """By name, in the order they came; text is an array of objects that are `bytes`."""
    version: str = ""
    """A version or a label; empty is the default."""
    id: str = ""
    outputs: tuple[str, ...] = ()
    """Names of the outputs that are wanted; empty is all of them."""
    parameters: Parameters = {}
    timeout_s: float | None = None
    """The answer is worth nothing later than this after the request came."""
    priority: int = 0
    """Higher is served first among those that wait; `parameters` makes it of the protocol's, where 1 is first."""


class Spent(NamedTuple):
    """Where the time of one request went, in nanoseconds, and in which company it ran."""

    queue_ns: int = 0
    pre_ns: int = 0
    """Raw sample to tensors; 0 where tensors came."""
    infer_ns: int = 0
    post_ns: int = 0
    """Outputs to readable results; 0 where tensors are given."""
    rows: int = 1
    batch_rows: int = 1
    """Rows of the batch it ran in, its own among them."""


class InferAnswer(msgspec.Struct):
    """Tensors of one model."""

    model: str
    version: str
    """The version that answered."""
    outputs: dict[str, Array]
    """Those that were asked for, in the order they were asked for, else the model's."""
    id: str = ""
    parameters: Parameters = {}
    spent: Spent = Spent()


class PredictRequest(msgspec.Struct):
    """Raw samples for one model, as `Session.predict` takes them; paths never come from a request."""

    model: str
    samples: "list[Any] | Callable[[ModelMetadata], Awaitable[list[Any]]]"
    """A function makes them of what is known of the version that will answer."""
    version: str = ""
    id: str = ""
    timeout_s: float | None = None
    priority: int = 0


class PredictAnswer(msgspec.Struct):
    """Readable results."""

    model: str
    version: str
    results: list[Any]
    """One for each sample, as `Session.predict` gives them."""
    id: str = ""
    spent: Spent = Spent()
    kinds: dict[str, str] = {}
    """Output → what its results are, as in `ModelMetadata.results`."""


class TensorMetadata(msgspec.Struct, frozen=True):
    """One tensor as the protocol tells it; -1 in a shape is a free axis."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    meaning: str = ""
    labels: tuple[str, ...] = ()


class RawMetadata(msgspec.Struct, frozen=True):
    """One value of a raw sample."""

    name: str
    kind: str
    """`image`, `row`, `series`, `sound`, `text` or `array`."""
    told: str
    """What it is, for people."""
    options: dict[str, Any] = {}
    """Options of the first step: columns of a row, rate of a sound, sizes of an image."""


class ModelMetadata(msgspec.Struct, frozen=True):
    """One version of one model."""

    name: str
    versions: tuple[str, ...]
    """Those that are ready, lowest first."""
    version: str
    """The one this tells of."""
    platform: str
    """`edgepack_onnx-int8`: what runs it, in the protocol's way of saying so."""
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    raw: tuple[RawMetadata, ...] = ()
    """What `predict` takes; empty where the model has no steps to make its inputs of a sample."""
    results: dict[str, str] = {}
    """Output → what `predict` makes of it: `labels`, `decision`, `number`, `picture` or `array`."""
    engine: str = ""
    provider: str = ""
    variant: str = ""
    labels: tuple[str, ...] = ()
    """Labels that point to this version, as `stable`."""
    summary: str = ""


class ServerMetadata(msgspec.Struct, frozen=True):
    """The server itself."""

    name: str
    version: str
    extensions: tuple[str, ...]


class IndexEntry(msgspec.Struct, frozen=True):
    """One version of one model in the repository."""

    name: str
    version: str
    state: str
    """`READY`, `LOADING`, `UNLOADING` or `UNAVAILABLE`, as Triton has them; `cause` says which kind of the last."""
    reason: str = ""
    """It in words, for people."""
    labels: tuple[str, ...] = ()
    cause: Cause = ""
