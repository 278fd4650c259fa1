"""Providers that crash, lie or are not there: this process lives, says why, and the next one answers."""

import sys
from pathlib import Path

import numpy as np
import pytest

import edgepack
from edgepack.runtime.errors import ProviderError, UnknownNameError
from tests.zoo.packs import TOLERANCE, ZOO, outputs

# As a driver that aborts while it is loaded: nothing else of it ever runs.
_PLUGIN = """
import os, sys
def get_ep_name(): return {name!r}
def get_library_path():
    if "edgepack.runtime.trial" in sys.orig_argv:
        with open({log!r}, "a") as file: file.write("tried ")
        {action}
    return "/nowhere/libprovider.so"
"""


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))


def _plugin(monkeypatch: pytest.MonkeyPatch, folder: Path, action: str, name: str = "CrashExecutionProvider") -> None:
    """Install a plugin of ONNX Runtime, as a wheel would."""
    package = folder / "site" / "onnxruntime_ep_other"
    package.mkdir(parents=True)
    code = _PLUGIN.format(name=name, log=str(folder / "log"), action=action)
    (package / "__init__.py").write_text(code)
    monkeypatch.delitem(sys.modules, package.name, raising=False)  # of the test before
    monkeypatch.syspath_prepend(str(folder / "site"))


def test_a_provider_that_crashes_is_survived_and_the_next_one_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mlp_pack: Path
) -> None:
    _plugin(monkeypatch, tmp_path, "os.abort()")
    inputs, wanted = outputs("mlp")
    for _ in range(2):
        with edgepack.load(mlp_pack, provider=["CrashExecutionProvider", "cpu"]) as session:
            assert session.provider == "cpu"
            (reason,) = session.fallbacks
            assert "onnx, CrashExecutionProvider: it takes its process down (Aborted)" in reason
            np.testing.assert_allclose(session.run(inputs)["y"], wanted["y"], atol=TOLERANCE)
    assert (tmp_path / "log").read_text() == "tried ", "the verdict is remembered"


def test_strict_does_not_step_down_from_a_crash(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mlp_pack: Path
) -> None:
    _plugin(monkeypatch, tmp_path, "os.abort()")
    with pytest.raises(ProviderError, match=r"takes its process down \(Aborted\)"):
        edgepack.load(mlp_pack, provider=["CrashExecutionProvider", "cpu"], strict=True)


def test_a_provider_that_cannot_be_loaded_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mlp_pack: Path
) -> None:
    _plugin(monkeypatch, tmp_path, "pass", "LostExecutionProvider")
    with pytest.raises(ProviderError, match="LostExecutionProvider") as caught:
        edgepack.load(mlp_pack, provider="LostExecutionProvider")
    assert "libprovider.so" in str(caught.value)


def test_a_crash_with_a_bare_file_is_survived_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _plugin(monkeypatch, tmp_path, "os.abort()")
    with edgepack.load(ZOO / "mlp.onnx", provider=["CrashExecutionProvider", "cpu"]) as session:
        assert session.provider == "cpu"


def test_a_plugin_that_is_installed_is_known_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown provider 'CrashExecutionProvider'"):
        edgepack.load(ZOO / "mlp.onnx", provider="CrashExecutionProvider")
    _plugin(monkeypatch, tmp_path, "os.abort()")
    with pytest.raises(ProviderError, match="takes its process down"):
        edgepack.load(ZOO / "mlp.onnx", provider="CrashExecutionProvider")
