"""Packs made from the files of the zoo."""

from pathlib import Path
from typing import Any

import numpy as np

from edgepack.runtime.compare import Parity
from edgepack.runtime.manifest import FORMAT_VERSION, Golden, Manifest, Step, Steps, Variant
from edgepack.runtime.pack import encode_array, reference, write_pack
from edgepack.runtime.tensor import Array, TensorSpec

ZOO = Path(__file__).parent
PARITY = Parity(max_abs=1e-7, max_rel=1e-7, cosine=1.0, snr_db=140.0, agreement=1.0, samples=9)
TOLERANCE = 1e-5  # float32, one matrix product and a softmax

Files = dict[str, bytes]


def outputs(model: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """The stored inputs and right outputs of a model of the zoo, by name."""
    with np.load(ZOO / f"{model}.npz") as stored:
        return (
            {name[3:]: stored[name] for name in stored.files if name.startswith("in_")},
            {name[4:]: stored[name] for name in stored.files if name.startswith("out_")},
        )


def mlp(**changes: Any) -> tuple[Manifest, Files]:
    """A pack of two variants with golden samples, a step on the input and labels; `changes` go to the manifest."""
    return _pack(
        "mlp", ("mlp.onnx", "mlp.tflite"),
        inputs=(TensorSpec("x", (None, 4), "float32", "four measures"),),
        outputs=(TensorSpec("y", (None, 3), "float32"),),
        steps=Steps(
            inputs={"x": (Step("scale", {"factor": 0.5, "offset": 1.0}),)},
            outputs={"y": (Step("classify", {"labels": ["red", "green", "blue"], "top": 2}),)},
        ),
        labels={"y": ("red", "green", "blue")},
        provenance={"made by": "tests/zoo"},
        **changes,
    )  # fmt: skip


def pair(**changes: Any) -> tuple[Manifest, Files]:
    """Two inputs and two outputs; the manifest's order is not that of the files."""
    return _pack(
        "pair", ("pair.onnx", "pair.tflite"),
        inputs=(TensorSpec("a", (None, 2), "float32"), TensorSpec("b", (None, 2), "float32")),
        outputs=(TensorSpec("total", (None, 2), "float32"), TensorSpec("product", (None, 2), "float32")),
        **changes,
    )  # fmt: skip


def tiles(**changes: Any) -> tuple[Manifest, Files]:
    """A classifier of images of 4 × 4 grey pixels."""
    return _pack(
        "tiles", ("tiles.onnx",),
        inputs=(TensorSpec("image", (None, 4, 4, 1), "float32"),),
        outputs=(TensorSpec("scores", (None, 3), "float32"),),
        steps=Steps(
            inputs={
                "image": (
                    Step("image", {"mode": "grayscale"}), Step("resize", {"height": 4, "width": 4}),
                    Step("scale", {"factor": 1 / 255}),
                )
            },
            outputs={"scores": (Step("classify", {"labels": ["a", "b", "c"]}),)},
        ),
        **changes,
    )  # fmt: skip


def ids(**changes: Any) -> tuple[Manifest, Files]:
    """The mean of what stands for five whole numbers from 0 to 9."""
    return _pack(
        "ids", ("ids.onnx",),
        inputs=(TensorSpec("ids", (None, 5), "int64"),),
        outputs=(TensorSpec("y", (None, 2), "float32"),),
        **changes,
    )  # fmt: skip


def steps(**changes: Any) -> tuple[Manifest, Files]:
    """Any number of steps of two measures; what each gives, and the most of each."""
    return _pack(
        "steps", ("steps.onnx",),
        inputs=(TensorSpec("x", (None, None, 2), "float32"),),
        outputs=(TensorSpec("each", (None, None, 3), "float32"), TensorSpec("most", (None, 3), "float32")),
        **changes,
    )  # fmt: skip


def write(path: Path, pack: tuple[Manifest, Files]) -> Path:
    """Write a pack and return where it is."""
    write_pack(path, *pack)
    return path


def _pack(model: str, members: tuple[str, ...], **manifest: Any) -> tuple[Manifest, Files]:
    given, wanted = outputs(model)
    files: Files = {f"models/{name}": (ZOO / name).read_bytes() for name in members}
    files |= {f"golden/in_{name}.npy": encode_array(array[:4]) for name, array in given.items()}
    files |= {f"golden/out_{name}.npy": encode_array(array[:4]) for name, array in wanted.items()}
    refs = {name: reference(name, data) for name, data in files.items()}
    golden = Golden(
        {name: refs[f"golden/in_{name}.npy"] for name in given},
        {name: refs[f"golden/out_{name}.npy"] for name in wanted},
    )
    formats = {".onnx": "onnx", ".tflite": "tflite"}
    variants = tuple(
        Variant(f"{kind}-float32", kind, "float32", refs[f"models/{name}"], PARITY, TOLERANCE)
        for name in members
        for kind in [formats[Path(name).suffix]]
    )
    given_facts: dict[str, Any] = {
        "format_version": FORMAT_VERSION, "name": model, "variants": variants, "goldens": (golden,), **manifest
    }  # fmt: skip
    return Manifest(**given_facts), files
