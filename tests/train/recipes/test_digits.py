"""Other nets on the digits: one for small devices, and one that rebuilds them and says when a picture is none."""

from pathlib import Path

import numpy as np
import pytest

import edgepack
from edgepack.train import find
from edgepack.train.corrupt import KINDS
from edgepack.train.data import Data
from tests.train.recipes.conftest import Made, Make, Seeds

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

EXAMPLES = Path(__file__).parents[3] / "examples" / "digits"
VARIANTS = ("tflite-float32", "tflite-int8", "onnx-float32", "onnx-int8")


@pytest.fixture
def mobile(quick: Make, few_digits: Data) -> Made:
    # In float32 alone: so many layers take their time to be quantized, and so few epochs give nothing worth it.
    return quick("digits-mobile", 2, load=lambda path: few_digits, precisions=("float32",))


@pytest.fixture
def autoencoder(quick: Make, few_digits: Data) -> Made:
    return quick("digits-autoencoder", 4, load=lambda path: few_digits)


def test_the_mobile_net_is_small_and_has_what_such_nets_have(mobile: Made) -> None:
    assert mobile.result.card.metrics["parameters"] < 50_000
    kinds = [type(layer).__name__ for layer in mobile.result.model.layers]
    assert kinds.count("DepthwiseConv2D") == 4
    assert {"Multiply", "Add", "BatchNormalization"} <= set(kinds)
    swishes = [layer for layer in mobile.result.model.layers if layer.name.endswith("_swish")]
    assert {layer.activation.__name__ for layer in swishes} == {"hard_silu"}


@pytest.mark.parametrize("variant", ["tflite-float32", "onnx-float32"])
def test_the_mobile_net_reads_a_picture_as_keras_does(mobile: Made, variant: str) -> None:
    assert variant in [one.variant for one in mobile.report.passed]
    session = edgepack.load(mobile.pack, variant=variant)
    image = session.prepare([EXAMPLES / "three.png"])["image"]
    wanted = mobile.result.model.predict(image, verbose=0)[0]
    best = session.predict(EXAMPLES / "three.png")[0]
    assert best.label == str(wanted.argmax())
    assert best.score == pytest.approx(wanted.max(), abs=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_autoencoder_gives_a_picture_and_how_far_it_is_off(
    autoencoder: Made, few_digits: Data, variant: str
) -> None:
    image = few_digits.test.values[5]
    picture, score = autoencoder.result.model.predict(image[np.newaxis, ..., np.newaxis] / np.float32(255), verbose=0)
    answer = edgepack.load(autoencoder.pack, variant=variant).predict(image)
    assert answer["picture"].dtype == np.uint8
    exact = "float32" in variant
    # Half a step of 255 and what float32 adds; in 8 bits some pixels of so short a training are a quarter off.
    np.testing.assert_allclose(answer["picture"] / 255, picture[0], atol=0.0021 if exact else 0.25)
    assert answer["score"].number == pytest.approx(score[0, 0], abs=6e-5 if exact else 0.02)


def test_the_score_is_the_mean_squared_error_of_each_image(autoencoder: Made, few_digits: Data) -> None:
    images = few_digits.test.values[..., np.newaxis] / np.float32(255)
    picture, score = autoencoder.result.model.predict(images, verbose=0)
    np.testing.assert_allclose(score[:, 0], np.square(images - picture).mean(axis=(1, 2, 3)), rtol=1e-4)
    assert autoencoder.result.card.metrics["test_score_clean"] == pytest.approx(score.mean(), abs=1e-6)


def test_the_card_says_how_well_each_way_of_spoiling_is_seen(autoencoder: Made, few_digits: Data) -> None:
    images = few_digits.test.values[..., np.newaxis] / np.float32(255)
    clean = autoencoder.result.model.predict(images, verbose=0)[1]
    rng, metrics, areas = np.random.default_rng(784), autoencoder.result.card.metrics, []
    for kind, spoil in KINDS.items():
        spoiled = autoencoder.result.model.predict(spoil(images, rng), verbose=0)[1]
        areas.append(float((spoiled > clean.T).mean()))  # how often a spoiled image has the higher score of two
        assert metrics[f"test_roc_auc_{kind}"] == pytest.approx(areas[-1], abs=1e-3)
    assert metrics["test_roc_auc"] == pytest.approx(np.mean(areas), abs=1e-3)  # all have as many images


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_three_seeds_of_the_mobile_net_read_97_percent_and_the_examples(three_seeds: Seeds) -> None:
    made = three_seeds("digits-mobile")
    accuracies = [one.result.card.metrics["test_accuracy"] for one in made]
    assert np.mean(accuracies) >= 0.97, accuracies
    for one in made:
        for variant in VARIANTS:
            session = edgepack.load(one.pack, variant=variant)
            names = ("three", "seven", "nine")
            assert [session.predict(EXAMPLES / f"{name}.png")[0].label for name in names] == ["3", "7", "9"]


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_three_seeds_of_the_autoencoder_tell_spoiled_digits_from_clean_ones_in_8_bits_too(three_seeds: Seeds) -> None:
    from sklearn.metrics import roc_auc_score

    made = three_seeds("digits-autoencoder")
    areas = [one.result.card.metrics["test_roc_auc"] for one in made]
    assert np.mean(areas) >= 0.95, areas
    clean = find("digits-autoencoder").load(None).test.values[..., np.newaxis] / np.float32(255)
    rng = np.random.default_rng(784)
    images = np.concatenate([clean, *(spoil(clean, rng) for spoil in KINDS.values())])
    is_spoiled = np.arange(len(images)) >= len(clean)
    for one, area in zip(made, areas, strict=True):
        for variant in VARIANTS:
            session = edgepack.load(one.pack, variant=variant)
            scores = np.concatenate([session.run({"image": part})["score"] for part in np.array_split(images, 50)])
            assert roc_auc_score(is_spoiled, scores[:, 0]) == pytest.approx(area, abs=0.005)
