"""Packs on providers that are not the CPU, through `edgepack.load`: tried first, proved on the golden samples, told."""

import json
from pathlib import Path

import pytest

from tests.providers import gpu

pytestmark = pytest.mark.slow

_LOAD = """
import json, sys
import numpy as np
import edgepack
pack, rows, asked = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
try:
    session = edgepack.load(pack, **asked)
except edgepack.EdgepackError as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
    raise SystemExit
here = edgepack.load(pack, variant=session.variant, provider="cpu")
with np.load(rows) as stored:
    x = {"x": stored["in_x"]}
far = max(float(np.abs(session.run(x)[name] - array).max()) for name, array in here.run(x).items())
print(json.dumps({
    "provider": session.provider, "placement": dict(session.placement), "device": session.device,
    "fallbacks": session.fallbacks, "engine": session.engine, "far": far,
}))
"""


def _load(pack: Path, folder: Path, module: str, *, start: tuple[str, ...] = (), **asked: object) -> dict[str, object]:
    from tests.zoo.packs import ZOO

    environment = {"EDGEPACK_CACHE": str(folder / "cache"), **(gpu.vulkan() if start else {"VK_DRIVER_FILES": "none"})}
    done = gpu.run(
        _LOAD, pack, ZOO / "mlp.npz", json.dumps(asked), folder=gpu.packages(module), start=start,
        environment=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_pack_runs_on_an_npu_and_says_that_it_is_software(mlp_pack: Path, tmp_path: Path) -> None:
    found = _load(mlp_pack, tmp_path, "onnxruntime_qnn", provider="npu", strict=True)
    assert found["provider"] == "npu", found
    assert found["placement"] == {"QNNExecutionProvider": 2}
    assert "software" in str(found["device"])
    assert float(str(found["far"])) < 1e-4


def test_a_pack_runs_on_a_gpu_and_says_that_it_is_software(mlp_pack: Path, tmp_path: Path) -> None:
    found = _load(
        mlp_pack, tmp_path, "onnxruntime_ep_webgpu", start=gpu.card(tmp_path), provider="WebGpuExecutionProvider"
    )
    assert found["provider"] == "gpu", found
    assert "software" in str(found["device"])
    assert float(str(found["far"])) < 1e-4


def test_a_gpu_without_a_driver_is_stepped_down_from(mlp_pack: Path, tmp_path: Path) -> None:
    found = _load(mlp_pack, tmp_path, "onnxruntime_ep_webgpu", provider=["WebGpuExecutionProvider", "cpu"])
    assert found["provider"] == "cpu", found
    assert "WebGpuExecutionProvider" in str(found["fallbacks"])


def test_strict_refuses_a_gpu_without_a_driver(mlp_pack: Path, tmp_path: Path) -> None:
    found = _load(mlp_pack, tmp_path, "onnxruntime_ep_webgpu", provider="WebGpuExecutionProvider", strict=True)
    assert "ProviderError" in str(found["error"])
