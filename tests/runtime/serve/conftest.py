"""Folders of small packs, and servers of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepack.runtime.manifest import Step, Steps
from edgepack.runtime.serve.settings import Limits, Settings
from tests.runtime.serve.http_running import Echo, Running, running
from tests.zoo import packs

ROW = Steps(
    inputs={"x": (Step("row", {"columns": ["a", "b", "c", "d"]}),)},
    outputs={"y": (Step("classify", {"labels": ["red", "green", "blue"]}),)},
)
PICTURE = Steps(outputs={"y": (Step("picture", {"height": 1, "width": 3}),)})


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packs: `mlp`, `pair`, `tiles` (images), `row` (rows by column) and `picture` (pictures come out)."""
    folder = tmp_path_factory.mktemp("models")
    mlp, files = packs.mlp()
    packs.write(folder / "mlp.edgepack", (mlp, files))
    packs.write(folder / "pair.edgepack", packs.pair())
    packs.write(folder / "tiles.edgepack", packs.tiles())
    for name, steps in (("row", ROW), ("picture", PICTURE)):
        manifest = type(mlp)(**{**{field: getattr(mlp, field) for field in mlp.__struct_fields__}, "steps": steps})
        packs.write(folder / f"{name}.edgepack", (manifest, files))
    return folder


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[Running]:
    """A server of `models`."""
    with running(Settings(models=str(models), limits=Limits(body_bytes=2**20))) as found:
        yield found


@pytest.fixture
def echo() -> Iterator[Running]:
    """A server whose models answer with what they are sent; small limits, and bodies must come within half a second."""
    limits = Limits(body_bytes=100_000, tensors=8, nesting=6, read_timeout_s=0.5)
    with running(Settings(models="nowhere", limits=limits), make_plane=Echo) as found:
        yield found
