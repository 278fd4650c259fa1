"""A search mends what is fast and loses too much: it comes into the budget, or is told of."""

import msgspec
import pytest

from edgepack.convert import Report, Search, convert_model
from edgepack.convert.options import Options
from edgepack.convert.precisions import find
from edgepack.convert.prove import prove
from edgepack.convert.schemes import Scheme
from edgepack.convert.search.repairs import Missed, mend
from edgepack.convert.search.tried import Tried
from tests.convert.spread_models import TARGETS, Hard

_INT8 = Scheme(find("int8"))
_ALLOWED = 0.01


def _missed(hard: Hard, target: str, seconds: float) -> Missed:
    tried = Tried(variant=f"{target}-int8", format=target, precision="int8")
    return Missed(hard.writers[target], _INT8, tried, hard.question(target, _ALLOWED), seconds)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_mended_holds_the_budget(hard: Hard, target: str) -> None:
    mending = mend(_missed(hard, target, 120.0), aim="size")
    assert mending.options is not None
    assert mending.options["float_layers"]
    scheme = Scheme(find("int8"), msgspec.convert(mending.options, Options))
    question = hard.question(target, _ALLOWED)
    proof = prove(target, hard.writers[target](scheme), scheme.precision, question)
    assert proof.reasons == ()


def test_without_time_nothing_is_mended(hard: Hard) -> None:
    mending = mend(_missed(hard, "tflite", 0.0), aim="size")
    assert mending.options is None
    assert mending.reason


def test_what_is_being_tried_is_told(hard: Hard) -> None:
    said: list[str] = []
    missed = _missed(hard, "tflite", 120.0)
    mend(Missed(missed.writer, missed.scheme, missed.tried, missed.question, missed.seconds, said.append), aim="size")
    assert any(text.endswith(" in float") for text in said)


@pytest.fixture(scope="module")
def searched(hard: Hard, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return convert_model(
        hard.model, tmp_path_factory.mktemp("searched") / "spread.tflite", precisions="int8",
        calibration=hard.calibration, evaluation=hard.evaluation, max_drop=_ALLOWED, search=Search(aim="size"),
    )  # fmt: skip


def test_a_search_mends_on_its_own_and_names_what_stays_in_float(searched: Report) -> None:
    assert searched.search is not None
    mended = [one.tried for one in searched.search.lines if one.tried.mends]
    assert mended
    assert all(one.options["float_layers"] for one in mended if one.parity is not None)


def test_the_report_of_a_search_has_the_layers_of_its_quantized_files(searched: Report) -> None:
    assert [one.file for one in searched.layers] == ["tflite-int8"]
    assert searched.layers[0].worst


def test_the_report_of_a_search_says_what_was_given_back_and_what_was_tried_for_it(searched: Report) -> None:
    assert [one.variant for one in searched.results] == ["tflite-int8"]
    mended = searched.results[0]
    assert mended.trials[0].what == "plain"
    assert mended.sensitivities
    kept = ", ".join(mended.options["float_layers"])
    assert any(note.startswith(f"tflite-int8: kept in float: {kept} (") for note in searched.notes)
