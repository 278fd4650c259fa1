"""The wheel holds the five rooms under one name, and nothing else."""

import tomllib
import zipfile
from pathlib import Path

from tests.tour.conftest import ROOT

_TAKEN = {".py", ".j2", ".proto", ".html", ".css", ".js", ".svg"}


def test_the_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    homes = {"edgepack": ROOT / "src" / "edgepack"} | {
        f"edgepack/{room}": ROOT / room for room in ("benchmarks", "convert", "runtime", "train")
    }
    wanted = {
        f"{home}/{file.relative_to(folder).as_posix()}"
        for home, folder in homes.items()
        for file in folder.rglob("*")
        if file.suffix in _TAKEN or file.name == "py.typed"
    }
    assert held == wanted


def test_the_base_install_is_numpy_and_msgspec() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [line.split(">")[0] for line in project["dependencies"]] == ["numpy", "msgspec"]
