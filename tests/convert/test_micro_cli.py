"""The commands that write for microcontrollers: `convert -o NAME.h` and `export`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert import convert_model
from tests.conftest import Run
from tests.convert.conftest import Converted
from tests.zoo.packs import ZOO

pytest.importorskip("tflite_micro", reason="tflite-micro has wheels for Linux on x86-64 alone")


def test_a_keras_model_becomes_source_and_a_report(files: Path, run: Run) -> None:
    done = run(
        "convert", files / "toy.keras", "-o", files / "toy.h", "--to", "c-array", "--io", "float32",
        "--calibration", files / "calibration.npz", "--evaluation", files / "evaluation.npz",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "operators: QUANTIZE, CONV_2D," in done.out
    assert f"wrote {files / 'toy.h'}\nwrote {files / 'toy.cc'}\n" in done.out
    report = json.loads((files / "toy.h.report.json").read_text())
    assert report["passed"] == ["tflite-int8"], "int8 is the precision where nothing else is asked"
    assert report["c_array"]["arena_bytes"] >= report["c_array"]["smallest_arena_bytes"] > 1000
    assert report["c_array"]["keras"]["snr_db"] > 20  # eight bits, three layers


@pytest.mark.parametrize("precision", ["float32", "int16x8"])
def test_other_precisions_are_taken_without_an_option_more(files: Path, run: Run, precision: str) -> None:
    """What is usual for int8 there, such as whole numbers at both ends, is nothing that was asked of them."""
    done = run(
        "convert", files / "toy.keras", "-o", files / f"{precision}.h", "--precision", precision,
        "--calibration", files / "calibration.npz",
    )  # fmt: skip
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "toy.h"], "precision int8 needs calibration data"),
        (["-o", "toy.tflite", "--to", "c-array"], "toy.tflite is no header: a c-array is NAME.h and NAME.cc"),
        (["-o", "toy.h", "--precision", "weight_int8"], "precision weight_int8 does not run on TFLite-Micro"),
        (["-o", "toy.h", "--precision", "int8,float32"], "toy.h holds one file; give one precision"),
        (["-o", "toy.h", "--search"], "how fast files run on this machine says nothing of one; search"),
        (["-o", "no/such/toy.h"], "there is no folder no/such"),
        (["-o", "toy.edgepack", "--to", "coreml"], "unknown target 'coreml' (known: tflite, onnx, c-array)"),
    ],
    ids=["calibration", "name", "precision", "two", "search", "folder", "target"],
)
def test_wrong_use_is_one_line_before_the_model_is_read(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("convert", "nothing.keras", *arguments)
    assert done.code == 1
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_source_that_is_there_already_is_kept(files: Path, run: Run) -> None:
    (files / "toy.cc").write_text("mine")
    done = run("convert", files / "toy.keras", "-o", files / "toy.h", "--calibration", files / "calibration.npz")
    assert done.code == 1
    assert "toy.cc exists already; pass --force" in done.err
    assert (files / "toy.cc").read_text() == "mine"


def test_the_int8_file_of_a_pack_is_exported_with_its_golden_answers(
    converted: Converted, tmp_path: Path, run: Run
) -> None:
    done = run("export", converted.path, "-o", tmp_path / "toy.h", "--to", "c-array", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["keras"]["samples"] == 4
    assert found["samples"] == "given samples"
    assert (tmp_path / "toy.cc").is_file()


def test_a_bare_file_is_exported_and_compared_on_samples_of_its_own(tmp_path: Path, run: Run) -> None:
    np.savez(tmp_path / "samples.npz", x=np.ones((3, 4), np.float32))
    done = run("export", ZOO / "mlp.tflite", "-o", tmp_path / "mlp.h", "--samples", tmp_path / "samples.npz")
    assert done.code == 0, done.err
    assert "the same bits as LiteRT on 3 samples (given samples)" in done.out


@pytest.mark.parametrize(
    ("file", "arguments", "message"),
    [
        ("pack", ["--variant", "onnx-int8"], "variant 'onnx-int8' is no TFLite file but onnx: name another"),
        ("pack", ["--variant", "tflite-int3"], "unknown variant 'tflite-int3' (known: tflite-float32,"),
        ("pack", ["--variant", "tflite-dynamic_int8"], "TFLite-Micro's kernel of CONV_2D refuses operator 0 (prepare)"),
        ("pack", ["--samples", "s.npz"], "samples are for a bare .tflite file: a pack has its golden ones"),
        ("pack", ["--to", "rust"], "unknown form to export to 'rust' (known: c-array)"),
        ("bare", ["--variant", "tflite-int8"], "is a bare file, which has no variant 'tflite-int8'"),
        ("none", [], "no pack or .tflite file at"),
        ("onnx", [], "the TFLite file cannot be read: it does not carry the mark of a TFLite file"),
    ],
    ids=["onnx-variant", "variant", "hybrid", "samples", "form", "bare", "missing", "onnx"],
)  # fmt: skip
def test_what_cannot_be_exported_is_one_line(
    converted: Converted, tmp_path: Path, run: Run, file: str, arguments: list[str], message: str
) -> None:
    places = {"pack": converted.path, "bare": ZOO / "mlp.tflite", "none": tmp_path / "no", "onnx": ZOO / "mlp.onnx"}
    done = run("export", places[file], "-o", tmp_path / "x.h", *arguments)
    assert done.code == 1
    assert message in done.err
    assert not list(tmp_path.iterdir())


def test_layers_that_became_steps_are_told_to_firmware(keras: Any, tmp_path: Path) -> None:
    image = keras.Input((4, 4, 1), name="image")
    scaled = keras.layers.Rescaling(1 / 255)(image)
    scores = keras.layers.Dense(3, activation="softmax", name="kind")(keras.layers.Flatten()(scaled))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 4, 4, 1)).astype(np.float32)
    report = convert_model(keras.Model(image, scores), tmp_path / "net.h", calibration={"image": pixels}, lift_all=True)
    assert report.c_array is not None
    assert "net_input_image_scale" in (tmp_path / "net.h").read_text()  # int8 goes in where nothing else is asked
    told = next(line for line in (tmp_path / "net.h").read_text().splitlines() if "firmware has to do" in line)
    assert told.startswith("// before input 'image'")
    assert "scale(factor=0.00392156862745098, offset=0.0)" in told
