"""Requests that share a run: each gets its own rows, and only the bad ones fail."""

import numpy as np
import pytest

from edgepack.runtime.errors import EngineError
from edgepack.runtime.serve.together import Feeds, group_of, joined, run_together
from edgepack.runtime.tensor import Array


class Doubler:
    """Gives twice what comes; refuses what holds 13."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, feeds: Feeds) -> dict[str, Array]:
        self.rows.append(len(feeds["x"]))
        if (feeds["x"] == 13).any():
            raise EngineError("13 is too many")
        return {"y": feeds["x"] * 2, "row": np.arange(len(feeds["x"]))}


def feeds(*rows: float) -> Feeds:
    return {"x": np.array([[row, row] for row in rows], np.float32)}


def test_each_gets_its_own_rows_of_one_run() -> None:
    run = Doubler()
    found = run_together(run, [feeds(1), feeds(2, 3), feeds(4)], [1, 2, 1])
    assert run.rows == [4]
    assert [one["y"][:, 0].tolist() for one in found if isinstance(one, dict)] == [[2], [4, 6], [8]]


def test_answers_are_arrays_of_their_own() -> None:
    first, second = run_together(Doubler(), [feeds(1), feeds(2)], [1, 1])
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    first["y"][:] = -1
    assert second["y"].tolist() == [[4, 4]]
    assert first["y"].base is None


def test_only_the_bad_one_fails() -> None:
    run = Doubler()
    found = run_together(run, [feeds(1), feeds(13), feeds(2)], [1, 1, 1])
    assert run.rows == [3, 1, 1, 1]
    assert [isinstance(one, EngineError) for one in found] == [False, True, False]
    assert isinstance(found[2], dict)
    assert found[2]["y"].tolist() == [[4, 4]]


def test_a_model_that_gives_another_number_of_rows_runs_them_one_by_one() -> None:
    def total(given: Feeds) -> dict[str, Array]:
        return {"sum": given["x"].sum(axis=0, keepdims=True)}

    found = run_together(total, [feeds(1), feeds(2)], [1, 1])
    assert [one["sum"].tolist() for one in found if isinstance(one, dict)] == [[[1, 1]], [[2, 2]]]


@pytest.mark.parametrize("error", [MemoryError("full"), ValueError("odd")], ids=["memory", "any"])
def test_whatever_goes_wrong_is_somebodys_answer(error: Exception) -> None:
    def broken(_: Feeds) -> dict[str, Array]:
        raise error

    assert run_together(broken, [feeds(1), feeds(2)], [1, 1]) == [error, error]


def test_parts_are_joined_in_their_order() -> None:
    found = joined([Doubler()(feeds(1, 2)), Doubler()(feeds(3))])
    assert found["y"][:, 0].tolist() == [2, 4, 6]


def test_a_group_is_of_the_same_names_types_and_sizes() -> None:
    base = feeds(1)
    assert group_of(base) == group_of(feeds(1, 2, 3))
    others = [
        {"x": np.zeros((1, 3), np.float32)}, {"x": np.zeros((1, 2), np.float64)}, {"z": np.zeros((1, 2), np.float32)},
        {"x": np.zeros((1, 2, 1), np.float32)}, {**base, "z": base["x"]},
    ]  # fmt: skip
    assert all(group_of(other) != group_of(base) for other in others)
