"""What is chosen from what was measured: the model is a function that moves a clock, so that every speed can be had."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import EngineError, InputError
from edgepack.runtime.serve.together import Feeds
from edgepack.runtime.serve.tuning import Plan, check_rows, mixes_rows, tune
from edgepack.runtime.tensor import Array

SAMPLE = {"x": np.arange(12, dtype=np.float32).reshape(3, 4)}


class Model:
    """A model whose runs take `us(rows)`, by a clock that only it moves."""

    def __init__(self, us: Callable[[int], float], speed_up: float = 1.0) -> None:
        self._us, self._speed_up, self.now_ns, self.rows = us, speed_up, 0, [0]

    def __call__(self, feeds: Feeds) -> dict[str, Array]:
        self.rows.append(len(feeds["x"]))
        self.now_ns += round(self._us(len(feeds["x"])) * 1e3)
        return {"y": feeds["x"] * 2}

    def clock(self) -> int:
        return self.now_ns

    def at_once(self, call: Callable[[], object], count: int) -> float:
        """So many runs at once take as long as one, if they speed up so many times."""
        start = self.now_ns
        call()
        self.now_ns = start + round((self.now_ns - start) * count / self._speed_up)
        return self.now_ns - start


def plan(model: Model, asked: int | str = "auto", **changes: Any) -> Plan:
    given = {"shares": True, "cores": 1, "clock": model.clock, "at_once": model.at_once, **changes}
    return tune(model, SAMPLE, asked, **given)


def test_a_file_that_loops_over_its_rows_is_not_batched() -> None:
    found = plan(Model(lambda rows: 5_000 * rows))
    assert (found.max_rows, found.row_us) == (1, 5_000)


def test_batches_grow_as_long_as_a_row_becomes_cheaper() -> None:
    assert plan(Model(lambda rows: 4_000 + 500 * max(rows, 8) / 8 * rows)).max_rows == 8


def test_what_gains_little_is_not_worth_the_wait() -> None:
    assert plan(Model(lambda rows: 200 + 5_000 * rows)).max_rows == 1


def test_many_rows_of_one_request_are_cut_in_parts_of_a_batch() -> None:
    assert plan(Model(lambda rows: 5_000 * rows)).part_rows == 8
    assert plan(Model(lambda rows: 4_000 + 500 * max(rows, 8) / 8 * rows)).part_rows == 8
    assert plan(Model(lambda rows: 100 * rows), 16).part_rows == 16


def test_a_wider_batch_is_found_behind_one_that_is_no_faster() -> None:
    assert plan(Model(lambda rows: 8_000 if rows >= 4 else 5_000 * rows)).max_rows == 32


def test_a_short_run_stays_on_the_event_loop_though_a_batch_would_be_faster() -> None:
    found = plan(Model(lambda rows: 60 + 4 * rows))
    assert found.max_rows == 1
    assert found.is_short(4)
    assert found.is_short(found.short_size)
    assert not found.is_short(found.short_size + 1)
    assert 4 * 10 <= found.short_size <= 4 * 1_000  # as many rows as a thousandth of a second has


def test_a_short_run_is_batched_where_that_saves_much() -> None:
    found = plan(Model(lambda rows: 600 + 10 * rows))
    assert found.max_rows > 1
    assert found.is_short(4)


def test_a_long_run_goes_to_a_thread() -> None:
    assert not plan(Model(lambda _: 5_000)).is_short(4)


def test_nothing_is_begun_that_the_time_does_not_allow() -> None:
    model = Model(lambda rows: 400_000 + rows)
    assert plan(model).max_rows == 1
    assert max(model.rows) == 1
    assert model.now_ns < 2e9


@pytest.mark.parametrize("asked", [2, 16, 100])
def test_a_number_that_is_asked_for_is_kept(asked: int) -> None:
    model = Model(lambda rows: 5_000 * rows)
    assert plan(model, asked).max_rows == asked
    assert max(model.rows) <= 32


def test_one_row_asked_for_batches_nothing() -> None:
    model = Model(lambda _: 5_000)
    found = plan(model, 1)
    assert (found.max_rows, max(model.rows)) == (1, 2)
    assert "nothing is to be shared" in found.reason


@pytest.mark.parametrize("asked", [0, -1, "most", 2.5], ids=str)
def test_what_is_no_number_of_rows_is_refused(asked: Any) -> None:
    with pytest.raises(InputError, match="it takes 1 or more rows, or 'auto'"):
        check_rows(asked)


def test_runs_that_cannot_be_shared_run_as_they_are() -> None:
    model = Model(lambda _: 5_000)
    found = plan(model, shares=False)
    assert (found.max_rows, set(model.rows)) == (1, {0, 3})


def test_as_many_run_at_once_as_makes_sense() -> None:
    assert plan(Model(lambda rows: 5_000 * rows, speed_up=1.0), cores=2).lanes == 1
    assert plan(Model(lambda rows: 5_000 * rows, speed_up=1.8), cores=2).lanes == 2


def test_two_at_once_take_the_place_of_a_batch_that_is_no_faster() -> None:
    found = plan(Model(lambda rows: 2_000 + 3_000 * rows, speed_up=2.0), cores=2)
    assert found.lanes == 2


def test_short_runs_have_the_event_loop_and_no_lanes() -> None:
    assert plan(Model(lambda rows: 50 * rows, speed_up=2.0), cores=2).lanes == 1


def dynamic(feeds: Feeds) -> dict[str, Array]:
    """A file that finds its scale while it runs, as dynamic int8 of ONNX Runtime does."""
    scale = np.abs(feeds["x"]).max() / 127 or 1
    with np.errstate(all="ignore"):
        return {"y": np.round(feeds["x"] / scale) * scale}


def folded(feeds: Feeds) -> dict[str, Array]:
    """A file whose reshape folds the batch into another axis."""
    return {"y": feeds["x"].reshape(-1)[None]}


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (lambda feeds: {"y": feeds["x"] * 3}, ""),
        (dynamic, "a row's 'y' depends on the rows that share its run"),
        (folded, "output 'y' of 4 rows has the shape"),
        (lambda feeds: {"y": feeds["x"] - feeds["x"].mean(axis=0)}, "depends on the rows"),
    ],
    ids=["right", "dynamic", "folded", "normalized"],
)
def test_rows_that_change_each_other_are_found_out(run: Callable[[Feeds], dict[str, Array]], reason: str) -> None:
    found = mixes_rows(run, SAMPLE, 4)
    assert reason in found
    assert bool(found) == bool(reason)


def test_rows_that_change_each_other_never_share_a_run_even_where_that_is_asked_for() -> None:
    model = Model(lambda _: 5_000)
    found = tune(lambda feeds: model(feeds) and dynamic(feeds), SAMPLE, 8, shares=True, cores=1, clock=model.clock)
    assert found.max_rows == 1
    assert found.part_rows > 10**6  # nor is a request cut in parts
    assert "depends on the rows" in found.reason


def test_whole_numbers_are_tried_beside_other_rows_of_the_sample() -> None:
    sample = {"x": np.arange(12).reshape(3, 4)}
    assert mixes_rows(lambda feeds: {"y": feeds["x"] - feeds["x"].max()}, sample, 4)
    assert not mixes_rows(lambda feeds: {"y": feeds["x"] + 1}, sample, 4)


def test_a_model_that_fails_on_strange_numbers_is_not_taken_for_one_that_mixes() -> None:
    def careful(feeds: Feeds) -> dict[str, Array]:
        if not np.isfinite(feeds["x"]).all():
            raise EngineError("NaN")
        return {"y": feeds["x"]}

    assert mixes_rows(careful, SAMPLE, 4) == ""
