"""Linear and logistic regression: from a row in raw units to a number, and to a decision."""

from pathlib import Path

import numpy as np
import pytest

import edgepack
from edgepack.runtime.steps.outputs import Score, Value
from edgepack.train import cli, find
from tests.train.recipes.conftest import Make, Seeds

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

EPOCHS = 3
VARIANTS = ("tflite-float32", "tflite-int8", "onnx-float32", "onnx-int8")


@pytest.mark.parametrize("name", ["linear", "logistic"])
def test_both_formats_come_out_right_in_float_and_in_8_bits(quick: Make, name: str) -> None:
    report = quick(name, EPOCHS).report
    assert [one.variant for one in report.passed] == list(VARIANTS)
    assert report.provenance["lifted"] == ("Normalization 'normalization'",)


@pytest.mark.parametrize("name", ["linear", "logistic"])
def test_normalization_is_adapted_to_the_samples_that_are_fitted_alone(quick: Make, name: str) -> None:
    made = quick(name, EPOCHS)
    sizes = made.result.card.recipe["data"]
    layer = made.result.model.get_layer("normalization")
    known = made.recipe.load(None).train.values
    assert sizes["train"] < len(known)
    difference = np.abs(np.ravel(layer.mean) - known.mean(axis=0)) / known.std(axis=0)
    assert 1e-4 < difference.max() < 0.3  # not the mean of all, yet near it


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_patient_gets_the_number_of_keras_however_the_row_is_given(quick: Make, variant: str) -> None:
    made = quick("linear", EPOCHS)
    patient = made.recipe.load(None).test.values[0]
    columns = made.recipe.steps.inputs["patient"][0].options["columns"]
    wanted = float(made.result.model.predict(patient[np.newaxis], verbose=0)[0, 0])
    session = edgepack.load(made.pack, variant=variant)
    for row in (patient, dict(zip(columns, patient.tolist(), strict=True)), ",".join(map(str, patient.tolist()))):
        told = session.predict(row)
        assert isinstance(told, Value)
        assert told.unit == "points"
        # Rounded to tenths; in 8 bits an input of 6 deviations has steps of a twentieth of one.
        assert told.number == pytest.approx(wanted, abs=0.051 if "float32" in variant else 10)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_tumour_is_decided_as_by_keras(quick: Make, variant: str) -> None:
    made = quick("logistic", EPOCHS)
    tumours = made.recipe.load(None).test.values[:20]
    scores = made.result.model.predict(tumours, verbose=0)[:, 0]
    clear = np.abs(scores - 0.5) > 0.1  # in 8 bits a score near the middle may fall on the other side
    assert clear.sum() > 10
    answers = edgepack.load(made.pack, variant=variant).predict(list(tumours))
    for answer, score in zip(np.array(answers, object)[clear], scores[clear], strict=True):
        best = Score(*answer[0])
        assert best.label == ("malignant" if score > 0.5 else "benign")
        assert float(best.score) == pytest.approx(max(score, 1 - score), abs=1e-5 if "float32" in variant else 0.1)


def test_the_command_lifts_what_the_recipe_says_and_tells_how_to_do_it_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.train("linear", output=tmp_path / "linear.keras", epochs=1, pack=tmp_path / "linear.edgepack") == 0
    assert (tmp_path / "linear.edgepack").exists()
    pack = edgepack.load(tmp_path / "linear.edgepack")
    assert pack.manifest is not None
    assert [step.step for step in pack.manifest.steps.inputs["patient"]] == ["row", "take", "normalize"]
    capfd.readouterr()
    assert cli.train("linear", output=tmp_path / "other.keras", epochs=1) == 0
    assert capfd.readouterr().err.rstrip().endswith("--lift")
    assert "--lift" in " ".join(find("linear").notes)


@pytest.mark.slow
def test_three_seeds_explain_forty_percent_of_the_disease(three_seeds: Seeds) -> None:
    found = [made.result.card.metrics["test_r2"] for made in three_seeds("linear")]
    assert np.mean(found) >= 0.40, found


@pytest.mark.slow
def test_three_seeds_are_right_about_95_percent_of_the_tumours(three_seeds: Seeds) -> None:
    found = [made.result.card.metrics["test_accuracy"] for made in three_seeds("logistic")]
    assert np.mean(found) >= 0.95, found
