"""Ways to run a model, tried in a process of their own: what takes that process down is an answer."""

import json
import os
import textwrap
from pathlib import Path

import pytest

import edgepack
from edgepack.runtime import trials, verdicts
from edgepack.runtime.cache import Store
from edgepack.runtime.errors import EngineError
from edgepack.runtime.trials import Opened, Trial
from edgepack.runtime.ways import Way
from tests.conftest import Child
from tests.zoo.packs import ZOO

_WAY = Way("mlp.onnx", "onnx", "CPUExecutionProvider")


def test_a_way_that_runs_says_where() -> None:
    found = trials.try_once(ZOO / "mlp.onnx", _WAY)
    assert not found.reason
    assert (found.provider, dict(found.placement)) == ("cpu", {"CPUExecutionProvider": 2})
    assert found.load_us > 0


def test_a_way_is_measured_again_and_again() -> None:
    with Trial() as trial:
        trial.open(ZOO / "mlp.onnx", _WAY)
        for rows in (1, 5):
            found = trial.measure(laps=7, seconds=5.0, rows=rows)
            assert len(found.ns) == 7
            assert all(ns > 0 for ns in found.ns)


def test_an_engine_that_refuses_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    found = trials.try_once(tmp_path / "bad.onnx", Way("bad.onnx", "onnx", "CPUExecutionProvider"))
    assert "refuses the file" in found.reason
    assert not found.died


def test_a_process_that_is_taken_down_is_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A module that an engine imports aborts, as a driver does that fails an assertion of its own."""
    _abort_with(monkeypatch, tmp_path, "os.abort()")
    found = trials.try_once(ZOO / "mlp.onnx", _WAY)
    assert found == Opened("it takes its process down (Aborted)", died=True)


def test_a_process_that_hangs_is_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _abort_with(monkeypatch, tmp_path, "time.sleep(600)")
    monkeypatch.setattr(trials, "OPEN_SECONDS", 1.0)
    found = trials.try_once(ZOO / "mlp.onnx", _WAY)
    assert found == Opened("it did not answer within 1 s", died=True)


def test_a_crash_is_survived_and_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    _abort_with(monkeypatch, tmp_path, "os.abort()")
    for _ in range(2):
        with pytest.raises(EngineError, match=r"mlp\.onnx: onnx was tried with this file on .* \(Aborted\)"):
            edgepack.load(ZOO / "mlp.onnx", engine="onnx")
    assert (tmp_path / "tried").read_text() == "once "


def test_after_a_crash_the_next_engine_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    _abort_with(monkeypatch, tmp_path, "os.abort()")
    with edgepack.load(ZOO / "mlp.onnx") as session:
        assert session.engine == "openvino"
        assert "(Aborted)" in session.fallbacks[0]


def test_a_bare_file_that_runs_is_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    _abort_with(monkeypatch, tmp_path, "pass")
    for _ in range(3):
        edgepack.load(ZOO / "mlp.onnx").close()
    assert (tmp_path / "tried").read_text() == "once "


def test_a_proved_file_on_the_cpu_needs_no_trial(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mlp_pack: Path
) -> None:
    _abort_with(monkeypatch, tmp_path, "os.abort()")
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    edgepack.load(mlp_pack).close()
    assert not (tmp_path / "tried").exists()


def test_what_failed_is_tried_again_after_a_day(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path))
    old = verdicts.Verdict(Opened("a driver that was mended since", died=True), "2020-01-01T00:00:00+00:00")
    data = (ZOO / "mlp.onnx").read_bytes()
    Store("verdicts").put(verdicts.key_of(data, _WAY), old)
    assert verdicts.device_for(ZOO / "mlp.onnx", data, _WAY) == ""


_ASK = """
import subprocess, sys, json
process = subprocess.run([sys.executable, "-m", "edgepack.runtime.trial"], input=sys.argv[1] + chr(10),
                         capture_output=True, text=True, timeout=60)
lines = process.stdout.splitlines()
assert len(lines) == 1, lines
print(json.loads(lines[0])["reason"] == "")
"""


def test_engines_that_talk_do_not_spoil_the_answers(child: Child) -> None:
    way = {"variant": "mlp.tflite", "engine": "litert", "provider": "XNNPACK"}
    done = child(_ASK, json.dumps({"do": "open", "path": str(ZOO / "mlp.tflite"), "states": {}, "way": way}))
    assert done.stdout == "True\n", done.stderr


def _abort_with(monkeypatch: pytest.MonkeyPatch, folder: Path, action: str) -> None:
    """Let every process that is started from here do something as soon as it imports ONNX Runtime."""
    (folder / "sitecustomize.py").write_text(
        textwrap.dedent(
            f"""
            import os, sys, time
            class Watch:
                def find_spec(self, name, path=None, target=None):
                    if name == "onnxruntime":
                        sys.meta_path.remove(self)
                        with open({str(folder / "tried")!r}, "a") as file:
                            file.write("once ")
                        {action}
            sys.meta_path.insert(0, Watch())
            """
        )
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))


def test_what_an_engine_writes_for_itself_goes_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    trial = Trial()
    (scratch,) = tmp_path.iterdir()
    (scratch / "model.tflite").write_bytes(b"a copy")
    trial._process.kill()
    trial.close()
    assert not list(tmp_path.iterdir())


def test_a_way_that_opens_for_too_long_is_given_up() -> None:
    with Trial() as trial:
        found = trial.open(ZOO / "mlp.onnx", _WAY, seconds=0.0)
    assert found.died
    assert "did not answer" in found.reason
