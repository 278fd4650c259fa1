"""The metric follows from the labels."""

import numpy as np
import pytest

from edgepack.convert import metrics
from edgepack.runtime.errors import DataError, UnknownNameError

_SCORES = np.float32([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])


@pytest.mark.parametrize(
    ("labels", "outputs", "metric", "value"),
    [
        (np.array([0, 1, 0]), _SCORES, "accuracy", 2 / 3),
        (np.array([[0], [1], [2]]), _SCORES, "accuracy", 1.0),
        (np.array([0, 1, 1]), np.float32([[0.1], [0.9], [0.2]]), "binary_accuracy", 2 / 3),
        (np.float32([1, 2, 3]), np.float32([[1], [2], [3]]), "r2", 1.0),
        (np.float32([1, 2, 3]), np.float32([[2], [2], [2]]), "r2", 0.0),
    ],
    ids=["classes", "classes as a column", "yes or no", "values", "the mean"],
)
def test_the_metric_fits_the_labels(labels: np.ndarray, outputs: np.ndarray, metric: str, value: float) -> None:
    assert metrics.pick({"y": labels}, {"y": outputs}) == ("y", metric)
    assert metrics.score(metric, outputs, labels) == pytest.approx(value)


def test_without_labels_there_is_none() -> None:
    assert metrics.pick({}, {"y": _SCORES}) is None


def test_agreement_leaves_labels_aside() -> None:
    assert metrics.pick({"y": np.array([0, 1, 2])}, {"y": _SCORES}, "agreement") is None


def test_numbers_may_be_judged_as_numbers() -> None:
    labels, outputs = {"y": np.array([0, 1, 1])}, {"y": np.float32([[0.1], [0.9], [0.2]])}
    assert metrics.pick(labels, outputs) == ("y", "binary_accuracy")
    assert metrics.pick(labels, outputs, "r2") == ("y", "r2")


def test_a_metric_that_does_not_fit_says_which_does() -> None:
    with pytest.raises(DataError, match=r"metric r2 does not fit output 'y' of shape .*; accuracy does"):
        metrics.pick({"y": np.array([0, 1, 2])}, {"y": _SCORES}, "r2")


def test_a_metric_without_its_labels_says_where_they_go() -> None:
    with pytest.raises(DataError, match="add them under the name of an output"):
        metrics.pick({}, {"y": _SCORES}, "accuracy")


def test_a_metric_that_there_is_none_of_lists_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="accuracy, binary_accuracy, r2, agreement"):
        metrics.pick({}, {"y": _SCORES}, "f1")


def test_nan_counts_as_wrong() -> None:
    assert metrics.score("accuracy", np.float32([[np.nan, 0.1]]), np.array([0])) == 0.0


def test_a_class_the_model_does_not_have_is_named() -> None:
    with pytest.raises(DataError, match=r"go from 0 to 7; the model has 3 classes \(0 to 2\)"):
        metrics.pick({"y": np.array([0, 1, 7])}, {"y": _SCORES})


def test_labels_of_another_shape_say_what_is_taken() -> None:
    with pytest.raises(DataError, match=r"give class numbers \(samples,\)"):
        metrics.pick({"y": np.zeros((3, 2), np.float32)}, {"y": _SCORES})


def test_one_hot_labels_say_what_to_do() -> None:
    with pytest.raises(DataError, match=r"one-hot rows; give class numbers: labels.argmax\(axis=-1\)"):
        metrics.pick({"y": np.eye(3, dtype=int)}, {"y": _SCORES})


def test_class_numbers_as_floats_say_what_to_do() -> None:
    with pytest.raises(DataError, match=r"class numbers are integers: labels.astype\(int\)"):
        metrics.pick({"y": np.float32([0, 1, 2])}, {"y": _SCORES})
