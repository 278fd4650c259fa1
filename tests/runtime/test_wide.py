"""Several pieces at once: trusted where a resized file was right on rows that tell, and faster."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, repeat

import numpy as np
import pytest

import edgepack
from edgepack.runtime.engines.base import Opening
from edgepack.runtime.engines.litert import LitertEngine
from edgepack.runtime.errors import EngineError
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array
from edgepack.runtime.wide import WIDTHS, Wide
from tests.fakes import FakeEngine, spec
from tests.zoo.packs import TOLERANCE, ZOO, outputs

Function = Callable[[Mapping[str, Array]], Sequence[Array]]

X = np.arange(66, dtype=np.float32).reshape(33, 2)


def engine_of(function: Function, rows: int = 1) -> FakeEngine:
    return FakeEngine([spec("x", rows, 2)], [spec("y", rows, 2)], function)


def doubled(feeds: Mapping[str, Array]) -> Sequence[Array]:
    return [feeds["x"] * 2]


def neighbours_mixed(feeds: Mapping[str, Array]) -> Sequence[Array]:
    return [np.roll(feeds["x"], 1, axis=0) * 2]


class Made:
    """A file of one row that can be resized; it keeps what was opened."""

    def __init__(self, wide: Function = doubled, batch: int = 1) -> None:
        self.base, self._wide, self.opened = engine_of(doubled, batch), wide, dict[int, FakeEngine]()

    def resized(self, rows: int) -> FakeEngine:
        self.opened[rows] = engine_of(self._wide, rows)
        return self.opened[rows]

    def rows_of_runs(self) -> list[int]:
        return [len(fed["x"]) for fed in self.base.fed]


def wide_of(made: Made, *, pays: bool = True, batch: int = 1) -> Wide:
    """A clock whose laps grow shorter (the wide run, timed last, is the fastest) or longer."""
    laps = accumulate(repeat(1), lambda lap, _: lap / 2 if pays else lap * 2, initial=2**600)
    clock = iter(moment for lap in laps for moment in (0, lap))
    return Wide(made.base, batch, made.resized, clock=clock.__next__)


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 7, 8, 33])
def test_every_number_of_rows_is_answered_as_row_by_row(rows: int) -> None:
    wide = wide_of(Made())
    for _ in range(2):
        np.testing.assert_array_equal(wide.run({"x": X[:rows]}, rows)[0], X[:rows] * 2)


def test_a_width_that_is_right_and_faster_takes_the_place_of_the_pieces() -> None:
    made = Made()
    wide = wide_of(made)
    wide.run({"x": X[:4]}, 4)
    made.base.fed.clear()
    wide.run({"x": X[:5]}, 5)
    assert made.rows_of_runs() == [1]
    assert len(made.opened[4].fed[-1]["x"]) == 4


def test_a_width_that_does_not_pay_is_closed_and_not_tried_again() -> None:
    made = Made()
    wide = wide_of(made, pays=False)
    wide.run({"x": X[:4]}, 4)
    assert made.opened.pop(4).closed == 1
    wide.run({"x": X[:4]}, 4)
    assert not made.opened


@pytest.mark.parametrize(
    "wrong",
    [
        neighbours_mixed,
        lambda feeds: [feeds["x"][:1] * 2],
        lambda feeds: [(feeds["x"] * 2).astype(np.float64)],
        lambda feeds: [feeds["x"] * np.float32(2.001)],
        lambda feeds: [feeds["x"] * np.nan],
        lambda feeds: [feeds["x"] * 2, feeds["x"]],
    ],
    ids=["mixed-rows", "one-row", "element-type", "values", "nan", "outputs"],
)
def test_a_file_that_is_wrong_when_resized_is_never_resized_again(wrong: Function) -> None:
    made = Made(wrong)
    wide = wide_of(made)
    np.testing.assert_array_equal(wide.run({"x": X}, 33)[0], X * 2)
    opened = set(made.opened)
    np.testing.assert_array_equal(wide.run({"x": X}, 33)[0], X * 2)
    assert set(made.opened) == opened == {32}


def test_rows_that_are_alike_do_not_prove_a_width() -> None:
    made = Made(neighbours_mixed)
    wide = wide_of(made)
    same = np.ones((4, 2), np.float32)
    for _ in range(20):
        np.testing.assert_array_equal(wide.run({"x": same}, 4)[0], same * 2)
    np.testing.assert_array_equal(wide.run({"x": X[:4]}, 4)[0], X[:4] * 2)


def test_a_width_is_tried_again_when_rows_come_that_tell() -> None:
    made = Made()
    wide = wide_of(made)
    wide.run({"x": np.zeros((4, 2), np.float32)}, 4)
    wide.run({"x": X[:4]}, 4)
    made.base.fed.clear()
    wide.run({"x": X[:4]}, 4)
    assert not made.base.fed


def test_a_file_that_cannot_be_resized_is_asked_once() -> None:
    asked: list[int] = []

    def refuse(rows: int) -> FakeEngine:
        asked.append(rows)
        raise EngineError("no")

    wide = Wide(engine_of(doubled), 1, refuse)
    for _ in range(3):
        np.testing.assert_array_equal(wide.run({"x": X}, 33)[0], X * 2)
    assert asked == [32]


def test_an_engine_that_fails_when_resized_leaves_the_pieces() -> None:
    def fail(_: Mapping[str, Array]) -> Sequence[Array]:
        raise EngineError("no")

    made = Made(fail)
    np.testing.assert_array_equal(wide_of(made).run({"x": X[:4]}, 4)[0], X[:4] * 2)
    assert made.opened[4].closed == 1


def test_a_fixed_batch_above_one_is_widened_too() -> None:
    made = Made(batch=4)
    wide = wide_of(made, batch=4)
    for _ in range(2):
        np.testing.assert_array_equal(wide.run({"x": X[:18]}, 18)[0], X[:18] * 2)
    assert 16 in made.opened
    assert 4 not in made.opened


def test_closing_closes_what_was_opened() -> None:
    made = Made()
    wide = wide_of(made)
    wide.run({"x": X}, 33)
    wide.close()
    assert [engine.closed for engine in made.opened.values()] == [1] * len(made.opened)


def test_memory_is_bounded_whatever_numbers_of_rows_come() -> None:
    made = Made()
    wide = wide_of(made)
    for rows in range(2, 34):
        wide.run({"x": X[:rows]}, rows)
    assert set(made.opened) == set(WIDTHS)


def test_while_one_thread_tries_a_width_the_others_are_answered() -> None:
    at_work, go_on = threading.Event(), threading.Event()

    class Slow(Made):
        def resized(self, rows: int) -> FakeEngine:
            at_work.set()
            assert go_on.wait(10)
            return super().resized(rows)

    wide = wide_of(Slow())
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(wide.run, {"x": X[:4]}, 4)
        assert at_work.wait(10)
        np.testing.assert_array_equal(wide.run({"x": X[4:8]}, 4)[0], X[4:8] * 2)
        go_on.set()
        np.testing.assert_array_equal(first.result(10)[0], X[:4] * 2)


def test_a_tflite_file_of_one_row_is_resized_and_agrees() -> None:
    pytest.importorskip("ai_edge_litert")
    given, wanted = outputs("mlp")
    engine = LitertEngine((ZOO / "mlp.tflite").read_bytes(), Opening("XNNPACK"))
    wide = engine.resized(9)
    np.testing.assert_allclose(wide.run(given)[0], wanted["y"], atol=TOLERANCE)


def test_a_session_stays_right_on_a_tflite_file_whatever_the_trial_found() -> None:
    given, wanted = outputs("mlp")
    with edgepack.load(ZOO / "mlp.tflite") as session:
        for rows in (9, 4, 8, 9, 5, 1):
            found = session.run({"x": given["x"][:rows]})["y"]
            np.testing.assert_allclose(found, wanted["y"][:rows], atol=TOLERANCE)


def test_a_closed_session_does_not_run_its_widths() -> None:
    session = Session(engine_of(doubled), "fake")
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run(X)
