"""ONNX Runtime's plugins, really run: a GPU and an NPU that are programs, and one that takes less than it says.

Each in a child process, as `scripts/providers` set it up.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.providers import gpu

pytestmark = pytest.mark.slow

WEBGPU, QNN, LIAR = "WebGpuExecutionProvider", "QNNExecutionProvider", "nxrt_ep_cpu"
MODULES = {WEBGPU: "onnxruntime_ep_webgpu", QNN: "onnxruntime_qnn", LIAR: "nxrt_ep_cpu"}
PARITY = 1e-4  # float32, summed in another order

# Opens a file on a provider and on the CPU, runs both, and prints what it saw: nothing else may reach stdout.
_RUN = """
import json, sys
import numpy as np
import edgepack
from edgepack.runtime.engines import Opening, open_file
from edgepack.runtime.session import Session

path, name, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
data = open(path, "rb").read()
try:
    engine = open_file("onnx", data, Opening(name, **options))
except edgepack.EdgepackError as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
    raise SystemExit
there, here = Session(engine, "there"), edgepack.load(path, engine="onnx", threads=1)
rng, far = np.random.default_rng(1), 0.0
for rows in (1, 3):
    x = {spec.name: rng.random((rows, *spec.shape[1:])).astype(spec.dtype) for spec in there.inputs}
    found, wanted = there.run(x), here.run(x)
    far = max([far] + [float(np.abs(found[key] - wanted[key]).max()) for key in wanted])
x = {key: array[:1].copy() for key, array in x.items()}
buffers = [np.full([size or 1 for size in spec.shape], np.nan, spec.dtype) for spec in engine.outputs]
for scale in (1, 2):
    for array in x.values(): array *= scale
    engine.run_into(x, buffers)
    far = max([far] + [float(np.abs(a - b).max()) for a, b in zip(buffers, here.run(x).values(), strict=True)])
print(json.dumps({
    "provider": engine.provider, "placement": dict(engine.placement), "elsewhere": engine.elsewhere, "far": far,
    "shapes": [spec.shape for spec in engine.inputs], "library": engine.name.description,
}))
"""

_LOOK = """
import json, sys
from msgspec.structs import asdict
from edgepack.runtime.engines import offers
offer = {offer.name: offer for offer in offers("onnx")}[sys.argv[1]]
print(json.dumps({"missing": offer.missing(), **asdict(offer.look())}))
"""

# Opens a file on a provider with a cache of its own; says whether the file itself was compiled.
_AGAIN = """
import json, os, pathlib, sys
os.environ["EDGEPACK_CACHE"] = sys.argv[3]
import numpy as np
from edgepack.runtime.engines import Opening, onnx, open_file

kept = len(list(pathlib.Path(sys.argv[3]).glob("prepared/*.ctx.onnx")))
calls, fixed = [], onnx._open_fixed
onnx._open_fixed = lambda *given, **more: calls.append(1) or fixed(*given, **more)
engine = open_file("onnx", open(sys.argv[1], "rb").read(), Opening(sys.argv[2]))
x = {spec.name: np.linspace(0, 1, int(np.prod(spec.shape)), dtype=spec.dtype).reshape(spec.shape)
     for spec in engine.inputs}
y = [array.tolist() for array in engine.run(x)]
print(json.dumps({"kept": kept, "made": bool(calls), "placement": dict(engine.placement), "y": y}))
"""

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def on(tmp_path: Path) -> Run:
    """Run a file on a provider and return what was printed; `card` and `driver` say what of a GPU there is."""

    def run(name: str, code: str, *arguments: object, card: bool = True, driver: bool = True) -> dict[str, Any]:
        folder = gpu.packages(MODULES[name])
        needs_gpu = name == WEBGPU
        done = gpu.run(
            code, *arguments, folder=folder,
            start=gpu.card(tmp_path) if needs_gpu and card else (),
            environment=gpu.vulkan() if needs_gpu and driver else {"VK_ICD_FILENAMES": "", "VK_DRIVER_FILES": "none"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\n") == 1, f"something else reached stdout: {done.stdout}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def opened(on: Run, name: str, file: Path, *, card: bool = True, driver: bool = True, **options: Any) -> dict[str, Any]:
    return on(name, _RUN, file, name, json.dumps(options), card=card, driver=driver)


@pytest.mark.parametrize("strict", [False, True], ids=["loose", "strict"])
@pytest.mark.parametrize(("name", "kind"), [(WEBGPU, "gpu"), (QNN, "npu")], ids=["webgpu", "qnn"])
def test_every_operator_of_a_cnn_runs_there_and_right(on: Run, cnn: Path, name: str, kind: str, strict: bool) -> None:
    found = opened(on, name, cnn, strict=strict)
    assert found["provider"] == kind
    assert list(found["placement"]) == [name]
    assert found["placement"][name] >= 9
    assert found["elsewhere"] == []
    assert found["far"] <= PARITY


@pytest.mark.parametrize("name", [WEBGPU, QNN], ids=["webgpu", "qnn"])
def test_a_free_batch_is_fixed_and_rows_are_taken_one_by_one(on: Run, cnn: Path, name: str) -> None:
    assert opened(on, name, cnn)["shapes"] == [[1, 1, 12, 12]]


@pytest.mark.parametrize("name", [WEBGPU, QNN], ids=["webgpu", "qnn"])
def test_the_library_tells_its_version(on: Run, cnn: Path, name: str) -> None:
    assert f" with {name} " in opened(on, name, cnn)["library"]


@pytest.mark.parametrize(
    ("name", "device"), [(WEBGPU, "SwiftShader"), (QNN, "Qualcomm's simulator")], ids=["webgpu", "qnn"]
)
def test_a_program_on_the_cpu_is_labelled(on: Run, name: str, device: str) -> None:
    found = on(name, _LOOK, name)
    assert (found["missing"], found["why_not"], found["software"]) == ("", "", True)
    assert device in found["device"]


@pytest.mark.parametrize("name", [WEBGPU, QNN, LIAR], ids=["webgpu", "qnn", "liar"])
def test_an_unknown_option_is_refused(on: Run, cnn: Path, name: str) -> None:
    found = opened(on, name, cnn, options={"bogusOption": "1"})
    assert found["error"].startswith(f"EngineError: {name} has no option 'bogusOption'")


def test_a_known_option_is_taken(on: Run, cnn: Path) -> None:
    found = opened(on, WEBGPU, cnn, options={"preferredLayout": "NHWC"})
    assert found["placement"][WEBGPU] >= 9
    assert found["far"] <= PARITY


def test_a_gpu_without_a_driver_is_an_error_that_says_so(on: Run, cnn: Path) -> None:
    assert "No supported adapters" in opened(on, WEBGPU, cnn, driver=False)["error"]
    assert "Vulkan" in on(WEBGPU, _LOOK, WEBGPU, driver=False)["why_not"]


def test_a_driver_without_a_gpu_is_an_error_that_says_so(on: Run, cnn: Path) -> None:
    if any(Path("/sys/class/drm").glob("card*")):
        pytest.skip("this machine has a GPU")
    assert "finds no device here" in opened(on, WEBGPU, cnn, card=False)["error"]
    assert "finds no device here" in on(WEBGPU, _LOOK, WEBGPU, card=False)["why_not"]


def test_what_the_npu_cannot_run_is_an_engine_error(on: Run, lstm: Path) -> None:
    assert opened(on, QNN, lstm)["error"].startswith("EngineError: ONNX Runtime")


@pytest.mark.parametrize("strict", [False, True], ids=["loose", "strict"])
def test_a_provider_that_takes_nothing_is_caught(on: Run, cnn: Path, strict: bool) -> None:
    """It registers, and `get_providers` names it first; all operators of this file run on the CPU."""
    said = "fallback to CPU EP" if strict else f"{LIAR} took none of the 9 operators"
    assert said in opened(on, LIAR, cnn, strict=strict)["error"]


def test_a_provider_is_counted_under_its_real_name(on: Run, mlp_file: Path) -> None:
    found = opened(on, LIAR, mlp_file)
    assert (list(found["placement"]), found["provider"]) == (["cpu_ep"], "cpu")
    assert found["far"] <= PARITY


_BY_KIND = """
import json, sys, edgepack
session = edgepack.load(sys.argv[1], provider=sys.argv[2], threads=1)
print(json.dumps({"provider": session.provider, "placement": dict(session.placement)}))
"""


@pytest.mark.parametrize(("name", "kind"), [(WEBGPU, "gpu"), (QNN, "npu")], ids=["webgpu", "qnn"])
def test_it_is_found_by_its_kind(on: Run, cnn: Path, name: str, kind: str) -> None:
    found = on(name, _BY_KIND, cnn, kind)
    assert (found["provider"], list(found["placement"])) == (kind, [name])


_THREADS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from edgepack.runtime.engines import Opening, open_file
data = open(sys.argv[1], "rb").read()
def opened(name): return open_file("onnx", data, Opening(name))
with ThreadPoolExecutor(3) as pool:
    shared, *others = pool.map(opened, [sys.argv[2]] * 3)
here = opened("CPUExecutionProvider")
def work(number):
    rng, far = np.random.default_rng(number), 0.0
    for turn in range(8):
        x = {"x": rng.random((1, 1, 12, 12), dtype=np.float32)}
        engine = (shared, others[number % 2])[turn % 2]
        far = max(far, float(np.abs(engine.run(x)[0] - here.run(x)[0]).max()))
    return far
with ThreadPoolExecutor(4) as pool:
    far = max(pool.map(work, range(4)))
others.pop().close()
print(json.dumps({"far": far}))
"""


@pytest.mark.parametrize("name", [WEBGPU, QNN], ids=["webgpu", "qnn"])
def test_threads_open_and_run_it_at_once_and_are_right(on: Run, cnn: Path, name: str) -> None:
    assert on(name, _THREADS, cnn, name)["far"] <= PARITY


def test_what_an_npu_compiled_is_taken_at_the_next_start(on: Run, cnn: Path, tmp_path: Path) -> None:
    first, second = (on(QNN, _AGAIN, cnn, QNN, tmp_path / "cache") for _ in range(2))
    assert (first["kept"], second["kept"]) == (0, 1)
    assert (first["made"], second["made"]) == (True, False)
    assert second["placement"] == first["placement"]
    assert second["y"] == first["y"]
