"""The border check: both sides are shown, and no value changes its meaning."""

from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import InputError
from edgepack.runtime.tensor import TensorSpec, check_names, describe
from tests.fakes import spec

X = spec("x", None, 4)


def test_an_array_that_fits_is_taken_as_it_is() -> None:
    array = np.zeros((2, 4), np.float32)
    assert X.check(array) is not None
    assert np.shares_memory(X.check(array), array)


@pytest.mark.parametrize(
    ("spec", "value", "dtype"),
    [
        (spec("x", 2), [1, 2], "float32"),
        (spec("x", 2), [1.5, 2], "float32"),
        (spec("x", 2), np.array([1, 2], np.float64), "float32"),
        (spec("x", 2), np.array([1, 2], np.float16), "float32"),
        (spec("x", 2), np.array([1, 2], ">f4"), "float32"),
        (spec("x", 2, dtype="int32"), [1, 2], "int32"),
        (spec("x", 2, dtype="int8"), np.array([-128, 127], np.int64), "int8"),
        (spec("x", 2, dtype="uint8"), np.array([0, 255], np.int64), "uint8"),
        (spec("x", 2, dtype="bool"), [True, False], "bool"),
        (spec("x", 2, dtype="string"), ["a", "bc"], "object"),
        (spec("x"), 3, "float32"),
        (spec("x"), np.float64(3), "float32"),
    ],
    ids=[
        "ints-of-python", "floats-of-python", "wide-floats", "narrow-floats", "other-byte-order",
        "ints", "int8-at-its-ends", "uint8-at-its-ends", "bools", "text", "a-number", "a-numpy-number",
    ],
)  # fmt: skip
def test_values_that_keep_their_meaning_are_taken(spec: TensorSpec, value: Any, dtype: str) -> None:
    checked = spec.check(value)
    assert checked.dtype == dtype
    assert checked.dtype.isnative
    assert checked.tolist() == np.asarray(value).tolist()


@pytest.mark.parametrize(
    "array",
    [np.asfortranarray(np.ones((3, 4), np.float32)), np.ones((6, 4), np.float32)[::2], np.ones((4, 3), "f4").T],
    ids=["fortran", "strided", "transposed"],
)
def test_any_layout_comes_back_contiguous(array: Any) -> None:
    assert X.check(array).flags.c_contiguous


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(4, np.float32), r"'x' has shape \(4,\); the model takes \(any, 4\).*np\.expand_dims\(x, 0\)"),
        (np.zeros((2, 5), np.float32), r"'x' has shape \(2, 5\); the model takes \(any, 4\); reshape it"),
        (np.zeros((2, 4, 1), np.float32), r"'x' has shape \(2, 4, 1\); the model takes \(any, 4\)"),
        (np.float32(1), r"'x' has shape \(\); the model takes \(any, 4\)"),
        ([[1, 2], [3]], r"'x' cannot be read as an array"),
    ],
    ids=["no-batch-axis", "another-size", "an-axis-more", "no-axis", "ragged"],
)
def test_another_shape_is_refused_with_both_sides(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        X.check(value)


def test_a_missing_last_axis_is_named() -> None:
    with pytest.raises(InputError, match=r"np\.expand_dims\(x, -1\)"):
        spec("image", 1, 28, 28, 1).check(np.zeros((1, 28, 28), np.float32))


@pytest.mark.parametrize(
    ("spec", "value", "message"),
    [
        (X, np.zeros((1, 4), np.uint8), r"element type uint8; the model takes float32.*x\.astype\('float32'\)"),
        (X, np.zeros((1, 4), np.int64), r"element type int64; the model takes float32"),
        (X, np.zeros((1, 4), bool), r"element type bool; the model takes float32"),
        (spec("x", 2), [True, False], r"element type bool; the model takes float32"),
        (X, np.zeros((1, 4), complex), r"element type complex128; the model takes float32"),
        (X, np.full((1, 4), "a"), r"element type <U1; the model takes float32"),
        (spec("n", None, dtype="int32"), [1.5], r"element type float64; the model takes int32"),
        (spec("n", None, dtype="int32"), [2**70], r"element type object; the model takes int32"),
        (spec("n", None, dtype="int8"), [300], r"int64 values that do not fit int8 \(from 300 to 300\)"),
        (spec("n", None, dtype="uint8"), np.array([-1]), r"do not fit uint8 \(from -1 to -1\)"),
        (spec("t", None, dtype="string"), [1], r"element type int64; the model takes string"),
    ],
    ids=[
        "pixels", "int-array", "bools", "bools-of-python", "complex", "text", "floats", "huge", "too-big",
        "negative", "numbers-for-text",
    ],
)  # fmt: skip
def test_values_that_would_change_are_refused_with_both_sides(spec: TensorSpec, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spec.check(value)


def test_floats_beyond_the_type_are_refused() -> None:
    with pytest.raises(InputError, match=r"float64 values that do not fit float32 \(from 0\.0 to 1e\+300\)"):
        spec("x", 2).check([0.0, 1e300])


def test_ints_of_python_beyond_the_type_are_refused() -> None:
    with pytest.raises(InputError, match=r"values that do not fit float16 \(from 70000"):
        spec("x", 1, dtype="float16").check([70_000])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan], ids=str)
def test_what_is_no_number_already_stays_what_it_is(value: float) -> None:
    assert spec("x", 1).check(np.array([value])).tolist() == pytest.approx([value], nan_ok=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"got 0 inputs \(none\); the model takes 2 \('a', 'b'\)"),
        ({"a": 0}, r"got 1 input \('a'\); the model takes 2"),
        ({"a": 0, "c": 0}, r"got 2 inputs \('a', 'c'\); the model takes 2 \('a', 'b'\)"),
        ({"a": 0, "b": 0, "c": 0}, r"got 3 inputs \('a', 'b', 'c'\); the model takes 2"),
    ],
    ids=["none", "too-few", "another", "too-many"],
)
def test_names_are_checked_with_both_sides(given: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_names([spec("a"), spec("b")], given)


@pytest.mark.parametrize(
    ("shape", "text"), [((), "()"), ((3,), "(3,)"), ((None,), "(any,)"), ((None, 28, 28, 1), "(any, 28, 28, 1)")]
)
def test_shapes_read_as_a_person_writes_them(shape: tuple[int | None, ...], text: str) -> None:
    assert describe(shape) == text


def test_a_spec_reads_as_one_line() -> None:
    assert str(X) == "x: float32 (any, 4)"
