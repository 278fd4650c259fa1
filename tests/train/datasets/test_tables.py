"""Tables: what scikit-learn ships, their fixed splits, and CSV files of the user. No TensorFlow is needed here."""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgepack.runtime.errors import DataError, MissingExtraError, MissingFileError
from edgepack.train.data import Data
from edgepack.train.datasets import breast_cancer, diabetes
from edgepack.train.datasets.tables import Table, load_shipped, load_table_file

# The test splits as they were first published: a change here would make every published figure incomparable.
SPLITS = {
    "diabetes": (
        diabetes.load,
        diabetes.TABLE,
        332,
        110,
        "e27112e51da2a3be6109303163d1832f78aa87ba69664d4b6eab57c5ac1ef38d",
    ),
    "breast-cancer": (
        breast_cancer.load,
        breast_cancer.TABLE,
        427,
        142,
        "633b51df5d5391aec9788b67ccbb4d243167135f523a91692bae84b248d298a3",
    ),
}


@pytest.mark.parametrize(("load", "table", "trained", "tested", "sha256"), SPLITS.values(), ids=SPLITS)
def test_the_split_never_changes(
    load: Callable[[], Data], table: Table, trained: int, tested: int, sha256: str
) -> None:
    data = load()
    assert data.sha256 == table.sha256
    assert data.train.values.shape == (trained, len(table.columns))
    assert data.test.values.shape == (tested, len(table.columns))
    assert data.train.values.dtype == np.float32
    assert hashlib.sha256(data.test.values.tobytes() + data.test.labels.tobytes()).hexdigest() == sha256


@pytest.mark.parametrize("load", [diabetes.load, breast_cancer.load], ids=SPLITS)
def test_no_row_of_the_test_is_trained_on(load: Callable[[], Data]) -> None:
    data = load()
    known = {row.tobytes() for row in data.train.values}
    assert not any(row.tobytes() in known for row in data.test.values)


def test_columns_stand_in_the_order_of_scikit_learn() -> None:
    from sklearn.datasets import load_breast_cancer, load_diabetes

    assert list(breast_cancer.TABLE.columns) == load_breast_cancer().feature_names.tolist()
    assert list(diabetes.TABLE.columns) == load_diabetes().feature_names


def test_patients_come_in_raw_units() -> None:
    ages = diabetes.load().train.values[:, 0]
    assert 18 < ages.min() < ages.max() < 80


def test_both_parts_hold_as_many_malignant_tumours() -> None:
    data = breast_cancer.load()
    shares = [part.labels.mean() for part in (data.train, data.test)]
    assert shares == pytest.approx([212 / 569] * 2, abs=0.005)  # one tumour of 142 is 0.007


def test_other_rows_than_the_known_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"diabetes of the installed scikit-learn .* not e9c1f7559552…; install a release"
    ):
        load_shipped(diabetes.TABLE, lambda: (np.zeros((442, 10)), np.zeros(442)))


def test_a_missing_scikit_learn_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn, which carries diabetes, .* 'edgepack\[train\]'"):
        diabetes.load()


SMALL = replace(breast_cancer.TABLE, columns=("a", "b"), target="ill")


def csv(rows: int = 100, header: str = "a,b,ill", last: str = "1,2,1") -> str:
    return "\n".join([header, *(f"{row},{row / 4},{row % 2}" for row in range(rows - 1)), last]) + "\n"


def test_columns_of_a_file_are_found_by_name_and_others_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("\ufeff" + "\n".join(["ill, b ,name,a", *(f"{row % 2},{row},x,{-row}" for row in range(120))]))
    data = load_table_file(SMALL, path)
    values = np.concatenate([data.train.values, data.test.values])
    labels = np.concatenate([data.train.labels, data.test.labels])
    np.testing.assert_array_equal(values[:, 0], -values[:, 1])
    np.testing.assert_array_equal(labels, values[:, 1].astype(int) % 2)
    assert (len(data.train), len(data.test), data.name) == (90, 30, "mine.csv")
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


BAD_FILES = {
    "empty": ("", r"has no column 'a', 'b', 'ill' in its first line \(it has: none\)"),
    "no header": (csv(header="1,2,3"), r"has no column 'a', 'b', 'ill' .*\(it has: 1, 2, 3\)"),
    "missing column": (csv(header="a,c,ill"), "has no column 'b'"),
    "text": (csv(last="1,high,1"), "record 101, column 'b' holds 'high'; a finite number belongs there"),
    "nan": (csv(last="nan,2,1"), "column 'a' holds 'nan'"),
    "too large": (csv(last="1e39,2,1"), "column 'a' holds '1e39'"),
    "short record": (csv(last="1,2"), "column 'ill' holds ''"),
    "other class": (csv(last="1,2,2"), "has 2 in column 'ill'; whole numbers from 0 to 1 are taken"),
    "half a class": (csv(last="1,2,0.5"), "has 0.5 in column 'ill'"),
    "open quote": (csv(last='1,2,"1'), "cannot be read as CSV in UTF-8"),
    "few rows": (csv(rows=99), "has 99 rows; at least 100 are needed"),
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_with_its_fault(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load_table_file(SMALL, path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_text_a_folder_and_none_at_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as CSV in UTF-8"):
        load_table_file(SMALL, tmp_path / "mine.csv")
    with pytest.raises(DataError, match="is a folder, not a CSV file"):
        load_table_file(SMALL, tmp_path)
    with pytest.raises(MissingFileError, match=r"no data file at .*none\.csv"):
        load_table_file(SMALL, tmp_path / "none.csv")
