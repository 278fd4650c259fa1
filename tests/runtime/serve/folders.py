"""Folders of models for tests: packs whose answers tell their version, and bad ones of every kind."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgepack.runtime.manifest import Manifest, Step, Steps
from edgepack.runtime.pack import encode_array, reference, write_pack
from edgepack.runtime.serve.messages import PredictAnswer, PredictRequest
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.repository import Pace, Repository
from edgepack.runtime.serve.settings import ModelSettings, Settings
from tests.zoo import packs
from tests.zoo.packs import Files

QUICK = Pace(debounce_s=0.02, settle_s=0.15, rescan_s=0.5)
SAMPLE = [2.0, -1.0, 0.5, 4.0]


def numbered(number: int | str) -> tuple[Manifest, Files]:
    """A pack of one variant whose labels end with a number."""
    manifest, files = packs.mlp()
    labels = [f"{color}@{number}" for color in ("red", "green", "blue")]
    steps = Steps(inputs=manifest.steps.inputs, outputs={"y": (Step("classify", {"labels": labels, "top": 1}),)})
    return msgspec.structs.replace(manifest, variants=manifest.variants[:1], steps=steps), files


def put(folder: Path, name: str, version: int) -> Path:
    """Write a sound pack as a version, in one step."""
    (folder / name).mkdir(exist_ok=True)
    write_pack(folder / name / f"{version}.edgepack", *numbered(version), force=True)
    return folder / name / f"{version}.edgepack"


def truncated(number: int) -> bytes:
    """The first part of a sound pack."""
    data = sound(number)
    return data[: len(data) * 2 // 3]


def wrong_digest(number: int) -> bytes:
    """A pack with one byte of the model changed."""
    data, model = sound(number), (packs.ZOO / "mlp.onnx").read_bytes()
    place = data.index(model) + len(model) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def wrong_goldens(number: int) -> bytes:
    """A whole pack whose model gives other answers than its golden samples."""
    manifest, files = numbered(number)
    data = encode_array(packs.outputs("mlp")[1]["y"][:4] + np.float32(0.01))
    golden = msgspec.structs.replace(manifest.goldens[0], outputs={"y": reference("golden/out_y.npy", data)})
    return packed(msgspec.structs.replace(manifest, goldens=(golden,)), files | {"golden/out_y.npy": data})


def sound(number: int) -> bytes:
    """A sound pack."""
    return packed(*numbered(number))


def packed(manifest: Manifest, files: Files) -> bytes:
    """The bytes of a pack."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.edgepack"
        write_pack(path, manifest, files)
        return path.read_bytes()


BAD: dict[str, Callable[[int], bytes]] = {
    "truncated": truncated, "wrong digest": wrong_digest, "wrong goldens": wrong_goldens, "empty": lambda _: b"",
    "no pack": lambda _: b"hello" * 100,
}  # fmt: skip


class Counting(Metrics):
    """Metrics that remember what they were told of loading."""

    def __init__(self) -> None:
        self.ready: list[tuple[str, str]] = []
        self.gone: list[tuple[str, str]] = []
        self.refused: list[tuple[str, str, bool]] = []
        self.waiting: list[tuple[str, str, int]] = []

    def loaded(self, model: str, version: str, **_: Any) -> None:
        self.ready.append((model, version))

    def queued(self, model: str, version: str, rows: int) -> None:
        self.waiting.append((model, version, rows))

    def unloaded(self, model: str, version: str) -> None:
        self.gone.append((model, version))

    def load_failed(self, model: str, version: str, *, golden: bool) -> None:
        self.refused.append((model, version, golden))


class Server:
    """A repository over a folder with its plane, as a context manager."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        options = {key: changes.pop(key) for key in ("opener",) if key in changes}
        default = ModelSettings(versions=changes.pop("versions", 1), timeout_s=changes.pop("timeout_s", 30.0))
        self.metrics = Counting()
        settings = Settings(models=str(folder), default=default, **changes)
        self.repository = Repository(settings, self.metrics, pace=QUICK, **options)
        self.plane = Plane(self.repository, "0")

    async def __aenter__(self) -> "Server":
        await self.repository.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.repository.stop()

    async def ask(self, name: str = "m", version: str = "", **options: Any) -> str:
        """The version that answers; what it answers is held against it."""
        answer = await self.plane.predict(PredictRequest(name, [SAMPLE], version, **options))
        return told(answer)

    def states(self, name: str = "m") -> dict[str, str]:
        """Version → state."""
        return {entry.version: entry.state for entry in self.repository.index() if entry.name == name}

    def causes(self, name: str = "m") -> dict[str, str]:
        """Version → why it is unavailable, in a word."""
        return {entry.version: entry.cause for entry in self.repository.index() if entry.name == name}

    def reason(self, version: str, name: str = "m") -> str:
        """Why a version is in its state."""
        return next(one.reason for one in self.repository.index() if (one.name, one.version) == (name, version))

    async def until(self, holds: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.01)

    def answers_with(self, version: str, name: str = "m") -> bool:
        """Whether the default is this version now."""
        served = self.repository.ready(name)
        return served is not None and served.version == version


def told(answer: PredictAnswer) -> str:
    """The version of an answer, which its label tells too."""
    [result] = answer.results
    label = str(result[0].label if hasattr(result[0], "label") else result[0])
    assert f"@{answer.version}" in label, (answer.version, result)
    return answer.version
