"""What the candidates are fed."""

from pathlib import Path

import numpy as np
import pytest

from edgepack.benchmarks.samples import GOLDEN, RANDOM, sample_inputs
from edgepack.runtime.errors import InputError
from edgepack.runtime.tensor import TensorSpec


def test_golden_rows_are_repeated_up_to_the_batch(pack: Path) -> None:
    inputs, source = sample_inputs(pack, (TensorSpec("x", (None, 4), "float32"),), batch=5)
    assert source == GOLDEN
    assert inputs["x"][:, 0].tolist() == [0, 4, 0, 4, 0]


def test_golden_rows_are_cut_to_the_batch(pack: Path) -> None:
    inputs, _ = sample_inputs(pack, (TensorSpec("x", (None, 4), "float32"),), batch=1)
    assert inputs["x"].tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8", "int32", "int64", "bool"])
def test_a_bare_file_gets_the_same_random_values_each_time(bare_file: Path, dtype: str) -> None:
    spec = TensorSpec("x", (None, None, 2), dtype)
    inputs, source = sample_inputs(bare_file, (spec,), batch=3)
    again, _ = sample_inputs(bare_file, (spec,), batch=3)
    assert source == RANDOM
    assert spec.check(inputs["x"]).shape == (3, 32, 2)
    assert np.array_equal(inputs["x"], again["x"])


def test_places_in_a_table_stay_within_the_smallest_one(bare_file: Path) -> None:
    inputs, _ = sample_inputs(bare_file, (TensorSpec("x", (8, 8), "int64"),), batch=1)
    assert set(np.unique(inputs["x"])) == {0, 1}


def test_text_cannot_be_made_up(bare_file: Path) -> None:
    with pytest.raises(InputError, match="'x' takes text"):
        sample_inputs(bare_file, (TensorSpec("x", (None,), "string"),), batch=1)
