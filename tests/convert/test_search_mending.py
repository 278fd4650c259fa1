"""A search mends what is fast and loses too much: it comes into the budget, or is told of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgepack.convert import Search, convert_model
from edgepack.convert.precisions import find
from edgepack.convert.prove import prove
from edgepack.convert.schemes import Scheme
from edgepack.convert.search.repairs import Missed, mend
from edgepack.convert.search.tried import Tried
from tests.convert.spread_models import TARGETS, Hard, opened, spread_net

_INT8 = Scheme(find("int8"))
_ALLOWED = 0.01


@pytest.fixture(scope="module")
def hard(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hard]:
    with opened(spread_net(keras), tmp_path_factory.mktemp("spread")) as found:
        yield found


def _missed(hard: Hard, target: str, seconds: float) -> Missed:
    tried = Tried(variant=f"{target}-int8", format=target, precision="int8")
    return Missed(hard.writers[target], _INT8, tried, hard.question(target, _ALLOWED), seconds)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_mended_holds_the_budget(hard: Hard, target: str) -> None:
    scheme = mend(_missed(hard, target, 120.0), aim="size")
    assert scheme is not None
    assert scheme.options.float_layers
    question = hard.question(target, _ALLOWED)
    proof = prove(target, hard.writers[target](scheme), scheme.precision, question)
    assert proof.reasons == ()


def test_without_time_nothing_is_mended(hard: Hard) -> None:
    assert mend(_missed(hard, "tflite", 0.0), aim="size") is None


def test_what_is_being_tried_is_told(hard: Hard) -> None:
    said: list[str] = []
    missed = _missed(hard, "tflite", 120.0)
    mend(Missed(missed.writer, missed.scheme, missed.tried, missed.question, missed.seconds, said.append), aim="size")
    assert any(text.endswith(" in float") for text in said)


def test_a_search_mends_on_its_own_and_names_what_stays_in_float(hard: Hard, tmp_path: Path) -> None:
    report = convert_model(
        hard.model, tmp_path / "spread.tflite", precisions="int8", calibration=hard.calibration,
        evaluation=hard.evaluation, max_drop=_ALLOWED, search=Search(aim="size"),
    )  # fmt: skip
    assert report.search is not None
    mended = [one.tried for one in report.search.lines if one.tried.mends]
    assert mended
    assert all(one.options["float_layers"] for one in mended if one.parity is not None)
