"""`verify --bisect` names the first Keras layer whose output differs in a file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgepack.__main__ import main
from edgepack.convert.bisect import bisect, bisect_file
from edgepack.convert.build import convert_model
from edgepack.quiet import import_keras
from edgepack.runtime.errors import InputError, MissingFileError, ModelError

keras = import_keras("builds the model", "convert")
layers = keras.layers


def _model() -> Any:
    keras.utils.set_random_seed(3)
    x = keras.Input((8, 8, 2), name="picture")
    y = layers.Conv2D(4, 3, name="first")(x)
    y = layers.BatchNormalization(name="norm")(y)
    y = layers.ReLU(name="relu")(y)
    branch = layers.Conv2D(4, 1, name="left")(y)
    y = layers.Add(name="both")([branch, y])
    y = layers.Flatten(name="flat")(y)
    y = layers.Dense(6, activation="relu", name="second")(y)
    return keras.Model(x, layers.Dense(3, activation="softmax", name="last")(y))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("bisect")
    model = _model()
    model.save(made / "m.keras")
    convert_model(made / "m.keras", made / "m.edgepack")
    for ending in ("onnx", "tflite"):
        convert_model(model, made / f"m.{ending}", targets=(ending,))
    return made


def _spoil_onnx(data: bytes, shape: tuple[int, ...]) -> bytes:
    """The file with the first weight of that many elements turned round."""
    model = onnx.load_from_string(data)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.size == int(np.prod(shape)) and array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(-array, tensor.name))
            return model.SerializeToString()
    raise AssertionError("no such weight")


def _spoil_tflite(data: bytes, shape: tuple[int, ...]) -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for tensor in model.subgraphs[0].tensors:
        buffer = model.buffers[tensor.buffer]
        if buffer.data is not None and len(buffer.data) == 4 * int(np.prod(shape)):
            buffer.data = np.frombuffer((-np.frombuffer(bytes(buffer.data), np.float32)).tobytes(), np.uint8)
            builder = flatbuffers.Builder(len(data) + 4096)
            builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
            return bytes(builder.Output())
    raise AssertionError("no such weight")


@pytest.mark.parametrize(
    ("kernel", "named"),
    [((4, 3, 3, 2), "first"), ((4, 4, 1, 1), "left"), ((144, 6), "second"), ((6, 3), "last")],
    ids=["behind the input", "in a branch", "dense", "at the end"],
)
@pytest.mark.parametrize("ending", ["onnx", "tflite"])
def test_the_layer_whose_weights_were_changed_is_named(
    folder: Path, tmp_path: Path, ending: str, kernel: tuple[int, ...], named: str
) -> None:
    spoil = {"onnx": _spoil_onnx, "tflite": _spoil_tflite}[ending]
    spoiled = tmp_path / f"spoiled.{ending}"
    spoiled.write_bytes(spoil((folder / f"m.{ending}").read_bytes(), kernel))
    assert bisect_file(spoiled, folder / "m.keras").first == named


def test_layers_that_run_in_one_step_are_told_of(folder: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.onnx"
    spoiled.write_bytes(_spoil_onnx((folder / "m.onnx").read_bytes(), (4, 3, 3, 2)))
    found = bisect_file(spoiled, folder / "m.keras")
    assert found.together == ("norm", "relu")
    assert "the first layer that differs is Conv2D 'first'" in str(found)


def test_no_layer_of_a_right_pack_differs(folder: Path) -> None:
    found = bisect(folder / "m.edgepack", folder / "m.keras")
    assert [(one.file, one.first) for one in found] == [("tflite-float32", None), ("onnx-float32", None)]


def test_the_command_finds_the_model_beside_the_pack(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder / "m.edgepack"), "--bisect", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["first"] for one in document["bisections"]] == [None, None]


def test_the_command_names_the_layer(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoiled = tmp_path / "spoiled.onnx"
    spoiled.write_bytes(_spoil_onnx((folder / "m.onnx").read_bytes(), (144, 6)))
    assert main(["verify", str(spoiled), "--bisect", "--model", str(folder / "m.keras")]) == 1
    assert "spoiled.onnx: the first layer that differs is Dense 'second'" in capsys.readouterr().out


def test_a_model_that_is_not_beside_the_pack_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder / "m.onnx"), "--bisect"]) == 1
    assert "pass --model MODEL.keras" in capsys.readouterr().err


def test_options_of_bisecting_need_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder / "m.edgepack"), "--variant", "x"]) == 1
    assert "belong to --bisect" in capsys.readouterr().err


def test_another_model_is_refused(folder: Path) -> None:
    other = keras.Sequential([keras.Input((3,), name="numbers"), layers.Dense(2)])
    with pytest.raises(ModelError, match=r"takes numbers, and .* was made of one that takes picture"):
        bisect(folder / "m.edgepack", other)


def test_a_file_of_another_kind_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"is no file to look into; it takes \.onnx, \.tflite and packs"):
        bisect_file(folder / "m.keras", folder / "m.keras")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        bisect(tmp_path / "no.onnx", _model())
