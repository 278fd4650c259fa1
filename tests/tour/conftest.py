"""The README's tour, taken once as it stands: what it came to is what the tests here look at."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Tour:
    """The folder the tour ended in, and what each command printed."""

    folder: Path
    printed: dict[str, str]

    @property
    def report(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.folder / "digits.report.json").read_text(encoding="utf-8"))
        return loaded


def tour_commands() -> list[str]:
    """The commands of the README's tour."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- tour:.*?-->\n```bash\n(.*?)```", text, re.DOTALL)
    assert block, "the README has its tour"
    return block[1].strip().splitlines()


@pytest.fixture(scope="session")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    folder = tmp_path_factory.mktemp("tour")
    shutil.copytree(ROOT / "examples", folder / "examples")
    printed = {}
    for command in tour_commands():
        program, *arguments = shlex.split(command)
        assert program == "edgepack"
        done = subprocess.run(
            [sys.executable, "-m", "edgepack", *arguments],
            cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        printed[arguments[0]] = done.stdout
    return Tour(folder, printed)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tree: a build leaves files behind."""
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("src", "runtime", "convert", "train", "benchmarks", "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, copy / name, ignore=ignore) if source.is_dir() else shutil.copy(source, copy / name)
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))
