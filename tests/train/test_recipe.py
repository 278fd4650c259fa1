"""Training a recipe: what is written, that it repeats, and that nothing is lost."""

import hashlib
import signal
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from edgepack.quiet import import_keras
from edgepack.runtime.errors import InputError, MissingExtraError, OutputError, UnknownNameError
from edgepack.runtime.manifest import decode_card, encode
from edgepack.runtime.steps import prepare
from edgepack.train import Recipe, TrainResult, find, known, train
from edgepack.train.data import Data
from edgepack.train.outputs import name_files, write_files

# Keras 3.15 hands its variables to numpy 2 the old way when it saves and loads a model.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

EXAMPLES = Path(__file__).parents[2] / "examples" / "digits"
PIECES = {"conv1", "pool1", "conv2", "pool2", "conv3", "flatten", "dense", "digit", "image"}


def interrupting(recipe: Recipe, epoch: int) -> Recipe:
    """The recipe with a Ctrl-C at the beginning of that epoch."""
    calls = count(1)

    def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if next(calls) == epoch:
            signal.raise_signal(signal.SIGINT)
        return images

    return replace(recipe, plan=replace(recipe.plan, augment=augment))


def weights(model: object) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights())).hexdigest()  # type: ignore[attr-defined]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_everything_is_written_beside_the_model_and_nothing_else(trained: TrainResult) -> None:
    names = {
        "digits.keras",
        "digits.card.json",
        "digits.training.html",
        "digits.training.svg",
        "digits.calibration.npz",
        "digits.evaluation.npz",
    }
    assert contents(trained.files.model.parent).keys() == names


def test_the_saved_model_has_the_layers_of_the_recipe_and_the_weights_of_the_result(trained: TrainResult) -> None:
    loaded = import_keras("loads models", "train").models.load_model(trained.files.model)
    assert {layer.name for layer in loaded.layers} == PIECES
    assert weights(loaded) == weights(trained.model)
    assert [tensor.name for tensor in loaded.inputs] == ["image"]
    assert loaded.output_names == ["digit"]
    assert not loaded.compiled


def test_the_card_can_be_read_back(trained: TrainResult) -> None:
    data = trained.files.card.read_bytes()
    card = decode_card(data)
    assert card == trained.card
    assert encode(card) == data
    assert card.steps == find("digits").steps
    assert card.labels == {"digit": tuple("0123456789")}
    assert card.meanings.keys() == {"image", "digit"}


def test_the_card_says_what_was_trained_on_what(trained: TrainResult) -> None:
    recipe, metrics = trained.card.recipe, trained.card.metrics
    assert (recipe["name"], recipe["seed"], recipe["epochs"], recipe["stopped_early"]) == ("digits", 7, 2, False)
    sizes = {"train": 270, "validation": 30, "test": 100}
    assert recipe["data"] == {"name": "few digits", "sha256": "0" * 64, **sizes}
    assert recipe["versions"].keys() == {"python", "edgepack", "keras", "tensorflow", "numpy"}
    assert metrics["parameters"] == trained.model.count_params()
    assert metrics["train_seconds"] > 0


def test_the_accuracy_on_the_card_is_that_of_the_saved_model(trained: TrainResult) -> None:
    loaded = import_keras("loads models", "train").models.load_model(trained.files.model)
    with np.load(trained.files.evaluation) as file:
        images, labels = file["image"], file["digit"]
    agreeing = loaded.predict(images, verbose=0).argmax(axis=1) == labels
    assert trained.card.metrics["test_accuracy"] == pytest.approx(agreeing.mean(), abs=1e-6)  # it is rounded


def test_calibration_and_evaluation_hold_tensors_by_name(trained: TrainResult, few_digits: Data) -> None:
    with np.load(trained.files.calibration) as calibration, np.load(trained.files.evaluation) as evaluation:
        assert list(calibration) == ["image"]
        assert sorted(evaluation) == ["digit", "image"]
        for images, samples in ((calibration["image"], 300), (evaluation["image"], 100)):
            assert images.shape == (samples, 28, 28, 1)
            assert images.dtype == np.float32
            assert (images.min(), images.max()) == (0.0, 1.0)
        np.testing.assert_array_equal(evaluation["digit"], few_digits.test.labels)


def test_the_curve_is_a_picture_with_every_epoch(trained: TrainResult) -> None:
    text = trained.files.curve.read_text()
    assert "<svg" in text
    assert "digits, seed 7" in text
    assert len(trained.history) == 2


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(
    recipe: Recipe, trained: TrainResult, tmp_path: Path
) -> None:
    same = train(recipe, tmp_path / "same.keras", seed=7, epochs=2)
    other = train(recipe, tmp_path / "other.keras", seed=8, epochs=2)
    assert weights(same.model) == weights(trained.model)
    assert weights(other.model) != weights(trained.model)
    assert same.files.curve.read_bytes() == trained.files.curve.read_bytes()


def test_ctrl_c_stops_early_and_keeps_the_best_weights(recipe: Recipe, tmp_path: Path) -> None:
    result = train(interrupting(recipe, epoch=3), tmp_path / "digits.keras", epochs=5)
    card = decode_card(result.files.card.read_bytes())
    assert result.stopped_early
    assert (card.recipe["stopped_early"], card.recipe["epochs"], card.recipe["epochs_planned"]) == (True, 2, 5)
    best = min(result.history, key=lambda epoch: epoch.validation_loss)
    assert result.history[card.recipe["best_epoch"] - 1] == best
    assert all(path.exists() for path in result.files)


def test_ctrl_c_in_the_first_epoch_writes_nothing(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(interrupting(recipe, epoch=1), tmp_path / "digits.keras", epochs=5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".keras", ".card.json", ".training.svg", ".calibration.npz", ".evaluation.npz"])
def test_a_file_that_is_there_is_not_replaced_without_force(recipe: Recipe, tmp_path: Path, ending: str) -> None:
    (tmp_path / f"digits{ending}").write_text("mine")
    with pytest.raises(OutputError, match=rf"digits{ending} exists already; pass --force"):
        train(recipe, tmp_path / "digits.keras", epochs=1)
    assert contents(tmp_path) == {f"digits{ending}": b"mine"}


def test_with_force_files_are_replaced(recipe: Recipe, tmp_path: Path) -> None:
    for path in name_files(tmp_path / "digits.keras"):
        path.write_text("old")
    train(recipe, tmp_path / "digits.keras", epochs=1, force=True)
    assert b"old" not in contents(tmp_path).values()


def test_a_failed_write_leaves_every_old_file(tmp_path: Path) -> None:
    files = name_files(tmp_path / "digits.keras")
    files.model.write_text("old")

    def fail(path: Path) -> None:
        raise OSError("no space")

    with pytest.raises(OutputError, match="no space"):
        write_files({files.model: lambda path: path.write_text("new"), files.card: fail})
    assert contents(tmp_path) == {"digits.keras": b"old"}


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_is_never_replaced(recipe: Recipe, tmp_path: Path, force: bool) -> None:
    (tmp_path / "digits.keras").mkdir()
    with pytest.raises(OutputError, match="a folder has that name"):
        train(recipe, tmp_path / "digits.keras", force=force)


@pytest.mark.parametrize("name", ["digits", "digits.h5", "digits.keras.zip", ".keras"])
def test_another_kind_of_output_is_refused(recipe: Recipe, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is written as NAME\.keras"):
        train(recipe, tmp_path / name)


@pytest.mark.parametrize(("option", "value"), [("epochs", 0), ("epochs", -3), ("seed", -1), ("seed", 2**32)])
def test_numbers_that_cannot_be_are_refused(recipe: Recipe, tmp_path: Path, option: str, value: int) -> None:
    with pytest.raises(InputError, match=str(value)):
        train(recipe, tmp_path / "digits.keras", **{option: value})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_every_recipe_is_found_under_its_name_with_all_that_a_pack_needs() -> None:
    for name, summary in known().items():
        recipe = find(name)
        assert (recipe.name, recipe.summary) == (name, summary)
        assert recipe.meanings.keys() == {recipe.input, recipe.output}


def test_an_unknown_recipe_is_named_beside_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown recipe 'digit' \(known: digits, "):
        find("digit")


@pytest.mark.parametrize(("name", "label"), [("three", 3), ("seven", 7), ("nine", 9)])
def test_an_example_picture_is_a_test_digit_and_prepared_exactly_as_in_training(
    name: str, label: int, digits: Data
) -> None:
    steps = prepare(find("digits").steps.inputs["image"])
    prepared = steps(EXAMPLES / f"{name}.png")
    same = [index for index, image in enumerate(digits.test.values) if np.array_equal(steps(image), prepared)]
    assert digits.test.labels[same].tolist() == [label]
    assert prepared.dtype == np.float32


@pytest.mark.slow
def test_three_seeds_read_97_percent_of_the_test_digits_and_the_examples(tmp_path: Path) -> None:
    recipe = find("digits")
    pictures = np.stack(
        [prepare(recipe.steps.inputs["image"])(EXAMPLES / f"{name}.png") for name in ("three", "seven", "nine")]
    )
    accuracies = []
    for seed in range(3):
        result = train(recipe, tmp_path / f"{seed}.keras", seed=seed)
        accuracies.append(result.card.metrics["test_accuracy"])
        assert result.card.metrics["train_seconds"] < 120  # on 2 cores
        assert result.model.predict(pictures, verbose=0).argmax(axis=1).tolist() == [3, 7, 9]
    assert np.mean(accuracies) >= 0.97, accuracies


@pytest.mark.parametrize("module", ["keras", "matplotlib"])
def test_a_missing_package_is_named_before_any_training(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'edgepack\[train\]'"):
        train(recipe, tmp_path / "digits.keras")
    assert not list(tmp_path.iterdir())
