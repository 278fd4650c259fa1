"""Any number of rows from a file of a fixed batch."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from edgepack.runtime import batches
from edgepack.runtime.tensor import Array, TensorSpec
from tests.fakes import FakeEngine, spec


@pytest.mark.parametrize(
    ("inputs", "outputs", "batch"),
    [
        ([spec("x", 4, 2)], [spec("y", 4, 3)], 4),
        ([spec("x", 1, 2)], [spec("y", 1)], 1),
        ([spec("x", None, 2)], [spec("y", None, 3)], None),
        ([spec("x", 4, 2)], [spec("y", None, 3)], None),
        ([spec("x", 4, 2), spec("z", 3)], [spec("y", 4)], None),
        ([spec("x", 3)], [spec("y")], None),
        ([spec("x", 0, 3)], [spec("y", 0)], None),
        ([], [spec("y", 4)], 4),
    ],
    ids=["fixed", "one", "free", "free-output", "different", "a-number-out", "empty", "no-inputs"],
)
def test_a_batch_is_a_leading_axis_that_all_tensors_share(
    inputs: list[TensorSpec], outputs: list[TensorSpec], batch: int | None
) -> None:
    assert batches.file_batch(inputs, outputs) == batch


def doubled(feeds: Mapping[str, Array]) -> Sequence[Array]:
    return [feeds["x"] * 2, feeds["x"].sum(axis=1)]


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 9])
def test_pieces_give_what_the_rows_give(rows: int) -> None:
    x = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    twice, sums = batches.run_in_pieces(doubled, {"x": x}, rows, 4)
    np.testing.assert_array_equal(twice, x * 2)
    np.testing.assert_array_equal(sums, x.sum(axis=1))


def test_the_file_sees_only_its_own_batch_and_real_rows() -> None:
    engine = FakeEngine([spec("x", 4, 2)], [spec("y", 4, 2), spec("s", 4)], doubled)
    x = np.arange(1, 11, dtype=np.float32).reshape(5, 2)
    batches.run_in_pieces(engine.run, {"x": x}, 5, 4)
    assert [fed["x"].shape for fed in engine.fed] == [(4, 2), (4, 2)]
    assert (engine.fed[1]["x"] == x[4]).all()


def test_no_rows_have_the_shape_of_the_outputs() -> None:
    found = batches.empty([spec("y", 4, 3), spec("n", 4, dtype="int64")])
    assert found is not None
    assert [(array.shape, array.dtype.name) for array in found] == [((0, 3), "float32"), ((0,), "int64")]


def test_no_rows_of_an_unknown_shape_are_nothing() -> None:
    assert batches.empty([spec("y", 4, None)]) is None


def test_a_free_batch_keeps_all_else() -> None:
    assert batches.with_free_batch([TensorSpec("x", (4, 2), "int8", "m")]) == (TensorSpec("x", (None, 2), "int8", "m"),)
