"""A file that loses too much comes into its budget, or says the best that was found."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import page
from edgepack.convert import budget_page, convert_model
from edgepack.convert.giving_back import Held, within_budget
from edgepack.convert.options import Options
from edgepack.convert.precisions import find
from edgepack.convert.schemes import Scheme
from edgepack.runtime.pack import Pack
from tests.convert.spread_models import TARGETS, Hard, opened, spread_block

_INT8 = Scheme(find("int8"))
_ALLOWED = 0.01


@pytest.fixture(scope="module")
def held(hard: Hard) -> dict[str, Held]:
    """Both formats, whatever the latency: so small a net gains none from int8."""
    return {
        target: within_budget(hard.writers[target], _INT8, hard.question(target, _ALLOWED), aim="size")
        for target in TARGETS
    }


@pytest.mark.parametrize("target", TARGETS)
def test_the_plain_file_loses_too_much(held: dict[str, Held], target: str) -> None:
    plain = held[target].trials[0]
    assert plain.what == "plain"
    assert plain.lost is not None
    assert plain.lost > 0.02


@pytest.mark.parametrize("target", TARGETS)
def test_the_chosen_file_holds_the_budget(held: dict[str, Held], target: str) -> None:
    found = held[target]
    assert found.proof.reasons == ()
    assert found.proof.metric is not None
    assert found.proof.metric.keras - found.proof.metric.value <= _ALLOWED


@pytest.mark.parametrize("target", TARGETS)
def test_few_layers_stay_in_float_and_are_named(hard: Hard, held: dict[str, Held], target: str) -> None:
    kept = held[target].options.float_layers
    assert 1 <= len(kept) <= 3
    assert set(kept) <= {part.name for part in hard.writers[target].parts}
    assert kept[0] in held[target].notes[-1]


@pytest.mark.parametrize("target", TARGETS)
def test_what_holds_is_timed_and_what_does_not_is_not(held: dict[str, Held], target: str) -> None:
    for trial in held[target].trials:
        assert (trial.p50_us is not None) == (not trial.reasons)


@pytest.mark.parametrize("target", TARGETS)
def test_no_file_is_tried_twice(held: dict[str, Held], target: str) -> None:
    options = [str(sorted(trial.options.items(), key=str)) for trial in held[target].trials]
    assert len(options) == len(set(options))


@pytest.mark.parametrize("target", TARGETS)
def test_of_a_layer_that_holds_others_only_the_one_that_suffers_stays_in_float(
    keras: Any, tmp_path: Path, target: str
) -> None:
    with opened(spread_block(keras), tmp_path) as block:
        question = block.question(target, 0.001)
        close = replace(question, samples=replace(question.samples, labels=question.reference))  # judged by r2
        found = within_budget(block.writers[target], _INT8, close, aim="size")
    assert found.proof.reasons == ()
    assert found.options.float_layers == ("block/narrow",)


def test_what_the_user_chose_stays(hard: Hard) -> None:
    chosen = Scheme(find("int8"), Options(granularity="per-tensor", symmetric=True))
    found = within_budget(hard.writers["onnx"], chosen, hard.question("onnx", 0.01), aim="size")
    assert {trial.options.get("granularity") for trial in found.trials} == {"per-tensor"}
    assert {trial.options.get("symmetric") for trial in found.trials} == {True}


def test_without_labels_agreement_is_held(hard: Hard) -> None:
    question = hard.question("tflite", 0.02, labels=False)
    found = within_budget(hard.writers["tflite"], _INT8, question, aim="size")
    assert found.proof.metric is None
    assert found.proof.parity is not None
    assert found.proof.parity.agreement is not None
    assert found.proof.parity.agreement >= 0.98


def test_a_file_that_is_right_is_left_alone(hard: Hard) -> None:
    found = within_budget(hard.writers["tflite"], Scheme(find("float32")), hard.question("tflite", 0.005))
    assert found.trials == ()
    assert found.proof.reasons == ()


def test_nothing_is_given_back_unless_a_budget_was_asked_for(hard: Hard) -> None:
    question = replace(hard.question("tflite", 0.005), give_back=False)
    found = within_budget(hard.writers["tflite"], _INT8, question)
    assert found.trials == ()
    assert found.proof.reasons


def test_a_budget_that_nothing_holds_says_the_best_that_was_found_and_is_quantized(hard: Hard) -> None:
    question = hard.question("onnx", 0.0)
    close = replace(question, samples=replace(question.samples, labels=question.reference))  # no int8 has r2 1
    found = within_budget(hard.writers["onnx"], _INT8, close, aim="size")
    assert f"nothing of {len(found.trials)} files tried holds the budget; the best was " in found.proof.reasons[-1]
    assert found.proof.session is None
    best = [one for one in found.trials if f"the best was {one.what}: " in found.proof.reasons[-1]]
    assert any("its tensors read float32" in reason for one in found.trials for reason in one.reasons)
    assert [len(one.reasons) for one in best] == [1]
    assert best[0].reasons[0].endswith("lost, allowed 0")


def test_what_is_wrong_beside_the_budget_is_said_of_the_best(hard: Hard) -> None:
    question = hard.question("tflite", 0.5)
    flat = {name: 0.25 + (array - 0.25) / 100 for name, array in question.reference.items()}  # the winner is the same
    found = within_budget(hard.writers["tflite"], _INT8, replace(question, reference=flat), aim="size")
    last = found.proof.reasons[-1]
    best = next(one for one in found.trials if f"the best was {one.what}: " in last)
    assert last.startswith(f"nothing of {len(found.trials)} files tried is right; ")
    assert last.endswith(f", but {'; '.join(best.reasons)}")


def test_of_a_file_without_anything_quantized_nothing_is_given_back(keras: Any, tmp_path: Path) -> None:
    values = keras.Input((8,), name="values")
    model = keras.Model(values, keras.layers.ReLU(name="relu")(values), name="plain")
    samples = {"values": np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)}
    report = convert_model(
        model, tmp_path / "plain.edgepack", targets="tflite", precisions="float32,int8", calibration=samples,
        max_drop=0.01,
    )  # fmt: skip
    assert report.results[1].trials == ()
    assert report.results[1].reasons == ("int8 was asked, but its tensors read float32: nothing was gained by it",)


def test_what_is_being_tried_is_told(hard: Hard) -> None:
    said: list[str] = []
    within_budget(hard.writers["tflite"], _INT8, hard.question("tflite", 0.01), aim="size", tell=said.append)
    assert "ranking layers" in said
    assert any(text.endswith(" in float") for text in said)
    assert said[-1] == "timing what holds the budget"


def test_a_file_that_holds_the_budget_but_is_no_faster_says_so(hard: Hard) -> None:
    # int8 gains nothing on so small a net in ONNX Runtime: its quantizing and back costs more than the arithmetic.
    found = within_budget(hard.writers["onnx"], _INT8, hard.question("onnx", _ALLOWED))
    assert "but that is no faster than float32: " in found.proof.reasons[-1]


def test_the_report_shows_what_was_tried_and_which_layers_suffer(held: dict[str, Held]) -> None:
    class Result:
        variant = "tflite-int8"
        options = held["tflite"].options.said()
        trials = held["tflite"].trials
        sensitivities = held["tflite"].sensitivities

    table, plot = budget_page.sections(Result())
    assert isinstance(table, page.Table)
    assert len(table.rows) == len(held["tflite"].trials)
    assert isinstance(plot, page.Plot)
    assert held["tflite"].sensitivities[0].name[-20:] in plot.svg


def test_a_conversion_keeps_its_options_in_the_pack_and_its_trials_in_the_report(hard: Hard, tmp_path: Path) -> None:
    path = tmp_path / "spread.edgepack"
    report = convert_model(
        hard.model, path, targets="tflite", precisions=("float32", "int8"), calibration=hard.calibration,
        evaluation=hard.evaluation, max_drop=_ALLOWED,
    )  # fmt: skip
    result = report.results[1]
    assert result.trials[0].what == "plain"
    assert result.sensitivities
    assert b'"trials"' in report.to_json()
    if not result.reasons:  # how fast it is, is the machine's affair
        with Pack(path) as pack:
            assert pack.manifest.variants[1].options["float_layers"] == list(result.options["float_layers"])
