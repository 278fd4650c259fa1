"""Random requests to models of the zoo in two versions, with their right answers worked out by numpy alone."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edgepack.runtime.manifest import Manifest, Step, Steps
from edgepack.runtime.pack import encode_array, reference
from edgepack.runtime.serve.state import CANARY, STABLE, StateFile
from edgepack.runtime.tensor import Array
from tests.zoo import make, packs
from tests.zoo.packs import Files

VERSIONS = (1, 2)
ASKED = {"": 1, "1": 1, "2": 2, STABLE: 1, CANARY: 2}  # what a request may name -> the version that must answer
TOLERANCE = 1e-5  # float32, one matrix product and a softmax
_COLORS = ("red", "green", "blue")

Tensors = dict[str, Array]


class Case(NamedTuple):
    """One model: its pack in version 1, what to change in the file for version 2, and what each version answers."""

    pack: Callable[[], tuple[Manifest, Files]]
    change: tuple[bytes, bytes]
    draw: Callable[[np.random.Generator], Tensors]
    answer: Callable[[Tensors, int], Tensors]


def _rows(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 5))


def _floats(rng: np.random.Generator, *shape: int) -> Array:
    return rng.uniform(-2, 2, (_rows(rng), *shape)).astype(np.float32)


def _sign(version: int) -> int:
    return 1 if version == 1 else -1


def _mlp(given: Tensors, version: int) -> Tensors:
    scores = given["x"].astype(np.float64) @ (make.MLP_WEIGHTS * _sign(version)) + make.MLP_BIAS
    return {"y": make.softmax(scores)}


def _pair(given: Tensors, version: int) -> Tensors:
    a, b = given["a"], given["b"]
    return {"total": a + b, "product": a * b if version == 1 else a - b}


def _tiles(given: Tensors, version: int) -> Tensors:
    flat = given["image"].reshape(-1, 16).astype(np.float64)
    return {"scores": make.softmax(flat @ (make.TILE_WEIGHTS * _sign(version)))}


def _ids(given: Tensors, version: int) -> Tensors:
    return {"y": (make.EMBEDDING * _sign(version))[given["ids"]].mean(axis=1)}


def _steps(given: Tensors, version: int) -> Tensors:
    each = given["x"].astype(np.float64) @ (make.STEP_WEIGHTS * _sign(version))
    return {"each": each, "most": each.max(axis=1)}


def _turned(weights: Array) -> tuple[bytes, bytes]:
    return weights.tobytes(), (-weights).tobytes()


CASES = {
    "mlp": Case(packs.mlp, _turned(make.MLP_WEIGHTS), lambda rng: {"x": _floats(rng, 4)}, _mlp),
    "pair": Case(
        packs.pair, (b"Mul", b"Sub"),
        lambda rng: dict(zip("ab", rng.uniform(-2, 2, (2, _rows(rng), 2)).astype(np.float32), strict=True)), _pair,
    ),
    "tiles": Case(packs.tiles, _turned(make.TILE_WEIGHTS), lambda rng: {"image": _floats(rng, 4, 4, 1)}, _tiles),
    "ids": Case(
        packs.ids, _turned(make.EMBEDDING), lambda rng: {"ids": rng.integers(0, 10, (_rows(rng), 5))}, _ids
    ),
    "steps": Case(
        packs.steps, _turned(make.STEP_WEIGHTS), lambda rng: {"x": _floats(rng, int(rng.integers(1, 7)), 2)}, _steps
    ),
}  # fmt: skip


def write_models(folder: Path) -> None:
    """Write both versions of every model, with `stable` on the first and `canary` on the second."""
    for name, case in CASES.items():
        (folder / name).mkdir()
        for version in VERSIONS:
            packs.write(folder / name / f"{version}.edgepack", _version(case, version))
        StateFile(folder).change(name, lambda state: state.labelled(STABLE, 1).labelled(CANARY, 2))


def _version(case: Case, version: int) -> tuple[Manifest, Files]:
    """A pack of the ONNX file alone, which answers as its version does; its labels tell the version."""
    manifest, files = case.pack()
    variant, golden = manifest.variants[0], manifest.goldens[0]
    data = files[variant.file.path]
    if version == 2:
        assert data.count(case.change[0]) == 1
        data = data.replace(*case.change)
    given = {name: np.load(_file(files[ref.path])) for name, ref in golden.inputs.items()}
    right = case.answer(given, version)
    files = {
        variant.file.path: data,
        **{ref.path: files[ref.path] for ref in golden.inputs.values()},
        **{ref.path: encode_array(right[name].astype(np.float32)) for name, ref in golden.outputs.items()},
    }
    golden = msgspec.structs.replace(
        golden, outputs={name: reference(ref.path, files[ref.path]) for name, ref in golden.outputs.items()}
    )
    return msgspec.structs.replace(
        manifest, variants=(msgspec.structs.replace(variant, file=reference(variant.file.path, data)),),
        goldens=(golden,), steps=_steps_of(manifest, version), labels={},
    ), files  # fmt: skip


def _steps_of(manifest: Manifest, version: int) -> Steps:
    outputs = {
        name: (Step("classify", {"labels": [f"{color}@{version}" for color in _COLORS], "top": 3}),)
        for name in manifest.steps.outputs
    }
    return Steps(inputs=manifest.steps.inputs, outputs=outputs)


def _file(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


def wrong(found: Tensors, right: Tensors) -> str:
    """How an answer differs from the right one; empty where it does not."""
    if found.keys() != right.keys():
        return f"outputs {sorted(found)} for {sorted(right)}"
    for name, array in right.items():
        if found[name].shape != array.shape:
            return f"{name} of shape {found[name].shape} for {array.shape}"
        if not np.allclose(found[name], array, rtol=0, atol=10 * TOLERANCE):
            return f"{name} is off by {np.abs(found[name] - array).max()}"
    return ""


def prepared(model: str, raw: Array) -> Tensors:
    """What the steps of `mlp` and `tiles` make of raw samples."""
    if model == "mlp":
        return {"x": raw * np.float32(0.5) + np.float32(1)}
    return {"image": raw.astype(np.float32) / np.float32(255)}


def raw_samples(model: str, rng: np.random.Generator) -> Array:
    """Raw samples for `mlp` (numbers) or `tiles` (pixels)."""
    return _floats(rng, 4) if model == "mlp" else rng.integers(0, 256, (_rows(rng), 4, 4, 1), np.uint8)


def labelled(scores: Array, version: int) -> list[list[tuple[str, float]]]:
    """For each row the labels with their scores, the best first."""
    labels = [f"{color}@{version}" for color in _COLORS]
    return [sorted(zip(labels, map(float, row), strict=True), key=lambda one: -one[1]) for row in scores]


def pick(rng: random.Random) -> tuple[str, str]:
    """A model, and what a request names as its version."""
    return rng.choice(list(CASES)), rng.choice(list(ASKED))
