"""Closeness: figures, and the reasons why they are not enough."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgepack.runtime.compare import Budget, Parity, compare


def parity(reference: Any, result: Any, dtype: str = "float32") -> Parity:
    return compare({"y": np.array(reference, dtype)}, {"y": np.array(result, dtype)})


def test_equal_outputs_are_perfectly_close() -> None:
    same = [[0.1, 0.9], [0.8, 0.2]]
    assert parity(same, same) == Parity(0.0, 0.0, 1.0, 300.0, 1.0, 2)


def test_the_figures_are_those_of_their_definitions() -> None:
    found = parity([[3.0, 4.0]], [[3.0, 5.0]])
    assert found.max_abs == 1.0
    assert found.max_rel == 1 / 4
    assert found.cosine == pytest.approx((9 + 20) / (5 * math.sqrt(34)))
    assert found.snr_db == pytest.approx(10 * math.log10(25 / 1))


@pytest.mark.parametrize(
    ("reference", "result"),
    [([[1.0]], [[math.nan]]), ([[math.nan]], [[math.nan]]), ([[math.nan]], [[1.0]])],
    ids=["in-the-result", "in-both", "in-the-reference"],
)
def test_nan_is_never_close(reference: Any, result: Any) -> None:
    found = parity(reference, result)
    assert (found.max_abs, found.max_rel, found.cosine, found.snr_db) == (math.inf, math.inf, -1.0, -math.inf)


@pytest.mark.parametrize("bad", [math.inf, math.nan], ids=["infinity", "nan"])
def test_no_budget_takes_a_broken_output(bad: float) -> None:
    found = parity([[1.0, 2.0]], [[bad, 2.0]])
    for budget in (Budget(max_abs=1e300), Budget(max_rel=1e300), Budget(min_cosine=-0.99), Budget(min_snr_db=-1e300)):
        assert found.failures(budget)


def test_equal_infinities_are_close() -> None:
    found = parity([[math.inf, -math.inf, 1.0]], [[math.inf, -math.inf, 1.0]])
    assert (found.max_abs, found.cosine, found.snr_db) == (0.0, 1.0, 300.0)


@pytest.mark.parametrize("result", [[[-math.inf]], [[1.0]]], ids=["the-other-infinity", "a-number"])
def test_an_infinity_is_far_from_anything_else(result: Any) -> None:
    assert parity([[math.inf]], result).max_abs == math.inf


@pytest.mark.parametrize(
    ("reference", "result", "agreement"),
    [
        ([[1, 2], [2, 1]], [[1, 3], [1, 2]], 0.5),
        ([[1, 2], [2, 1]], [[1, math.nan], [5, 1]], 0.5),
        ([[0.2], [0.7], [0.9]], [[0.4], [0.6], [0.1]], 2 / 3),
        ([[0.2], [0.7]], [[math.nan], [math.nan]], 0.0),
        ([[2.0], [0.7]], [[2.0], [0.7]], None),
        ([1.0, 2.0], [1.0, 2.0], None),
        (3.0, 3.0, None),
        (np.zeros((0, 3)), np.zeros((0, 3)), None),
        ([[[1, 2], [2, 1]]], [[[1, 2], [1, 2]]], 0.5),
    ],
    ids=[
        "classes", "nan-never-wins", "one-probability", "nan-probability", "one-number-is-no-class",
        "no-rows-of-classes", "a-number", "no-samples", "classes-at-every-place",
    ],
)  # fmt: skip
def test_agreement_counts_rows_with_the_same_winner(reference: Any, result: Any, agreement: float | None) -> None:
    assert parity(reference, result).agreement == agreement


def test_over_several_outputs_the_worst_of_each_figure_counts() -> None:
    a, b = np.array([[1.0, 2.0]]), np.array([[10.0, 20.0]])
    found = compare({"a": a, "b": b}, {"a": np.array([[1.0, 2.5]]), "b": np.array([[11.0, 20.0]])})
    assert found.max_abs == 1.0
    assert found.max_rel == 0.25


def test_other_names_are_no_comparison() -> None:
    with pytest.raises(ValueError, match=r"outputs are named \['z'\], the Keras model's \['y'\]"):
        compare({"y": np.zeros(1)}, {"z": np.zeros(1)})


def test_another_shape_is_no_comparison() -> None:
    with pytest.raises(ValueError, match=r"'y' has shape \(1, 2\), the Keras model's \(2, 1\)"):
        parity([[1], [2]], [[1, 2]])


def test_a_reference_of_zeros_has_no_relative_error() -> None:
    found = parity([[0.0, 0.0]], [[0.0, 1e-9]])
    assert found.max_rel == math.inf
    assert found.snr_db == -300.0


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "bool", "float16"])
def test_every_element_type_is_compared_as_numbers(dtype: str) -> None:
    assert parity([[0, 1]], [[1, 1]], dtype).max_abs == 1.0


def test_differences_of_unsigned_integers_do_not_wrap() -> None:
    assert parity([[255, 0]], [[0, 255]], "uint8").max_abs == 255.0


def test_the_largest_doubles_do_not_overflow() -> None:
    found = parity([[1e308, 1e308]], [[1e308, 0.9e308]], "float64")
    assert found.max_rel == pytest.approx(0.1)
    assert found.cosine == pytest.approx(0.99861, abs=1e-5)
    assert parity([[1e308]], [[-1e308]], "float64").max_abs == math.inf


_FINITE = st.floats(-1e6, 1e6, width=32)
_ROWS = arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(2, 5)), elements=_FINITE)


@given(_ROWS)
def test_any_output_is_perfectly_close_to_itself(rows: Any) -> None:
    found = compare({"y": rows}, {"y": rows.copy()})
    assert found.failures(Budget(0.0, 0.0, 1 - 1e-12, 300.0, 1.0)) == ()


@given(_ROWS, st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 19))
def test_one_broken_element_anywhere_is_found(rows: Any, bad: float, place: int) -> None:
    broken = rows.copy()
    broken.flat[place % rows.size] = bad
    assert compare({"y": rows}, {"y": broken}).max_abs == math.inf


GOOD = Parity(1e-6, 1e-6, 0.999, 100.0, 0.99, 10)


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(max_abs=1e-7), "max abs error 1e-06, allowed 1e-07"),
        (Budget(max_rel=1e-7), "max relative error 1e-06, allowed 1e-07"),
        (Budget(min_cosine=0.9999), "cosine 0.999, at least 0.9999 asked"),
        (Budget(min_snr_db=120), "SNR in dB 100, at least 120 asked"),
        (Budget(min_agreement=1.0), "agreement 0.99, at least 1 asked"),
    ],
    ids=["max_abs", "max_rel", "cosine", "snr", "agreement"],
)
def test_each_figure_outside_the_budget_is_a_reason(budget: Budget, reason: str) -> None:
    assert GOOD.failures(budget) == (reason,)


def test_every_reason_is_given_at_once() -> None:
    assert len(GOOD.failures(Budget(0.0, 0.0, 1.0, 300.0, 1.0))) == 5


def test_figures_at_the_edge_of_the_budget_pass() -> None:
    assert GOOD.failures(Budget(1e-6, 1e-6, 0.999, 100.0, 0.99)) == ()


def test_what_is_not_judged_cannot_fail() -> None:
    assert Parity(math.inf, math.inf, -1.0, -math.inf, 0.0, 1).failures(Budget()) == ()


def test_no_agreement_is_not_judged() -> None:
    assert Parity(0.0, 0.0, 1.0, 300.0, None, 1).failures(Budget(min_agreement=1.0)) == ()
