"""The recipes of reviews: from raw text to an answer, in Keras and in a pack, whatever the padding holds."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.convert import convert_model
from edgepack.quiet import import_keras
from edgepack.train import TrainResult, find, train
from edgepack.train.data import Data, stratified
from edgepack.train.datasets.reviews import load_reviews

# Keras 3.15 hands its variables to numpy 2 the old way when it saves and loads a model.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

_NAMES = ("reviews-lstm", "reviews-attention", "reviews-embedding")
_BARS = {"reviews-lstm": 0.83, "reviews-attention": 0.83, "reviews-embedding": 0.82}
_RAW = (
    "质量很好，非常满意！",
    "太差了，再也不会买",
    "",  # nothing but padding
    "好",  # no pair
    "Lenovo 的 NOTEBOOK，不错。",
    "\U0001f600?\u3000\t",  # nothing the vocabulary knows
    "房间很小，服务也一般" * 60,  # cut
)


@dataclass(frozen=True, slots=True)
class Small:
    """A recipe after one epoch on few reviews, and its pack."""

    result: TrainResult
    pack: Path


@pytest.fixture(scope="module", params=_NAMES)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Small:
    data, rng = load_reviews(), np.random.default_rng(0)
    known, tested = (part.take(stratified(part.labels, 200, rng)[0]) for part in (data.train, data.test))
    few = Data("few reviews", "0" * 64, known, tested)
    folder = tmp_path_factory.mktemp("small")
    result = train(replace(find(request.param), load=lambda path: few), folder / "small.keras", epochs=1)
    report = convert_model(
        result.files.model, folder / "small.edgepack", precisions="float32", calibration=result.files.calibration,
        evaluation=result.files.evaluation,
    )  # fmt: skip
    assert {one.variant for one in report.passed} == {"tflite-float32", "onnx-float32"}
    return Small(result, folder / "small.edgepack")


def _keras(model: Any, texts: tuple[str, ...]) -> np.ndarray:
    return np.asarray(model.predict(np.array(texts, object), verbose=0))[:, 0]


@pytest.mark.parametrize("variant", ["tflite-float32", "onnx-float32"])
def test_a_pack_says_of_raw_text_what_keras_says(small: Small, variant: str) -> None:
    model = import_keras("loads models", "train").models.load_model(small.result.files.model)
    with edgepack.load(small.pack, variant=variant) as session:
        answers = [dict(answer) for answer in session.predict(list(_RAW))]
    assert all(answer.keys() == {"negative", "positive"} for answer in answers)
    found = [answer["positive"] for answer in answers]
    np.testing.assert_allclose(found, _keras(model, _RAW), atol=1e-5)  # float32; an empty text is no NaN


def test_the_command_answers_a_sentence(small: Small, capfd: pytest.CaptureFixture[str]) -> None:
    from edgepack.__main__ import main

    assert main(["run", str(small.pack), "--text", "质量很好"]) == 0
    out = capfd.readouterr().out
    assert "positive" in out
    assert "negative" in out


def test_what_stands_where_padding_is_changes_nothing(small: Small) -> None:
    model = small.result.model
    before = _keras(model, _RAW)
    tables = [layer for layer in model.layers if type(layer).__name__ == "Embedding" and layer.name != "places"]
    kept = [layer.get_weights()[0] for layer in tables]
    for layer, table in zip(tables, kept, strict=True):
        layer.set_weights([np.concatenate([np.full_like(table[:1], 9.0), table[1:]])])
    after = _keras(model, _RAW)
    for layer, table in zip(tables, kept, strict=True):
        layer.set_weights([table])
    assert tables
    np.testing.assert_allclose(after, before, atol=1e-6)


@pytest.mark.parametrize("name", _NAMES)
def test_how_much_padding_there_is_changes_nothing(name: str) -> None:
    known = load_reviews().train.take(np.arange(0, 14_000, 140))
    build: Any = find(name).build
    short, long = build(known, length=64), build(known, length=128)
    for layer in short.layers:
        pairs = zip(layer.get_weights(), long.get_layer(layer.name).get_weights(), strict=True)
        if layer.weights:
            layer.set_weights([taught[: len(own)] for own, taught in pairs])  # of places, those there are
    texts = tuple(text for text in known.values if len(text) <= 20)
    assert len(texts) > 5
    np.testing.assert_allclose(_keras(short, texts), _keras(long, texts), atol=1e-6)  # float32, summed in other orders


@pytest.mark.parametrize("name", _NAMES)
def test_the_vocabulary_is_of_what_the_weights_are_fitted_to_alone(name: str) -> None:
    recipe, data = find(name), load_reviews()
    fitted = data.train.take(np.arange(60))
    words = {
        word
        for layer in recipe.build(fitted).layers
        if type(layer).__name__ == "TextVectorization"
        for word in layer.get_vocabulary(include_special_tokens=False)
    }
    text = "".join(fitted.values).lower()
    assert words
    assert {character for word in words for character in word.replace(" ", "")} <= set(text)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", _NAMES)
def test_three_seeds_pass_the_bar_and_eight_bits_lose_half_a_point_at_most(name: str, tmp_path: Path) -> None:
    recipe = find(name)
    results = [train(recipe, tmp_path / f"{seed}.keras", seed=seed) for seed in range(3)]
    accuracies = [result.card.metrics["test_accuracy"] for result in results]
    assert np.mean(accuracies) >= _BARS[name], accuracies
    assert all(result.card.metrics["train_seconds"] < 600 for result in results)  # on 2 cores
    files = results[0].files
    report = convert_model(
        files.model, tmp_path / "0.edgepack", precisions=",".join(recipe.precisions), calibration=files.calibration,
        evaluation=files.evaluation, max_drop=0.005,
    )  # fmt: skip
    wanted = {f"{target}-{precision}" for target in ("tflite", "onnx") for precision in recipe.precisions}
    assert {one.variant for one in report.passed} == wanted
    with edgepack.load(tmp_path / "0.edgepack") as session:
        answers = session.predict(["质量很好，非常满意！", "太差了，再也不会买"])
    assert [answer[0].label for answer in answers] == ["positive", "negative"]
