"""A server of packs of every kind, on a port of this machine, and the sessions that know the right answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgepack
from edgepack.client import Client
from edgepack.runtime.manifest import Manifest, Step, Steps
from edgepack.runtime.serve.settings import Limits, Settings
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import TensorSpec
from tests.runtime.serve.http_running import running
from tests.zoo import packs

COLUMNS = ("age", "weight", "height", "pulse")
SCORES = Step("classify", {"labels": ["red", "green", "blue"], "top": 2})


def _with(pack: tuple[Manifest, packs.Files], **changes: Any) -> tuple[Manifest, packs.Files]:
    manifest, files = pack
    return msgspec.structs.replace(manifest, **changes), files


def _of_four(first: Step, last: Step) -> tuple[Manifest, packs.Files]:
    """The model of four measures and three scores, with other steps."""
    return _with(packs.mlp(), steps=Steps(inputs={"x": (first,)}, outputs={"y": (last,)}))


def _texts() -> tuple[Manifest, packs.Files]:
    """The mean of the embeddings of five words."""
    words = (
        Step("take", {"name": "ids", "shape": [1], "dtype": "string"}),
        Step("tokenize", {"standardize": "lower", "split": "whitespace"}),
        Step("lookup", {"vocabulary": ["the", "book", "is", "good", "很好"]}),
        Step("pad", {"length": 5}),
    )
    return packs._pack(
        "ids", ("ids.onnx",),
        inputs=(TensorSpec("ids", (None, 5), "int64"),), outputs=(TensorSpec("y", (None, 2), "float32"),),
        steps=Steps(inputs={"ids": words}, outputs={"y": (Step("number", {"names": ["joy", "length"]}),)}),
    )  # fmt: skip


def _series() -> tuple[Manifest, packs.Files]:
    """A recurrent net over three steps of four numbers, whose output is an array as it is."""
    return packs._pack(
        "lstm", ("lstm.tflite",),
        inputs=(TensorSpec("x", (None, 3, 4), "float32"),), outputs=(TensorSpec("y", (None, 3, 5), "float32"),),
        steps=Steps(inputs={"x": (Step("series", {"length": 3, "channels": 4}),)}, outputs={}),
    )  # fmt: skip


PACKS = {
    "mlp": packs.mlp,
    "pair": packs.pair,
    "tiles": packs.tiles,
    "row": lambda: _of_four(Step("row", {"columns": list(COLUMNS)}), Step("number", {"unit": "kg", "decimals": 3})),
    "sound": lambda: _of_four(Step("sound", {"rate": 1000, "seconds": 0.004}), SCORES),
    "picture": lambda: _of_four(
        Step("row", {"columns": list(COLUMNS)}), Step("picture", {"height": 1, "width": 3, "mode": "grayscale"})
    ),
    "text": _texts,
    "series": _series,
}


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, make in PACKS.items():
        packs.write(folder / f"{name}.edgepack", make())
    return folder


@pytest.fixture(scope="package")
def url(models: Path) -> Iterator[str]:
    with running(Settings(models=str(models), limits=Limits(body_bytes=1_000_000))) as server:
        yield server.url


@pytest.fixture(params=[True, False], ids=["binary", "json"])
def client(url: str, request: pytest.FixtureRequest) -> Iterator[Client]:
    with Client(url, binary=request.param) as made:
        yield made


@pytest.fixture(scope="package")
def sessions(models: Path) -> Iterator[dict[str, Session]]:
    found = {name: edgepack.load(models / f"{name}.edgepack") for name in PACKS}
    yield found
    for session in found.values():
        session.close()


def same(found: Any, wanted: Any) -> bool:
    """Whether two results are the same, arrays by dtype and every element."""
    if isinstance(wanted, np.ndarray):
        return isinstance(found, np.ndarray) and found.dtype == wanted.dtype and np.array_equal(found, wanted)
    if isinstance(wanted, dict):
        return (
            isinstance(found, dict) and list(found) == list(wanted) and all(same(found[k], wanted[k]) for k in wanted)
        )
    if type(wanted) is list:
        return type(found) is list and len(found) == len(wanted) and all(map(same, found, wanted))
    return bool(type(found) is type(wanted) and found == wanted)
