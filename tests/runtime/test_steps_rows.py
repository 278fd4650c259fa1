"""Rows and series: numbers by name, in order, as CSV, and over time."""

import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import EdgepackError, InputError, MissingFileError, StepError
from edgepack.runtime.steps import Step, prepare
from edgepack.runtime.tensor import Array

ROW = prepare([Step("row", {"columns": ["age", "bmi", "sex"]})])


def series(length: int | None = None, channels: int = 2) -> Callable[[Any], Array]:
    return prepare([Step("series", {"length": length, "channels": channels})])


# row


@pytest.mark.parametrize(
    "sample",
    [
        {"age": 40, "bmi": 21.5, "sex": 1}, {"sex": "1", "bmi": " 21.5", "age": np.float32(40)},
        OrderedDict(bmi=21.5, sex=True, age=40), [40, 21.5, 1], (40, "21.5", 1), np.array([40, 21.5, 1]),
        np.array(["40", "21.5", "1"]), np.array([40, 21.5, True], object), "40,21.5,1",
        ' 40 , "21.5",1\n', "4e1,21.5,1.0\r\n",
    ],
    ids=[
        "dict", "dict-in-another-order", "mapping", "list", "tuple", "array", "array-of-text", "array-of-objects",
        "csv", "csv-with-blanks-and-quotes", "csv-with-exponents",
    ],
)  # fmt: skip
def test_every_way_to_hand_over_a_row_gives_the_same_numbers(sample: Any) -> None:
    found = ROW(sample)
    assert (found.dtype, found.tolist()) == (np.float32, [40, 21.5, 1])


@pytest.mark.parametrize("sample", [3, 3.0, np.float64(3), np.array(3), [3], "3", {"only": 3}], ids=repr)
def test_one_number_is_a_row_of_one_column(sample: Any) -> None:
    assert prepare([Step("row", {"columns": ["only"]})])(sample).tolist() == [3]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"age": 1, "bmi": 2}, r"a row has 3 columns \(age, bmi, sex\); this one misses sex$"),
        ({"age": 1, "bmi": 2, "sex": 3, "x": 4}, r"this one has unknown x$"),
        ({"Age": 1, "bmi": 2, "sex": 3}, r"this one misses age and has unknown Age$"),
        ([1, 2], r"a row has 3 columns \(age, bmi, sex\); this one 2 values"),
        ("1;2;3", r"this one 1 values \(separated by commas"),
        ("1,2,3\n4,5,6", r"a row is one line of CSV; this text holds several: give several rows as a list"),
        ("", r"this text holds none"),
        (np.zeros((2, 3)), r"this is float64 \(2, 3\): give several rows as a list"),
        (np.zeros(3, complex), r"this is complex128 \(3,\)"),
        (3.0, r"and 3.0 is one number: a list is a batch of rows, so put one row into a list of its own"),
        (None, r"comes as a dict, a list or an array of them, or a line of CSV; this is NoneType"),
        (Path("x.csv"), r"this is PosixPath"),
        (b"1,2,3", r"this is bytes"),
    ],
    ids=lambda value: "" if isinstance(value, str) and len(value) > 20 else repr(value)[:40],
)
def test_what_is_no_such_row_is_told_with_both_sides(sample: Any, message: str) -> None:
    with pytest.raises(EdgepackError, match=message):
        ROW(sample)


@pytest.mark.parametrize(
    "value", ["nan", float("nan"), "inf", float("-inf"), "many", "", None, 1e39, 10**400, "1,5", [1], 1j, object()],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_what_is_no_finite_number_is_told_with_its_column(value: Any) -> None:
    with pytest.raises(StepError, match=r"^column 'bmi' holds .*; a finite number belongs there$"):
        ROW({"age": 1, "bmi": value, "sex": 3})
    with pytest.raises(StepError, match=r"^column 'bmi' holds "):
        ROW([1, value, 3])


def test_only_the_first_of_many_names_are_told() -> None:
    wide = prepare([Step("row", {"columns": [f"c{index}" for index in range(1000)]})])
    with pytest.raises(InputError, match=r"1,000 columns \(c0, .*c7, …\); this one misses c0, .*c7, …$"):
        wide({})


# series


def test_a_series_keeps_its_numbers_and_its_length() -> None:
    values = np.arange(6).reshape(3, 2)
    found = series()(values)
    assert (found.dtype, found.tolist()) == (np.float32, values.tolist())


@pytest.mark.parametrize(
    ("length", "wanted"),
    [(2, [[1, 2], [3, 4]]), (3, [[1, 2], [3, 4], [5, 6]]), (4, [[1, 2], [3, 4], [5, 6], [0, 0]])],
    ids=["cut", "same", "padded"],
)
def test_a_series_is_brought_to_its_length_at_the_end(length: int, wanted: list[list[int]]) -> None:
    assert series(length)(np.array([[1, 2], [3, 4], [5, 6]])).tolist() == wanted
    assert series(length)([[1, 2], [3, 4], [5, 6]]).tolist() == wanted


def test_a_series_of_one_channel_may_be_time_alone() -> None:
    assert series(3, 1)(np.array([1, 2])).tolist() == [[1], [2], [0]]


@pytest.mark.parametrize("text", ["1,2\n3,4\n", "a,b\n1,2\n3,4", "\ufeff1, 2\r\n\r\n3,4\r\n", '"1","2"\n3,4'], ids=repr)
def test_a_series_is_read_from_csv_with_and_without_a_header(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.CSV"
    path.write_bytes(text.encode())
    assert series()(path).tolist() == [[1, 2], [3, 4]]
    assert series()(str(path)).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("kind", ["float32", "float64", "int16", "uint8", "bool"])
def test_a_series_is_read_from_npy(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "s.npy", np.asfortranarray(np.eye(2, dtype=kind)))
    assert series()(tmp_path / "s.npy").tolist() == [[1, 0], [0, 1]]


def csv(text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "s.csv").write_text(text, encoding="utf-8")
        return folder / "s.csv"

    return write


def npy(values: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.save(folder / "s.npy", values)
        return folder / "s.npy"

    return write


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.zeros((3, 3)), r"shape \(time, 2\); this one float64 \(3, 3\): several series go into a list"),
        (np.zeros(3), r"this one float64 \(3,\)"),
        (np.zeros((1, 3, 2)), r"this one float64 \(1, 3, 2\)"),
        (np.zeros((0, 2)), r"this series holds 0 numbers"),
        (np.zeros((5_000_001, 2), np.uint8), r"this series holds 10,000,002 numbers; 1 to 10,000,000 are taken"),
        (np.array([["a", "b"]]), r"this one <U1 \(1, 2\)"),
        (np.array([[1, 2], [3, np.nan]]), r"step 1 of the series, channel 1 \(both from 0\) holds nan"),
        (np.array([[1, 2], [np.inf, 0]]), r"step 1 of the series, channel 0 \(both from 0\) holds inf"),
        (np.array([[1e39, 2]]), r"channel 0 \(both from 0\) holds 1e\+39; a finite number belongs there"),
        (3.0, r"a list is a batch of series"),
        ({"a": 1}, r"this is dict"),
        ("series.txt", r"read from a \.csv or \.npy file; series\.txt has another ending"),
        (csv("1,2\n3\n"), r"s\.csv:2 has 1 values; a step of the series has 2, separated by commas"),
        (csv("1,2\n3,x\n"), r"s\.csv:2 holds 'x'; a finite number"),
        (csv("1,x\n3,4\n"), r"s\.csv:1 holds 'x'; a finite number"),
        (csv("1,nan\n"), r"s\.csv:1 holds 'nan'"),
        (csv("a,b\n"), r"holds 0 numbers"),
        (csv(""), r"holds 0 numbers"),
        (npy(np.array([[{}, 1]], object)), r"s\.npy is no \.npy file of plain numbers"),
        (npy(np.zeros((2, 3))), r"this one float64 \(2, 3\)"),
    ],
    ids=lambda value: "" if isinstance(value, str) and len(value) > 12 else type(value).__name__,
)
def test_what_is_no_such_series_is_told(tmp_path: Path, sample: Any, message: str) -> None:
    with pytest.raises(EdgepackError, match=message):
        series()(sample(tmp_path) if callable(sample) else sample)


def test_a_file_that_is_no_text_says_how_to_save_it(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes("1,2\n".encode("utf-16"))
    with pytest.raises(StepError, match=r"s\.csv is not UTF-8 text; save it as CSV in UTF-8"):
        series()(tmp_path / "s.csv")


def test_a_path_that_leads_to_no_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no series at .*s\.csv"):
        series()(tmp_path / "s.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"is a folder, not a series file; name a file in it"):
        series()(tmp_path / "folder.csv")
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(InputError, match=r"is a pipe or a device, not a series file; name a file"):
        series()(tmp_path / "pipe.npy")
