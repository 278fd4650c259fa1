"""Results that people read: yes or no, numbers with units, pictures."""

from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import StepError
from edgepack.runtime.steps import Step, prepare
from edgepack.runtime.steps.outputs import Score, Value


def after(name: str, values: Any, **options: Any) -> Any:
    return prepare([Step(name, options)])(np.asarray(values, np.float32))


# decide


@pytest.mark.parametrize("values", [[0.75], 0.75], ids=["row", "scalar"])
def test_above_the_threshold_it_is_yes(values: Any) -> None:
    assert after("decide", values, labels=["no", "yes"]) == [Score("yes", 0.75), Score("no", 0.25)]


def test_at_the_threshold_and_below_it_is_no() -> None:
    assert after("decide", [0.5], labels=["no", "yes"])[0].label == "no"
    assert after("decide", [0.25], labels=["no", "yes"]) == [Score("no", 0.75), Score("yes", 0.25)]


def test_another_threshold_decides_against_the_higher_score() -> None:
    assert after("decide", [0.25], labels=["no", "yes"], threshold=0.125) == [Score("yes", 0.25), Score("no", 0.75)]


@pytest.mark.parametrize("values", [[0.1, 0.9], [[0.1]], []], ids=["two", "two-axes", "none"])
def test_more_than_one_score_is_no_decision(values: Any) -> None:
    with pytest.raises(StepError, match="where one score decides; rebuild the pack"):
        after("decide", values, labels=["no", "yes"])


# number


@pytest.mark.parametrize(
    ("values", "options", "wanted", "text"),
    [
        ([12.345678], {}, Value("", 12.345678, ""), "12.345678"),
        ([12.345678], {"unit": "degC", "decimals": 1}, Value("", 12.3, "degC"), "12.3 degC"),
        ([12.0], {"unit": "%", "decimals": 0}, Value("", 12.0, "%"), "12 %"),
        (0.1, {"names": ["price"]}, Value("price", 0.1, ""), "price 0.1"),
        ([-1e20], {"unit": "J"}, Value("", -1e20, "J"), "-1e+20 J"),
    ],
    ids=["plain", "unit", "whole", "name", "huge"],
)
def test_one_number_is_a_value_that_prints_well(values: Any, options: Any, wanted: Value, text: str) -> None:
    found = after("number", values, **options)
    assert (found, str(found)) == (wanted, text)
    assert isinstance(found, Value)


def test_several_numbers_are_a_list_of_named_values() -> None:
    found = after("number", [1.5, 2], unit="m", names=["width", "height"])
    assert found == [Value("width", 1.5, "m"), Value("height", 2.0, "m")]
    assert [one.name for one in after("number", [1, 2, 3])] == ["1", "2", "3"]


@pytest.mark.parametrize("values", [[1.0], [1, 2, 3], [[1, 2]]], ids=["fewer", "more", "axes"])
def test_numbers_that_do_not_fit_the_names_are_told(values: Any) -> None:
    with pytest.raises(StepError, match="numbers for 2 names are one row of them"):
        after("number", values, names=["a", "b"])


def test_not_a_number_is_shown_as_it_is() -> None:
    assert str(after("number", [np.nan], unit="m")) == "nan m"


# picture


@pytest.mark.parametrize("shape", [(2, 3, 1), (2, 3), (6,)], ids=str)
def test_a_picture_is_clipped_and_rounded(shape: tuple[int, ...]) -> None:
    values = np.reshape([-1, 0, 0.5, 1, 2, 0.999], shape)
    found = after("picture", values, height=2, width=3)
    assert (found.dtype, found.shape) == (np.uint8, (2, 3, 1))
    assert found.ravel().tolist() == [0, 0, 128, 255, 255, 255]


def test_numbers_that_are_none_are_dark_and_infinite_ones_at_the_ends() -> None:
    found = after("picture", [[[np.nan, np.inf, -np.inf]]], height=1, width=1, mode="rgb")
    assert found.tolist() == [[[0, 255, 0]]]


@pytest.mark.parametrize("shape", [(3, 2, 1), (2, 3, 3), (5,), ()], ids=str)
def test_a_picture_of_another_shape_is_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(StepError, match=r"for a picture of \(2, 3, 1\); rebuild the pack"):
        after("picture", np.zeros(shape), height=2, width=3)
