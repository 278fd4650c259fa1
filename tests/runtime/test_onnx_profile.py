"""Placement from a profile: for releases of ONNX Runtime that do not tell which provider took which operator."""

from pathlib import Path
from typing import Any

import pytest

from edgepack.runtime.engines.onnx_profile import ran_where
from tests.fakes import spec
from tests.zoo.packs import ZOO

onnxruntime = pytest.importorskip("onnxruntime")


def _open(file: str) -> Any:
    def open_profiled(prefix: str) -> Any:
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, prefix
        return onnxruntime.InferenceSession(str(ZOO / file), options, providers=["CPUExecutionProvider"])

    return open_profiled


def test_the_operators_that_ran_are_counted_for_their_provider() -> None:
    assert ran_where(_open("mlp.onnx"), [spec("x", None, 4)]) == {"CPUExecutionProvider": ["Gemm", "Softmax"]}


def test_a_file_that_does_not_run_on_zeros_tells_nothing() -> None:
    assert ran_where(_open("mlp.onnx"), [spec("x", None, 5)]) is None


def test_no_profile_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ran_where(_open("mlp.onnx"), [spec("x", None, 4)])
    assert not list(tmp_path.iterdir())
