"""What engines keep for the next start: taken when it is whole, made anew when not, and never another answer."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.runtime import cache_folder, engines
from edgepack.runtime.engines import Engine, Opening, open_file
from edgepack.runtime.errors import EngineError
from tests.zoo.packs import TOLERANCE, ZOO, outputs

PROVIDERS = {"onnx": "CPUExecutionProvider", "openvino": "openvino:CPU"}
Open = Callable[..., Engine]


@pytest.fixture(params=PROVIDERS)
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An engine that takes every file for a large one, and an empty cache."""
    name: str = request.param
    if name not in engines.available():
        pytest.skip(f"engine {name!r} is not installed")
    monkeypatch.setattr(f"edgepack.runtime.engines.{name}._LARGE_BYTES", 0)
    monkeypatch.setenv(cache_folder.ENVIRONMENT, str(tmp_path / "cache"))
    return name


def opened(engine: str, file: str = "mlp.onnx", **options: Any) -> Engine:
    return open_file(engine, (ZOO / file).read_bytes(), Opening(PROVIDERS[engine], **options))


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "prepared").glob("*"))


def answers_right(engine: Engine) -> None:
    given, wanted = outputs("mlp")
    np.testing.assert_allclose(engine.run({"x": given["x"]})[0], wanted["y"], atol=TOLERANCE)


def test_the_second_start_takes_what_the_first_one_made(engine: str, tmp_path: Path) -> None:
    first = opened(engine)
    [file] = kept(tmp_path)
    before = file.stat()
    second = opened(engine)
    assert [file] == kept(tmp_path)
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    for one in (first, second):
        answers_right(one)
    assert (second.inputs, second.outputs) == (first.inputs, first.outputs)
    assert second.placement == first.placement
    assert second.metadata == first.metadata


def test_what_was_made_is_really_taken(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(engine)

    def fail(*_: object, **__: object) -> None:
        raise EngineError("the file itself is opened")

    if engine == "openvino":
        monkeypatch.setattr("edgepack.runtime.engines.openvino._Source._compile", fail)
    else:
        monkeypatch.setattr("edgepack.runtime.cache.Blobs.put", fail)
    answers_right(opened(engine))


@pytest.mark.parametrize("damage", [b"", b"nonsense"], ids=["empty", "other"])
def test_a_damaged_file_is_made_anew(engine: str, tmp_path: Path, damage: bytes) -> None:
    opened(engine)
    [file] = kept(tmp_path)
    sound = file.read_bytes()
    file.write_bytes(damage)
    answers_right(opened(engine))
    [again] = kept(tmp_path)
    assert len(again.read_bytes()) > len(sound) // 2


def test_a_whole_file_that_the_engine_refuses_is_passed_over(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(engine)
    other = tmp_path / "other"
    other.write_bytes(b"no model at all")
    monkeypatch.setattr("edgepack.runtime.cache.Blobs.get", lambda self, key: other)
    answers_right(opened(engine))


def test_another_number_of_threads_is_another_file(engine: str, tmp_path: Path) -> None:
    opened(engine, threads=1)
    opened(engine, threads=2)
    assert len(kept(tmp_path)) == 2


def test_where_nothing_can_be_kept_the_file_is_opened_all_the_same(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").write_text("no folder")
    monkeypatch.setenv(cache_folder.ENVIRONMENT, str(tmp_path / "plain"))
    answers_right(opened(engine))
    answers_right(opened(engine))


def test_a_file_that_is_refused_leaves_nothing(engine: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="refuses the file"):
        open_file(engine, b"nothing like a model", Opening(PROVIDERS[engine]))
    assert not kept(tmp_path)


def test_a_disk_that_is_full_is_no_fault_of_the_file(engine: str, tmp_path: Path) -> None:
    code = f"""
import resource, sys
from pathlib import Path
from edgepack.runtime.engines import Opening, {engine}, open_file
{engine}._LARGE_BYTES = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
engine = open_file({engine!r}, Path(sys.argv[1]).read_bytes(), Opening({PROVIDERS[engine]!r}))
sys.exit(0 if list(engine.outputs) else 1)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(ZOO / "mlp.onnx")], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers_right(opened(engine))  # whatever was left on the disk
