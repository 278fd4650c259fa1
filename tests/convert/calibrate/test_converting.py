"""Converting streams its calibration samples, counts and digests them, and says what is wrong with them."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgepack.__main__ import main
from edgepack.convert import convert_model
from edgepack.convert.options import METHODS, Method
from edgepack.runtime.errors import DataError
from edgepack.train.calibrating import calibration_of
from edgepack.train.recipe import calibration_part
from edgepack.train.recipes import find
from tests.convert.conftest import Toy


def _rows(toy: Toy) -> Iterator[np.ndarray]:
    yield from toy.calibration["image"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_right_files_from_a_function(toy: Toy, tmp_path: Path, method: Method) -> None:
    report = convert_model(
        toy.model, tmp_path / "toy.edgepack", precisions="int8", calibration=lambda: _rows(toy),
        evaluation=toy.evaluation, options={"ranges": method},
    )  # fmt: skip
    assert [one.reasons for one in report.results] == [(), ()]
    assert report.calibration_count == 128
    assert report.warnings == ()


def test_what_was_drawn_is_counted_and_digested(toy: Toy, tmp_path: Path) -> None:
    reports = [
        convert_model(
            toy.model, tmp_path / f"{number}.onnx", precisions="int8", calibration=toy.calibration,
            evaluation=toy.evaluation, calibration_samples=40, seed=5,
        )
        for number in range(2)
    ]  # fmt: skip
    facts = [report.provenance["calibration"] for report in reports]
    assert facts[0] == facts[1]
    assert (facts[0]["samples"], facts[0]["drawn_from"], facts[0]["seed"]) == (40, 128, 5)
    assert reports[0].warnings[0].startswith("ranges are calibrated on 40 samples")


def test_without_evaluation_data_some_of_the_calibration_samples_are_judged_on(toy: Toy, tmp_path: Path) -> None:
    many = {"image": np.tile(toy.calibration["image"], (12, 1, 1, 1))}
    report = convert_model(toy.model, tmp_path / "toy.onnx", precisions="int8", calibration=many)
    assert report.sample_count == 1_000
    assert report.samples == "1,000 of the 1,536 samples of memory"


def test_samples_that_do_not_fit_are_found_before_any_file_is_built(toy: Toy, tmp_path: Path) -> None:
    images = toy.calibration["image"].copy()
    images[-1] = np.nan
    built: list[str] = []

    def progress(done: int, text: str) -> None:
        built.append(f"{done} {text}")

    with pytest.raises(DataError, match="NaN"):
        convert_model(
            toy.model, tmp_path / "toy.onnx", precisions="int8", calibration={"image": images}, progress=progress
        )
    assert all("reading calibration samples" in line for line in built)


def test_how_far_calibrating_is_gets_shown(toy: Toy, tmp_path: Path) -> None:
    told: list[str] = []
    convert_model(
        toy.model, tmp_path / "toy.onnx", precisions="int8", calibration=toy.calibration,
        progress=lambda done, text: told.append(text),
    )  # fmt: skip
    assert "reading calibration samples: 128" in told
    assert "onnx-int8: calibrating on 128 of 128 samples" in told


def test_a_recipes_samples_are_those_of_its_training() -> None:
    recipe = find("logistic")
    found = calibration_of("logistic", seed=3)
    wanted = calibration_part(recipe, recipe.load(None), np.random.default_rng(3))
    assert np.array_equal(found[recipe.input], wanted.values)
    assert set(np.unique(found[recipe.output])) == {0, 1}


def test_a_recipe_whose_samples_its_model_makes_is_refused() -> None:
    with pytest.raises(DataError, match=r"give the NAME\.calibration\.npz that edgepack train wrote"):
        calibration_of("speech-stream")


def test_the_command_prints_warnings_and_keeps_json_clean(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "few.npz"
    np.savez(data, image=toy.calibration["image"][:9])
    arguments = ["--precision", "int8", "--calibration", str(data), "--ranges", "percentile", "--json"]
    assert main(["convert", str(toy.path), "-o", str(tmp_path / "toy.onnx"), *arguments]) == 0
    printed = capsys.readouterr()
    assert "warning: ranges are calibrated on 9 samples" in printed.err
    assert json.loads(printed.out)["warnings"] == ["ranges are calibrated on 9 samples: 100 to 500 that look like "
                                                   "what is run later are usual"]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("recipe:digit", "unknown recipe 'digit'"),
        ("nowhere.npz", "no calibration data at nowhere.npz"),
        (".", "the model has no steps that make its inputs of an image"),
    ],
    ids=["no such recipe", "no such file", "a folder without steps"],
)
def test_the_command_says_in_one_line_what_is_no_source(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, message: str
) -> None:
    output = str(tmp_path / "toy.onnx")
    assert main(["convert", str(toy.path), "-o", output, "--precision", "int8", "--calibration", given]) == 1
    printed = capsys.readouterr().err.strip()
    assert message in printed
    assert "\n" not in printed
