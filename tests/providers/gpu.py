"""Child processes in which real providers run: with their packages, and with a GPU that is a program.

A provider may take its process down, so that none is loaded in the one that tests. `scripts/providers` gets the
packages and the Vulkan driver; they lie in `.venv-providers`, or where EDGEPACK_TEST_PACKAGES and EDGEPACK_TEST_VULKAN
say.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".venv-providers"
_GET = "run scripts/providers"
_DRIVER = "vk_swiftshader_icd.json"
_IDS = {"vendor": "0x1ae0", "device": "0xc0de"}  # SwiftShader's own

# A namespace in which /sys/class is another folder: ONNX Runtime looks for GPUs in /sys/class/drm.
_WITH_CARD = ("unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /sys/class && exec "$@"')

Done = subprocess.CompletedProcess[str]


def packages(*modules: str) -> Path:
    """The folder of the providers' packages; skips the test where one of them is not in it."""
    folder = Path(os.environ.get("EDGEPACK_TEST_PACKAGES", HOME / "packages"))
    if missing := [module for module in modules if not (folder / module).is_dir()]:
        pytest.skip(f"{', '.join(missing)} not in {folder}: {_GET}")
    return folder


def vulkan() -> dict[str, str]:
    """What the environment needs for the software Vulkan driver; skips the test where it is not there."""
    folder = Path(os.environ.get("EDGEPACK_TEST_VULKAN", HOME / "vulkan"))
    if not (folder / _DRIVER).is_file():
        pytest.skip(f"no Vulkan driver in {folder}: {_GET}")
    found = str(folder / _DRIVER)
    return {"LD_LIBRARY_PATH": str(folder), "VK_ICD_FILENAMES": found, "VK_DRIVER_FILES": found}


def card(folder: Path) -> tuple[str, ...]:
    """The start of a command that sees a GPU in /sys/class/drm; skips the test where the system forbids that."""
    device = folder / "class" / "drm" / "card0" / "device"
    device.mkdir(parents=True, exist_ok=True)
    for name, value in _IDS.items():
        (device / name).write_text(f"{value}\n")
    start = (*_WITH_CARD, str(folder / "class"))
    if why := _why_not(start):
        pytest.skip(f"no GPU can be put into /sys/class here: {why}")
    return start


@cache
def _why_not(start: tuple[str, ...]) -> str:
    if shutil.which(start[0]) is None:
        return f"{start[0]} is not installed"
    done = subprocess.run([*start, "true"], capture_output=True, text=True, timeout=60, check=False)
    return done.stderr.strip() if done.returncode else ""


def run(
    code: str, *arguments: object, folder: Path, start: tuple[str, ...] = (), environment: dict[str, str] | None = None
) -> Done:
    """Run Python code in a child process, with the packages in `folder` behind those of this process."""
    path = os.pathsep.join([entry for entry in (os.environ.get("PYTHONPATH"), str(folder)) if entry])
    return subprocess.run(
        [*start, sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
    )  # fmt: skip
