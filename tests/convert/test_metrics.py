"""The metric follows from the labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert import convert_model, metrics
from edgepack.convert.report import COLUMNS
from edgepack.runtime.errors import DataError, UnknownNameError
from edgepack.runtime.manifest import Metric
from edgepack.runtime.tensor import Array

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
    assert metrics.pick({"y": labels}, {"y": outputs}) == {"y": metric}
    assert metrics.score(metric, outputs, labels) == pytest.approx(value)


def test_without_labels_there_is_none() -> None:
    assert metrics.pick({}, {"y": _SCORES}) == {}


def test_agreement_leaves_labels_aside() -> None:
    assert metrics.pick({"y": np.array([0, 1, 2])}, {"y": _SCORES}, "agreement") == {}


def test_numbers_may_be_judged_as_numbers() -> None:
    labels, outputs = {"y": np.array([0, 1, 1])}, {"y": np.float32([[0.1], [0.9], [0.2]])}
    assert metrics.pick(labels, outputs) == {"y": "binary_accuracy"}
    assert metrics.pick(labels, outputs, "r2") == {"y": "r2"}


def test_a_metric_asked_for_judges_the_outputs_it_fits() -> None:
    labels = {"class": np.array([0, 1, 2]), "value": np.float32([1, 2, 3])}
    outputs = {"class": _SCORES, "value": np.float32([[1], [2], [3]])}
    assert metrics.pick(labels, outputs) == {"class": "accuracy", "value": "r2"}
    assert metrics.pick(labels, outputs, "r2") == {"value": "r2"}


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


def test_of_several_outputs_the_one_that_loses_most_is_held() -> None:
    labels = {"sure": np.array([0, 1, 2]), "value": np.float32([1, 2, 3]), "unsure": np.array([0, 1, 2])}
    right = {"sure": _SCORES, "value": np.float32([[1], [2], [3]]), "unsure": _SCORES}
    picked = metrics.pick(labels, right)
    wrong = {**right, "unsure": _SCORES[::-1]}
    assert metrics.judge(picked, labels, right, wrong) == Metric("accuracy", 1 / 3, 1.0, 3, "unsure")
    lost = metrics.judge(picked, labels, right, {**wrong, "value": np.full((3, 1), np.nan, np.float32)})
    assert lost is not None
    assert lost.title == "r2 of value"
    assert np.isnan(lost.lost)


def test_of_one_output_nobody_has_to_know_the_name() -> None:
    labels = {"y": np.array([0, 1, 2])}
    found = metrics.judge({"y": "accuracy"}, labels, {"y": _SCORES}, {"y": _SCORES})
    assert found is not None
    assert (found.output, found.title, metrics.quality(found)) == ("", "accuracy", 1.0)


def test_files_judged_on_different_outputs_compare_by_what_they_gain() -> None:
    hard_head, easy_head = Metric("accuracy", 0.7, 0.7, 100, "hard"), Metric("accuracy", 0.9, 0.95, 100, "easy")
    assert metrics.quality(hard_head) > metrics.quality(easy_head)
    assert metrics.basis(hard_head) == metrics.basis(easy_head)


def test_a_second_output_that_loses_is_left_out_by_its_name(keras: Any, tmp_path: Path) -> None:
    model, samples = _two_heads(keras)
    report = convert_model(
        model, tmp_path / "two.edgepack", targets="onnx", precisions=("float32", "int8"),
        calibration={"a": samples["a"]}, evaluation=samples,
    )  # fmt: skip
    float32, int8 = report.results
    assert float32.reasons == ()
    assert int8.metric is not None
    assert int8.metric.output == "two"
    assert any(reason.startswith("accuracy of two ") for reason in int8.reasons)
    assert "output two" in report.rows()[1][COLUMNS.index("metric")]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"max_drop": 0.0}, "max_drop 0.0 asks for the agreement .*; give --evaluation with the true values .*'value'"),
        ({"metric": "agreement"}, "metric agreement asks for .* no output has classes to agree on; leave it out"),
    ],
    ids=["a budget", "a metric"],
)
def test_a_loss_that_nothing_can_tell_is_refused(keras: Any, tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    model, rows = _one_value(keras)
    with pytest.raises(DataError, match=said):
        convert_model(model, tmp_path / "value.edgepack", evaluation={"a": rows}, **asked)


def test_a_loss_of_values_is_judged_where_they_are_given(keras: Any, tmp_path: Path) -> None:
    model, rows = _one_value(keras)
    evaluation = {"a": rows, "value": model.predict(rows, verbose=0)}
    report = convert_model(model, tmp_path / "value.onnx", evaluation=evaluation, max_drop=0.0001)
    assert [one.metric.name for one in report.passed if one.metric] == ["r2"]


def _one_value(keras: Any) -> tuple[Any, Array]:
    """A model that gives one number of any size, and rows for it."""
    keras.utils.set_random_seed(0)
    given = keras.Input((8,), name="a")
    model = keras.Model(given, keras.layers.Dense(1, name="value")(given))
    return model, np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32)


def _two_heads(keras: Any) -> tuple[Any, dict[str, Array]]:
    """A model whose second output goes through channels of sizes too far apart for one scale, and its own labels."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    layers = keras.layers
    given = keras.Input((8,), name="a")
    hidden = layers.Dense(64, activation="relu")(given)
    spread, last = layers.Dense(64), layers.Dense(5, activation="softmax", name="two")
    outputs = {"one": layers.Dense(3, activation="softmax", name="one")(hidden), "two": last(spread(hidden))}
    model = keras.Model(given, outputs)
    factors = np.exp(rng.uniform(-5, 5, 64)).astype(np.float32)
    kernel, bias = spread.get_weights()
    spread.set_weights([kernel * factors, bias * factors])
    kernel, bias = last.get_weights()
    last.set_weights([kernel / factors[:, None], bias])
    rows = rng.normal(size=(200, 8)).astype(np.float32)
    answers = model.predict(rows, verbose=0)
    return model, {"a": rows, **{name: array.argmax(axis=-1) for name, array in answers.items()}}


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
