"""Layers are ranked by what quantizing them does to the output."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest

from edgepack.convert.calibrate import Stream
from edgepack.convert.options import Options
from edgepack.convert.precisions import find
from edgepack.convert.samples import Samples
from edgepack.convert.schemes import Scheme
from edgepack.convert.sensitivity import Ranking, rank, some_rows
from tests.convert.spread_models import TARGETS, Hard, opened, spread_block

_INT8 = Scheme(find("int8"))


@pytest.fixture(scope="module")
def nested(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hard]:
    with opened(spread_block(keras), tmp_path_factory.mktemp("nested")) as found:
        yield found


def _ranked(hard: Hard, target: str, **options: Any) -> Ranking:
    rows = {"image": hard.calibration["image"][:16]}
    return rank(hard.writers[target], _INT8, rows, **options)


@pytest.mark.parametrize("target", TARGETS)
def test_the_layer_whose_channels_are_far_apart_is_the_worst(hard: Hard, target: str) -> None:
    worst = _ranked(hard, target).parts[0]
    assert "wide" in worst.name or "narrow" in worst.name
    assert worst.snr_db < 25


@pytest.mark.parametrize("target", TARGETS)
def test_every_layer_is_measured_alone_once(hard: Hard, target: str) -> None:
    ranking = _ranked(hard, target)
    names = [part.name for part in hard.writers[target].parts]
    assert sorted(one.name for one in ranking.parts) == sorted(names)
    assert {one.among for one in ranking.parts} == {1}
    assert ranking.files == len(names)
    assert ranking.complete


@pytest.mark.parametrize("target", TARGETS)
def test_layers_inside_one_that_computes_itself_are_measured_alone(nested: Hard, target: str) -> None:
    ranking = _ranked(nested, target)
    assert ranking.parts[0].name == "block/narrow"
    assert ranking.parts[0].snr_db < 35
    assert "block/." in {one.name for one in ranking.parts}


def test_a_layer_that_is_kept_is_not_ranked_nor_what_lies_in_it(nested: Hard) -> None:
    scheme = Scheme(find("int8"), Options(float_layers=("block",)))
    ranking = rank(nested.writers["tflite"], scheme, {"image": nested.calibration["image"][:16]})
    assert [one.name for one in ranking.parts if one.name.startswith("block")] == []


def test_ranking_twice_gives_the_same(hard: Hard) -> None:
    assert _ranked(hard, "tflite") == _ranked(hard, "tflite")


def test_with_few_files_the_worst_group_is_halved(hard: Hard) -> None:
    ranking = _ranked(hard, "tflite", most_files=6)
    alone = _ranked(hard, "tflite").parts[0].name
    assert ranking.files == 6
    assert ranking.complete
    assert alone in [one.name for one in ranking.parts[: ranking.parts[0].among]]


def test_time_that_is_over_leaves_layers_unmeasured_and_says_so(hard: Hard) -> None:
    ranking = _ranked(hard, "tflite", most_seconds=2.5, clock=count().__next__)
    assert ranking.files == 2
    assert not ranking.complete
    assert len(ranking.parts) == len(hard.writers["tflite"].parts)


def test_what_is_measured_is_told(hard: Hard) -> None:
    said: list[str] = []
    _ranked(hard, "tflite", tell=said.append)
    assert len(said) == len(hard.writers["tflite"].parts)
    assert all(text.startswith("quantizing ") for text in said)


def test_a_few_rows_come_from_all_over_the_samples() -> None:
    samples = Samples({"x": np.arange(1_000, dtype=np.float32)[:, np.newaxis]}, {}, "memory")
    rows = some_rows(Stream.of(samples), 20)
    assert rows["x"].shape == (20, 1)
    assert rows["x"].max() > 700
    assert len(np.unique(rows["x"])) == 20
    np.testing.assert_array_equal(rows["x"], some_rows(Stream.of(samples), 20)["x"])


def test_fewer_samples_than_asked_are_all_taken() -> None:
    samples = Samples({"x": np.zeros((3, 2), np.float32)}, {}, "memory")
    assert some_rows(Stream.of(samples), 20)["x"].shape == (3, 2)
