"""Operator sets and IR versions: chosen from what must read the file, and what the file really says."""

from pathlib import Path
from typing import Any

import pytest

from edgepack.convert import convert_model
from edgepack.convert.plan import make_plan
from edgepack.convert.precisions import PRECISIONS
from edgepack.convert.standard import OPSETS, choose
from edgepack.runtime.errors import ConvertError, InputError
from edgepack.runtime.pack import Pack
from tests.convert.conftest import Toy


@pytest.mark.parametrize(
    ("opset", "runtime", "found"),
    [
        (None, None, (18, 8, "1.14")),
        (None, "1.8", (14, 7, "1.8")),
        (None, "1.10.0", (15, 8, "1.9")),
        (None, "1.13", (17, 8, "1.12")),
        (None, "1.17", (18, 8, "1.14")),
        (None, "1.22", (18, 8, "1.14")),
        (19, None, (19, 8, "1.15")),
        (20, "1.17.3", (20, 9, "1.17")),
        (21, "1.18", (21, 10, "1.18")),
        (15, "1.20", (15, 8, "1.9")),
    ],
)
def test_the_standard_is_what_the_oldest_reader_knows(opset: Any, runtime: Any, found: tuple[int, int, str]) -> None:
    chosen = choose(opset, runtime)
    assert (chosen.opset, chosen.ir_version, chosen.onnxruntime) == found


@pytest.mark.parametrize(
    ("opset", "runtime", "message"),
    [
        (13, None, "opset is 13; it takes 14 to 21"),
        (99, None, "it takes 14 to 21"),
        (True, None, "it takes 14 to 21"),
        ("18", None, "it takes 14 to 21"),
        (None, "1.7", r"min_onnxruntime is '1.7'; it takes a version from 1.8 to 1\.\d+"),
        (None, "9.0", "it takes a version from 1.8"),
        (None, "latest", "such as '1.17'"),
        (None, "1", "such as '1.17'"),
        (None, 1.17, "such as '1.17'"),
        (20, "1.16", "ONNX Runtime 1.16 reads operator sets up to 19, and opset 20 was asked, which needs 1.17"),
    ],
)
def test_what_cannot_be_met_is_refused_with_the_range(opset: Any, runtime: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose(opset, runtime)


def test_a_standard_of_files_that_are_not_written_is_refused(tmp_path: Path) -> None:
    for output, targets in (("m.tflite", "onnx"), ("m.edgepack", "tflite")):
        with pytest.raises(InputError, match="no ONNX file is written"):
            make_plan(tmp_path / output, targets, "float32", "auto", min_onnxruntime="1.17", force=False)


@pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
def test_every_precision_is_written_in_the_operator_set_asked_for(toy: Toy, tmp_path: Path, opset: int) -> None:
    import onnx

    path = tmp_path / "m.edgepack"
    report = convert_model(
        toy.path, path, targets="onnx", precisions="all", opset=opset,
        calibration=toy.calibration, evaluation=toy.evaluation,
    )  # fmt: skip
    wanted = choose(opset, None)
    assert [one.standard for one in report.passed] == [str(wanted)] * len(PRECISIONS)
    with Pack(path) as pack:
        for variant in pack.manifest.variants:
            model = onnx.load_from_string(pack.read(variant.file))
            onnx.checker.check_model(model, full_check=True)
            extra = {"com.microsoft": 1} if variant.precision == "int16x8" and opset < 21 else {}
            assert {one.domain: one.version for one in model.opset_import} == {"": opset, **extra}
            assert model.ir_version == wanted.ir_version


def test_lowered_layers_are_written_in_an_old_operator_set_too(tmp_path: Path) -> None:
    import keras

    given = keras.Input((6, 3), name="series")
    model = keras.Model(given, keras.layers.LSTM(4, name="y")(given))
    report = convert_model(model, tmp_path / "m.onnx", min_onnxruntime="1.8")
    assert report.results[0].standard == "opset 14, IR version 7"
    assert report.results[0].operators["LSTM"] == 1


def test_an_onnxruntime_too_old_for_an_operator_is_told(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=r"QuantizeLinear of 16 bits needs ONNX Runtime 1\.17, and 1\.16 was asked"):
        convert_model(
            toy.path, tmp_path / "m.onnx", precisions="int16x8", min_onnxruntime="1.16", calibration=toy.calibration
        )
