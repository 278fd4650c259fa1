"""LiteRT's accelerators and delegates that really run, each in a process of its own: some take it down.

A GPU is a Vulkan driver that is a program (SwiftShader), in the folder that EDGEPACK_TEST_VULKAN names.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgepack.runtime import engines
from tests.zoo.packs import ZOO

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("litert" not in engines.available(), reason="engine 'litert' is not installed"),
]

ROOT = Path(__file__).parents[2]
DRIVER = "vk_swiftshader_icd.json"
PAIR = {"total": [[4.0, 7.0]], "product": [[3.0, 10.0]]}  # of [[1, 2]] and [[3, 5]]

_RUN = """
import json, sys
import numpy as np
from edgepack.runtime import engines
from edgepack.runtime.engines.base import Opening
from edgepack.runtime.errors import EngineError

path, how = sys.argv[1], json.loads(sys.argv[2])
data = open(path, "rb").read()
try:
    engine = engines.open_file("litert", data, Opening(**how))
    if "pair" in path:
        feeds = {"a": np.array([[1, 2]], np.float32), "b": np.array([[3, 5]], np.float32)}
    else:
        rng = np.random.default_rng(0)
        feeds = {spec.name: rng.standard_normal(spec.shape).astype(spec.dtype) for spec in engine.inputs}
    found = [array.tolist() for array in engine.run(feeds)]
    if "threads" in sys.argv:
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(4) as pool:
            for many in pool.map(lambda _: engine.run(feeds), range(40)):
                assert [array.tolist() for array in many] == found
    told = {
        "outputs": dict(zip([spec.name for spec in engine.outputs], found)),
        "provider": engine.provider, "placement": dict(engine.placement),
    }
    engine.close()
except EngineError as error:
    told = {"error": str(error)}
print(json.dumps(told))
"""


def run(
    file: str, provider: str, *more: str, environment: dict[str, str] | None = None, **how: Any
) -> tuple[dict[str, Any], str]:
    """What an engine tells in a process of its own, and what that wrote to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(ZOO / f"{file}.tflite"), json.dumps({"provider": provider, **how}), *more],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)  # nothing else may have been written there
    return told, done.stderr


@pytest.fixture(scope="module")
def gpu() -> dict[str, str]:
    """What the environment needs for a GPU that is a program."""
    folder = Path(os.environ.get("EDGEPACK_TEST_VULKAN", ROOT / ".venv-providers" / "vulkan"))
    if not (folder / DRIVER).is_file():
        pytest.skip(f"no Vulkan driver in {folder}: name its folder in EDGEPACK_TEST_VULKAN")
    return {"LD_LIBRARY_PATH": str(folder), "VK_ICD_FILENAMES": str(folder / DRIVER)}


@pytest.fixture(scope="module")
def delegate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delegate compiled from C, that takes ADD and MUL."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no gcc to compile a delegate with")
    library = tmp_path_factory.mktemp("delegate") / "libtestdelegate.so"
    source = Path(__file__).with_name("delegate.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source)], check=True, timeout=60)
    return library


needs_compiled_models = pytest.mark.skipif(
    engines.library("litert") != "ai_edge_litert", reason="tflite-runtime has no compiled models"
)


@needs_compiled_models
@pytest.mark.parametrize("file", ["mlp", "pair"])
@pytest.mark.parametrize("strict", [False, True], ids=["loose", "strict"])
def test_a_gpu_gives_the_answers_of_the_cpu(gpu: dict[str, str], file: str, strict: bool) -> None:
    found, chatter = run(file, "GpuAccelerator", environment=gpu, strict=strict)
    wanted, _ = run(file, "XNNPACK")
    assert found["provider"] == "gpu"
    assert found["placement"] == {"GpuAccelerator": 0}  # it does not count them
    for name, rows in wanted["outputs"].items():
        assert found["outputs"][name][0] == pytest.approx(rows[0], abs=1e-4)
    assert "WebGPU environment" not in chatter
    assert "Attempting to load" not in chatter


@needs_compiled_models
def test_threads_take_turns_on_a_gpu(gpu: dict[str, str]) -> None:
    found, _ = run("pair", "GpuAccelerator", "threads", environment=gpu)
    assert found["outputs"] == PAIR


@needs_compiled_models
def test_a_look_for_a_gpu_tells_that_it_is_a_program(gpu: dict[str, str]) -> None:
    code = """
from edgepack.runtime import engines
(offer,) = [offer for offer in engines.offers("litert") if offer.kind == "gpu"]
found = offer.look()
print(found.software, found.device)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, **gpu},
    )  # fmt: skip
    assert done.stdout.startswith("True SwiftShader")


@needs_compiled_models
def test_a_gpu_without_a_driver_is_told(tmp_path: Path) -> None:
    environment = {"VK_ICD_FILENAMES": str(tmp_path / "none.json"), "VK_DRIVER_FILES": str(tmp_path / "none.json")}
    found, _ = run("pair", "GpuAccelerator", environment=environment)
    assert "GpuAccelerator, does not run the file: " in found["error"]
    assert "No adapters found" in found["error"]
    assert "'cpu'" in found["error"]


@needs_compiled_models
@pytest.mark.parametrize("strict", [False, True], ids=["loose", "strict"])
def test_an_npu_that_is_not_there_is_caught(strict: bool) -> None:
    """LiteRT says of itself that the file is fully accelerated."""
    found, _ = run("pair", "NpuAccelerator", strict=strict, reduced=True)
    assert "NpuAccelerator, does not run the file: " in found["error"]
    assert ("stay with the CPU" in found["error"]) is not strict


@needs_compiled_models
@pytest.mark.parametrize(
    ("file", "reason"), [("tally", "keeps state inside"), ("lstm", "keeps state inside"), ("mlp_free", "--batch 1")]
)
def test_a_file_that_cannot_be_compiled_says_what_to_do(gpu: dict[str, str], file: str, reason: str) -> None:
    found, _ = run(file, "GpuAccelerator", environment=gpu)
    assert reason in found["error"]


@needs_compiled_models
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"speed": "on"}, "unknown option 'speed' of GpuOptions (known: "),
        ({"enforce_f32": "maybe"}, "option 'enforce_f32' of GpuOptions cannot be 'maybe' (known: on, off)"),
    ],
    ids=["name", "value"],
)
def test_an_option_that_there_is_none_of_is_refused(options: dict[str, str], reason: str) -> None:
    found, _ = run("pair", "GpuAccelerator", options=options)
    assert reason in found["error"]


def test_a_delegate_takes_operators_and_computes_them(delegate: Path) -> None:
    found, _ = run("pair", f"delegate:{delegate}")
    assert found == {"outputs": PAIR, "provider": "npu", "placement": {delegate.name: 2}}


def test_the_results_are_the_delegates(delegate: Path) -> None:
    found, _ = run("pair", f"delegate:{delegate}", options={"offset": "0.5"})
    assert found["outputs"] == {"total": [[4.5, 7.5]], "product": [[3.5, 10.5]]}


def test_operators_are_counted_for_each_delegate(delegate: Path) -> None:
    found, _ = run("pair", f"delegate:{delegate}", options={"take": "ADD", "offset": "1"})
    assert found["placement"] == {delegate.name: 1, "XNNPACK": 1}
    assert found["outputs"] == {"total": [[5.0, 8.0]], "product": PAIR["product"]}


def test_threads_take_turns_on_a_delegate(delegate: Path) -> None:
    assert run("pair", f"delegate:{delegate}", "threads")[0]["outputs"] == PAIR


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"options": {"take": "none"}}, "takes none of the operators (the others: XNNPACK 2)"),
        ({"options": {"take": "MUL"}, "strict": True}, "takes 1 of the operators (the others: XNNPACK 1)"),
        ({"options": {"fail": "no chip is plugged in"}}, "refuses to start: "),
        ({"options": {"fail": "no chip is plugged in"}}, "no chip is plugged in"),
    ],
    ids=["takes-nothing", "takes-a-part", "refuses", "refuses-in-its-words"],
)
def test_a_delegate_that_does_not_do_is_refused(delegate: Path, how: dict[str, Any], reason: str) -> None:
    assert reason in run("pair", f"delegate:{delegate}", **how)[0]["error"]


def test_a_library_that_is_none_or_no_delegate_is_refused(tmp_path: Path, delegate: Path) -> None:
    assert "cannot be loaded" in run("pair", f"delegate:{tmp_path / 'none.so'}")[0]["error"]
    text = tmp_path / "text.so"
    text.write_text("no library")
    assert "cannot be loaded" in run("pair", f"delegate:{text}")[0]["error"]
    other = tmp_path / "other.so"
    subprocess.run(["gcc", "-shared", "-o", str(other), "-x", "c", "/dev/null"], check=True, timeout=60)
    assert "is no delegate: it has no function tflite_plugin" in run("pair", f"delegate:{other}")[0]["error"]
