"""Recipes on part of their data, trained for seconds, and the packs that they make."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edgepack.convert import Report, convert_model
from edgepack.train import Recipe, TrainResult, find, train


@dataclass(frozen=True)
class Made:
    """A trained recipe and its pack."""

    recipe: Recipe
    result: TrainResult
    report: Report

    @property
    def pack(self) -> Path:
        return Path(self.report.output)


Make = Callable[..., Made]
Seeds = Callable[[str], list[Made]]


def make(folder: Path, recipe: Recipe, *, seed: int = 0, max_drop: float | None = None) -> Made:
    """Train a recipe as `edgepack train --pack` does."""
    result = train(recipe, folder / "model.keras", seed=seed)
    files = result.files
    report = convert_model(
        files.model, folder / "model.edgepack", precisions=recipe.precisions, calibration=files.calibration,
        evaluation=files.evaluation, max_drop=max_drop, lift_all=recipe.lift,
    )  # fmt: skip
    return Made(recipe, result, report)


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a recipe in few epochs, with other settings where they are given; each once."""
    made: dict[str, Made] = {}

    def once(name: str, epochs: int, **changed: object) -> Made:
        if name not in made:
            recipe = find(name)
            plan = replace(recipe.plan, epochs=epochs)
            made[name] = make(tmp_path_factory.mktemp(name), replace(recipe, plan=plan, **changed))  # type: ignore[arg-type]
        return made[name]

    return once


@pytest.fixture
def three_seeds(tmp_path: Path) -> Seeds:
    """Makes a recipe as it is with seeds 0, 1 and 2, where no file may lose more than half a point."""

    def all_of(name: str) -> list[Made]:
        made = []
        for seed in range(3):
            (tmp_path / str(seed)).mkdir()
            made.append(make(tmp_path / str(seed), find(name), seed=seed, max_drop=0.005))
            assert made[-1].result.card.metrics["train_seconds"] < 180  # on 2 cores
            assert not [one.reasons for one in made[-1].report.results if one.reasons]
        return made

    return all_of
