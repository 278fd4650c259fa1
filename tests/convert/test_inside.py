"""Files that edgepack did not write, looked into: names of a signature, damage, other inputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert.inside import run_inside
from edgepack.convert.layer_files import look_into
from edgepack.quiet import import_tensorflow, quiet
from edgepack.runtime.errors import EngineError
from tests.zoo.packs import ZOO


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`twice + bias` as another converter writes it: tensors are called otherwise than in the signature."""
    import_tensorflow()
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("foreign")

    def add(twice: Any, bias: Any) -> Any:
        return {"sum": 2.0 * twice + bias}

    module = tf.Module()
    module.add = tf.function(add)
    specs = [tf.TensorSpec((1, 3), tf.float32, name=name) for name in ("twice", "bias")]
    with quiet():
        tf.saved_model.save(module, str(folder / "saved"), signatures=module.add.get_concrete_function(*specs))
        data = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved")).convert()
    (folder / "foreign.tflite").write_bytes(data)
    return folder / "foreign.tflite"


def test_inputs_go_by_the_names_of_the_signature(foreign: Path) -> None:
    feed = {"bias": np.array([[10, 20, 30]], np.float32), "twice": np.array([[1, 2, 3]], np.float32)}
    (tensors,) = run_inside("tflite", foreign.read_bytes(), [feed])
    assert "twice" not in tensors
    assert list(tensors.values())[-1].tolist() == [[12, 24, 36]]


def test_a_file_of_another_converter_is_looked_into(foreign: Path, tmp_path: Path) -> None:
    assert look_into(foreign).layers
    np.savez(tmp_path / "rows.npz", twice=np.ones((2, 3), np.float32), bias=np.zeros((2, 3), np.float32))
    report = look_into(foreign, samples=tmp_path / "rows.npz", against=str(foreign))
    assert report.layers[-1].high == 2
    assert report.layers[-1].against is not None


def test_inputs_of_another_file_are_refused() -> None:
    feed = {"input_a": np.zeros((1, 2), np.float32)}
    with pytest.raises(EngineError, match="the file takes 'x', and 'input_a' came: give an array for each"):
        run_inside("tflite", (ZOO / "mlp.tflite").read_bytes(), [feed])


@pytest.mark.parametrize("ending", ["onnx", "tflite"])
def test_a_damaged_file_to_hold_against_is_one_line_with_its_name(tmp_path: Path, ending: str) -> None:
    damaged = tmp_path / f"damaged.{ending}"
    damaged.write_bytes((ZOO / f"mlp.{ending}").read_bytes()[:200])
    with pytest.raises(EngineError, match=rf"^damaged\.{ending}: .* refuses the file: "):
        look_into(ZOO / f"mlp.{ending}", against=str(damaged))
