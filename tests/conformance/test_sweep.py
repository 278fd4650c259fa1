"""The sweep itself: what it covers, how it judges, and that nothing a case does takes it down."""

import inspect
from collections import Counter
from typing import Any

import numpy as np
import pytest

from edgepack.convert.conformance import Outcome, render, summary, sweep
from edgepack.convert.judging import BROKEN, CRASH, REFUSED, RIGHT, WRONG, relative_distance
from edgepack.quiet import import_keras
from tests.conformance.cases import CASES, NOT_SWEPT


@pytest.fixture(scope="module")
def layers() -> Any:
    return import_keras("lists the layers", "convert").layers


def test_every_public_layer_has_a_case_or_a_reason(layers: Any) -> None:
    public = {name: value for name, value in vars(layers).items() if inspect.isclass(value)}
    covered = {getattr(layers, name) for name in {case.layer for case in CASES} | set(NOT_SWEPT)}
    assert [name for name, value in public.items() if value not in covered] == []


def test_every_name_in_the_tables_is_a_public_layer(layers: Any) -> None:
    assert [name for name in {case.layer for case in CASES} | set(NOT_SWEPT) if not hasattr(layers, name)] == []


def test_no_layer_is_both_swept_and_left_out() -> None:
    assert {case.layer for case in CASES} & set(NOT_SWEPT) == set()


def test_there_are_many_cases_and_each_has_its_own_name() -> None:
    names = Counter(case.id for case in CASES)
    assert len(names) >= 280
    assert [name for name, count in names.items() if count > 1] == []


def test_a_case_builds_the_same_weights_and_inputs_each_time() -> None:
    case = next(case for case in CASES if case.id == "BatchNormalization-4d")
    first, second = case.build(), case.build()
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.std() > 0
    np.testing.assert_array_equal(*(case.sample(np.random.default_rng(5), 3)["input_0"] for _ in range(2)))


@pytest.mark.parametrize(
    ("wanted", "got", "distance"),
    [
        pytest.param([2.0, 4.0], [2.0, 4.004], 1e-3, id="relative to the largest"),
        pytest.param([2.0, 4.0], [2.0, np.nan], np.inf, id="NaN"),
        pytest.param([2.0, np.inf], [2.0, np.inf], 0.0, id="equal infinities"),
        pytest.param([2.0, 4.0], [[2.0, 4.0]], np.inf, id="another shape"),
        pytest.param([0.0, 0.0], [0.0, 1e-6], 1e-3, id="zeros with a floor of 1e-3"),
        pytest.param([100_000, 5], [100_001, 5], 1.0, id="whole numbers are equal or wrong"),
        pytest.param([True, False], [True, True], 1.0, id="booleans are equal or wrong"),
        pytest.param(["a", "红"], [b"a", "红".encode()], 0.0, id="texts as bytes"),
        pytest.param(["a"], ["b"], np.inf, id="another text"),
        pytest.param([], [], 0.0, id="nothing"),
    ],
)
def test_distance(wanted: list[Any], got: list[Any], distance: float) -> None:
    arrays = [
        np.array(values, object) if isinstance(values[:1], (str, bytes)) else np.array(values)
        for values in (wanted, got)
    ]
    assert relative_distance(arrays[0], arrays[1]) == pytest.approx(distance)


def test_a_case_that_dies_or_hangs_costs_only_itself() -> None:
    outcomes = {
        (one.case, one.format): one for one in sweep("tests.conformance.hostile", only="dies|fails|works", workers=1)
    }
    assert {key: one.verdict for key, one in outcomes.items()} == {
        (f"Dense-{name}", file_format): verdict
        for name, verdict in (("dies", CRASH), ("fails", BROKEN), ("works", RIGHT))
        for file_format in ("tflite", "onnx")
    }
    assert "SIGABRT" in outcomes["Dense-dies", "onnx"].reason
    assert "cannot be built" in outcomes["Dense-fails", "onnx"].reason


def test_a_case_that_hangs_is_ended() -> None:
    (one, _) = sweep("tests.conformance.hostile", only="hangs", timeout_s=3)
    assert (one.verdict, one.reason) == (CRASH, "no answer within 3 s")


def test_the_table_counts_and_names_what_is_not_right() -> None:
    outcomes = [
        Outcome("Dense-a", "Dense", "tflite", RIGHT, how="as is"),
        Outcome("Dense-a", "Dense", "onnx", RIGHT, how="lowered"),
        Outcome("Dense-b", "Dense", "tflite", REFUSED, reason="it has a | in it"),
        Outcome("Dense-b", "Dense", "onnx", WRONG, reason="differs by 0.3"),
    ]
    assert summary(outcomes) == [
        "tflite: 1 of 2 (50.0 %) right, 1 refused",
        "onnx: 1 of 2 (50.0 %) right, 1 wrong",
        "both: 1 of 2 (50.0 %) right",
    ]
    page = render(outcomes, {"Lambda": "carries code"})
    assert "| Dense | 2 | as is 1, refused 1 | lowered 1, wrong 1 |" in page
    assert "| `Dense-b` | tflite | refused | it has a \\| in it |" in page
    assert "| Lambda | carries code |" in page
