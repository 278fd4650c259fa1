"""Clean environments with one engine each, installed from the wheel, run the same pack and give the same labels."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tour.conftest import Tour

_FORBIDDEN = {"tensorflow", "keras", "onnx", "tf2onnx", "scipy", "pandas"}
_MOST_BYTES = 160 * 2**20  # with ONNX Runtime 1.32, which is larger than 1.31, it is 154 MiB

_SCRIPT = """
import json, sys
import numpy as np
import edgepack
pack, images = sys.argv[1], np.load(sys.argv[2])["image"]
session = edgepack.load(pack, variant="float32")  # whatever was chosen on this device
pixels = [(image[:, :, 0] * 255).round().astype("uint8") for image in images]
labels = [best[0].label for best in session.predict(pixels)]
session_facts = {"variant": session.variant, "engine": session.engine, "description": session.engine.description}
print(json.dumps({"labels": labels, "modules": sorted({name.split(".")[0] for name in sys.modules}), **session_facts}))
"""


@pytest.mark.parametrize(
    ("extra", "engine", "library"),
    [
        pytest.param("onnx", "onnx", "ONNX Runtime", id="onnx"),
        pytest.param("litert", "litert", "ai-edge-litert", id="litert", marks=pytest.mark.slow),
        pytest.param(
            "tflite-runtime", "litert", "tflite-runtime 2.14.0 (slower", id="tflite-runtime", marks=pytest.mark.slow
        ),
    ],
)
def test_a_clean_environment_gives_the_same_labels(
    tour: Tour, wheel: Path, tmp_path: Path, extra: str, engine: str, library: str
) -> None:
    python = _environment(tmp_path / "environment", f"{wheel}[{extra}]")
    command = [
        str(python),
        "-c",
        _SCRIPT,
        str(tour.folder / "digits.edgepack"),
        str(tour.folder / "digits.evaluation.npz"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["engine"] == engine
    assert found["description"].startswith(library)
    assert found["labels"] == _labels_here(tour)
    assert not _FORBIDDEN & set(found["modules"])
    assert _size_bytes(tmp_path / "environment") < _MOST_BYTES


def _environment(folder: Path, requirement: str) -> Path:
    """An environment with that one requirement and no pip, so that its size is what the package brings."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--disable-pip-version-check",
        requirement,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return python


def _labels_here(tour: Tour) -> list[str]:
    import edgepack

    images = np.load(tour.folder / "digits.evaluation.npz")["image"]
    with edgepack.load(tour.folder / "digits.edgepack", variant="float32") as session:
        return [str(best) for best in session(images).argmax(axis=1)]  # type: ignore[union-attr]


def _size_bytes(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
