"""The commands: what they print where, what they write, and what they refuse before any measuring."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgepack.benchmarks import cli
from edgepack.benchmarks.report import encode, read_report
from edgepack.runtime.errors import EngineError, InputError, OutputError
from tests.benchmarks.makers import report, result

QUICK: dict[str, Any] = {"threads": "1", "rounds": 1, "seconds": 0.01}


def test_results_go_to_stdout_and_everything_else_to_stderr(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.bench(pack, engine="onnx", **QUICK) == 0
    out, err = capsys.readouterr()
    assert "onnx-int8" in out
    assert "p50 µs" in out
    assert "failed: onnx-float16, onnx, threads=1: ONNX Runtime" in err
    assert "[6/6] measured" in err


def test_json_prints_one_report_and_nothing_else_on_stdout(pack: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.bench(pack, json=True, variant="int8,float32", engine="onnx", **QUICK) == 0
    found = json.loads(capfd.readouterr().out)
    assert [one["variant"] for one in found["results"]] == ["onnx-float32", "onnx-int8"]


def test_report_and_page_are_written(pack: Path, tmp_path: Path) -> None:
    html, output = tmp_path / "report.html", tmp_path / "report.json"
    assert cli.bench(pack, html=html, output=output, variant="int8", engine="onnx", **QUICK) == 0
    assert html.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert read_report(output).results[0].variant == "onnx-int8"


@pytest.mark.parametrize("option", ["html", "output"])
def test_a_file_that_exists_is_kept_and_refused_before_measuring(
    pack: Path, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old"
    old.write_text("precious")
    with pytest.raises(OutputError, match="exists already; pass --force"):
        cli.bench(pack, **{option: old}, **QUICK)
    assert old.read_text() == "precious"
    assert capsys.readouterr().err == ""
    assert cli.bench(pack, **{option: old}, force=True, **QUICK) == 0
    assert old.read_text() != "precious"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"threads": "1,two"}, "threads is '1,two'; it takes whole numbers separated by commas"),
        ({"variant": " , "}, "names nothing"),
    ],
    ids=["threads", "variant"],
)
def test_a_list_that_is_none_is_refused(pack: Path, options: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        cli.bench(pack, **options)


def test_nothing_that_runs_is_an_error_with_the_reason(pack: Path) -> None:
    with pytest.raises(EngineError, match=r"nothing in .*tiny\.edgepack could be measured: ONNX Runtime"):
        cli.bench(pack, variant="float16", **QUICK)


def test_diff_prints_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    before.write_bytes(encode(report(result(us=(100, 100)), result("int8"))))
    after.write_bytes(encode(report(result(us=(50, 50)))))
    assert cli.diff(before, after) == 0
    out, err = capsys.readouterr()
    assert "0.50×" in out
    assert "faster" in out
    assert f"only in {before}: onnx-int8" in err
    assert cli.diff(before, after, json=True) == 0
    assert json.loads(capsys.readouterr().out)["changes"][0]["ratio"] == 0.5


def test_ctrl_c_ends_the_command_and_every_process_it_started(pack: Path, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    code = (
        "from edgepack.benchmarks.cli import bench; from pathlib import Path\n"
        f"bench(Path({str(pack)!r}), seconds=60, output=Path({str(output)!r}))"
    )
    with subprocess.Popen((sys.executable, "-c", code), stderr=subprocess.PIPE, process_group=0) as command:
        assert command.stderr is not None
        assert any(b"round 1" in line for line in iter(command.stderr.readline, b""))
        children = psutil.Process(command.pid).children()
        os.kill(command.pid, signal.SIGINT)
        command.stderr.read()
    assert children
    assert command.returncode != 0
    deadline = time.monotonic() + 20
    while any(child.is_running() for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [child for child in children if child.is_running()]
    assert not output.exists()
