"""The commands `train` and `recipes`, as cyclopts calls them."""

import json
from pathlib import Path

import pytest
from cyclopts import App

from edgepack.runtime.errors import InputError, OutputError, UnknownNameError
from edgepack.train import cli

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def run(*words: object) -> int:
    app = App(name="edgepack", result_action="return_value")
    app.command(cli.train)
    app.command(cli.recipes)
    code: int = app([str(word) for word in words], exit_on_error=False)
    return code


def test_train_prints_one_json_object_and_the_next_command(
    tmp_path: Path, mnist_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "my digits.keras"
    assert run("train", "digits", "-o", model, "--data", mnist_file, "--epochs", 1, "--seed", 3, "--json") == 0
    printed = capfd.readouterr()
    result = json.loads(printed.out)
    assert result["files"]["model"] == str(model)
    assert all(Path(path).exists() for path in result["files"].values())
    assert (result["recipe"]["seed"], result["recipe"]["epochs"], result["stopped_early"]) == (3, 1, False)
    assert f"edgepack convert '{model}' -o '{model.with_suffix('.edgepack')}' --calibration" in printed.err


def test_train_prints_a_table_without_the_chatter_of_tensorflow(
    tmp_path: Path, mnist_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "digits", "--output", tmp_path / "digits.keras", "--data", mnist_file, "--epochs", 1) == 0
    printed = capfd.readouterr()
    assert "test accuracy" in printed.out
    assert "1 of 1, weights of epoch 1" in printed.out
    assert "digits.training.svg" in printed.out
    assert printed.err.split("\n")[-2].startswith("Next: edgepack convert")
    assert "oneDNN" not in printed.err


@pytest.mark.parametrize("words", [("--epochs", "0"), ("--epochs", "-1")], ids=" ".join)
def test_epochs_that_cannot_be_are_an_input_error(tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="epochs cannot be trained"):
        run("train", "digits", "-o", tmp_path / "digits.keras", *words)


def test_mistakes_found_at_once_print_no_progress_bar(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "digits.keras").write_text("mine")
    with pytest.raises(OutputError):
        run("train", "digits", "-o", tmp_path / "digits.keras")
    assert capfd.readouterr() == ("", "")


def test_an_unknown_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="list them with: edgepack recipes"):
        run("train", "numbers", "-o", tmp_path / "digits.keras")


def test_recipes_lists_names_and_summaries(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("recipes") == 0
    assert "digits" in capfd.readouterr().out
    assert run("recipes", "--json") == 0
    recipes = json.loads(capfd.readouterr().out)["recipes"]
    assert recipes[0]["name"] == "digits"
    assert len({recipe["summary"] for recipe in recipes}) == len(recipes)


def test_help_explains_every_option(capfd: pytest.CaptureFixture[str]) -> None:
    run("train", "--help")
    printed = capfd.readouterr().out
    for words in ("--output", "-o", "--seed", "--epochs", "--data", "--force", "--json", "mnist.npz"):
        assert words in printed
    assert "--no-force" not in printed
