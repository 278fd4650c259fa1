"""What every room shares: the header of versions, the packs of the zoo, and a child process."""

import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import pytest

from edgepack.__main__ import main
from edgepack.runtime import cache_folder, engines, providers
from edgepack.runtime.device import this_device
from tests.zoo import packs

_LIBRARIES = (
    "edgepack", "numpy", "msgspec", "pillow", "onnxruntime", "ai-edge-litert", "tflite-runtime", "openvino", "onnx",
    "tensorflow", "keras", "tf2onnx",
)  # fmt: skip

Child = Callable[..., "subprocess.CompletedProcess[str]"]


class Done(NamedTuple):
    """What a command line came to."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process; what native libraries print is seen as well."""

    def command(*arguments: object) -> Done:
        code = main([str(argument) for argument in arguments])
        return Done(code, *capfd.readouterr())

    return command


def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests, and the processes they start, out of the real cache: from before the first import of a test.

    A shell lets what it starts in the background pass over Ctrl-C; the tests of it would find nothing then.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = tempfile.TemporaryDirectory(prefix="edgepack-cache-")
    config.add_cleanup(folder.cleanup)
    os.environ[cache_folder.ENVIRONMENT] = folder.name


def pytest_report_header() -> list[str]:
    device = this_device()
    runs = [f"{name} on {', '.join(providers.of_engine(name))}" for name in engines.available()]
    return [
        f"device: {device.cpu}, {device.usable_cores} usable cores, {platform.system()} {platform.machine()}",
        "libraries: " + ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES),
        "engines: " + ("; ".join(runs) or "none"),
    ]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what no test changes."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def mlp_pack(shared: Path) -> Path:
    return packs.write(shared / "mlp.edgepack", packs.mlp())


@pytest.fixture(scope="session")
def pair_pack(shared: Path) -> Path:
    return packs.write(shared / "pair.edgepack", packs.pair())


@pytest.fixture(scope="session")
def tiles_pack(shared: Path) -> Path:
    return packs.write(shared / "tiles.edgepack", packs.tiles())


_BLOCK = """
import sys
class Without:
    def __init__(self, finder): self.finder = finder
    def __getattr__(self, name): return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {blocked!r} else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


@pytest.fixture(scope="session")
def child(tmp_path_factory: pytest.TempPathFactory) -> Child:
    """Run Python code in a clean process, where the modules named in `without` cannot be found."""
    folder = tmp_path_factory.mktemp("child")

    def run(code: str, *arguments: object, without: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", (_BLOCK.format(blocked=set(without)) if without else "") + code,
             *map(str, arguments)],
            capture_output=True, text=True, cwd=folder, timeout=120, check=False,
            env={**os.environ, "COLUMNS": "120"},
        )  # fmt: skip

    return run
