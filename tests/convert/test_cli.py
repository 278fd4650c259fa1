"""The command `convert`: one clear line for what the user can mend, and nothing lost."""

import json
from pathlib import Path

import pytest

from edgepack.__main__ import main
from tests.convert.conftest import Converted


def test_a_pack_and_its_reports_are_written(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        ["convert", str(files / "toy.keras"), "-o", str(files / "toy.edgepack"), "--precision", "float32,int8",
         "--calibration", str(files / "calibration.npz"), "--evaluation", str(files / "evaluation.npz")]
    )  # fmt: skip
    assert code == 0
    printed = capsys.readouterr().out
    assert "4 of 4 files agree with Keras" in printed
    assert all((files / name).is_file() for name in ("toy.edgepack", "toy.report.json", "toy.report.html"))
    report = json.loads((files / "toy.report.json").read_text())
    assert report["passed"] == ["tflite-float32", "tflite-int8", "onnx-float32", "onnx-int8"]


def test_json_is_all_that_stdout_gets(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(files / "toy.keras"), "-o", str(files / "toy.onnx"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] == ["onnx-float32"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.keras", "-o", "a.edgepack"], "no model at nothing.keras; check the path"),
        (["toy.keras", "-o", "a.edgepack", "--precision", "int8"], "precision int8 needs calibration data"),
        (
            ["toy.keras", "-o", "a.edgepack", "--precision", "int3"],
            "unknown precision 'int3' (known: float32, float16,",
        ),
        (["toy.keras", "-o", "a.edgepack", "--target", "coreml"], "target 'coreml' (known: tflite, onnx, c-array)"),
        (["toy.keras", "-o", "calibration.npz"], "calibration.npz exists already; pass --force"),
        (["toy.keras", "-o", "no/such/folder/a.edgepack"], "there is no folder no/such/folder"),
        (
            ["toy.keras", "-o", "a.edgepack", "--evaluation", "toy.keras"],
            "toy.keras is not a .npz file of plain arrays",
        ),
        (["toy.keras", "-o", "a.edgepack", "--batch", "many"], "--batch is 'many'"),
        (["cut.keras", "-o", "a.edgepack"], "cut.keras cannot be read as a Keras model; is it whole?"),
        (["toy.keras", "-o", "a.edgepack", "--card", "calibration.npz"], "the card is not one of edgepack's"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_user_can_mend_is_one_line_and_nothing_is_written(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(files)
    (files / "cut.keras").write_bytes((files / "toy.keras").read_bytes()[:2000])
    before = {file.name: file.read_bytes() for file in files.iterdir()}
    assert main(["convert", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("edgepack: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert {file.name: file.read_bytes() for file in files.iterdir()} == before


def test_a_missing_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "toy.keras"]) == 2
    assert "--output" in capsys.readouterr().err


def test_the_page_is_self_contained(converted: Converted) -> None:
    page = converted.report.to_html()
    assert "<svg" in page
    assert not any(mark in page for mark in ("<script src", "http://cdn", "https://cdn", '<link rel="stylesheet" href'))
    assert all(one.variant in page for one in converted.report.results)


def test_reports_of_a_pack_and_of_a_bare_file_lie_side_by_side(files: Path) -> None:
    assert main(["convert", str(files / "toy.keras"), "-o", str(files / "toy.edgepack")]) == 0
    before = (files / "toy.report.json").read_bytes()
    assert main(["convert", str(files / "toy.keras"), "-o", str(files / "toy.onnx")]) == 0
    assert (files / "toy.report.json").read_bytes() == before
    assert (files / "toy.onnx.report.json").is_file()


def test_a_report_that_is_there_needs_force(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "toy.report.html").write_text("mine")
    assert main(["convert", str(files / "toy.keras"), "-o", str(files / "toy.edgepack")]) == 1
    assert "toy.report.html exists already; pass --force" in capsys.readouterr().err
    assert (files / "toy.report.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input-shape", "image=1,9,9,1"], "the shape asked for input 'image' is (1, 9, 9, 1); the model has"),
        (["--input-shape", "picture=1,8,8,1"], "there is an input shape for 'picture', and the model takes image"),
        (["--input-shape", "8x8"], "input shape '8x8' has the size '8x8'; it takes one number for each axis"),
        (["--input-shape", "2,8,8,1", "--batch", "3"], "has a batch of 2, but the batch is 3 already"),
        (["--batch", "²"], "--batch is '²'; it takes auto, dynamic or a number"),
        (["--opset", "9"], "opset is 9; it takes 14 to 21"),
        (["--min-onnxruntime", "1.2"], "min_onnxruntime is '1.2'; it takes a version from 1.8"),
        (["--opset", "21", "--min-onnxruntime", "1.17"], "reads operator sets up to 20, and opset 21 was asked"),
        (["--target", "tflite", "--opset", "18"], "no ONNX file is written"),
    ],
    ids=["fixed-size", "name", "no-shape", "two-batches", "batch", "opset", "old-runtime", "contradiction", "no-onnx"],
)
def test_shapes_and_versions_that_cannot_be_met_are_one_line(
    files: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(files / "toy.keras"), "-o", str(files / "toy.edgepack"), *options]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (files / "toy.edgepack").exists()


def test_a_shape_a_batch_and_a_version_are_taken(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        ["convert", str(files / "toy.keras"), "-o", str(files / "toy.edgepack"), "--input-shape", "image=2,8,8,1",
         "--min-onnxruntime", "1.12"]
    )  # fmt: skip
    assert code == 0
    printed = capsys.readouterr().out
    assert "tflite-float32 fully delegated to XNNPACK: yes" in printed
    assert "onnx-float32 reads opset 17, IR version 8" in printed
    report = json.loads((files / "toy.report.json").read_text())
    assert [one["standard"] for one in report["results"]] == ["", "opset 17, IR version 8"]
    assert report["provenance"]["onnx"] == {"standard": "opset 17, IR version 8", "min_onnxruntime": "1.12"}
    page = (files / "toy.report.html").read_text()
    assert "fully delegated" in page
    assert "opset 17, IR version 8" in page


# inspect --layers


def test_layers_of_two_variants_are_compared(
    converted: Converted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "layers.html"
    arguments = ["inspect", str(converted.path), "--layers", "--variant", "onnx-int8", "--against", "tflite-int8"]
    assert main([*arguments, "--html", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "onnx-int8 against tflite-int8, on 4 rows of the golden samples" in printed
    assert "most noise: " in printed
    assert "SNR in dB" in page.read_text()
    assert main([*arguments, "--html", str(page)]) == 1
    assert "exists already; pass --force" in capsys.readouterr().err


def test_layers_are_json_too(converted: Converted, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(converted.path), "--layers", "--variant", "tflite-int8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["file"], found["against"]) == ("tflite-int8", "tflite-float32")
    assert "quadrant" in [one["layer"] for one in found["layers"]]


def test_what_belongs_to_layers_is_refused_without_them(
    converted: Converted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(converted.path), "--variant", "onnx-int8"]) == 1
    assert "belong to --layers: add it too" in capsys.readouterr().err


def test_a_pack_is_inspected_as_ever(converted: Converted, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(converted.path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["variants"]) == len(converted.report.passed)
