"""Models that are given their own state back, and streams of runs that build on each other."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.runtime.errors import EngineError, InputError
from edgepack.runtime.session import Session
from edgepack.runtime.steps import Step, Steps
from tests.fakes import FakeEngine, spec
from tests.zoo import packs
from tests.zoo.packs import ZOO

_PAIRS = {"sum": "new_sum"}


def _adder() -> FakeEngine:
    """A running sum: the new one goes out, and comes back in."""
    return FakeEngine(
        [spec("x", None, 2), spec("sum", None, 2)],
        [spec("y", None, 2), spec("new_sum", None, 2)],
        lambda feeds: [(feeds["x"] + feeds["sum"]) * 10, feeds["x"] + feeds["sum"]],
    )


def _ones(rows: int = 1) -> Any:
    return np.ones((rows, 2), np.float32)


def test_a_state_that_is_left_out_is_zero() -> None:
    with Session(_adder(), "fake", states=_PAIRS) as session:
        for _ in range(2):
            np.testing.assert_array_equal(session.run({"x": _ones(3)})["y"], 10 * _ones(3))
        np.testing.assert_array_equal(session.run(_ones())["y"], 10 * _ones())


def test_a_stream_feeds_the_state_from_the_run_before() -> None:
    with Session(_adder(), "fake", states=_PAIRS) as session, session.stream() as stream:
        found = [float(stream.run({"x": _ones()})["y"][0, 0]) for _ in range(3)]
        assert found == [10, 20, 30]
        stream.reset()
        assert float(stream(_ones())["y"][0, 0]) == 10


def test_two_streams_and_the_session_know_nothing_of_each_other() -> None:
    with Session(_adder(), "fake", states=_PAIRS) as session, session.stream() as one, session.stream() as two:
        one.run(_ones())
        assert float(one.run(_ones())["y"][0, 0]) == 20
        assert float(two.run(_ones())["y"][0, 0]) == 10
        assert float(session.run(_ones())["y"][0, 0]) == 10


def test_a_state_that_is_given_takes_the_place_of_the_remembered_one() -> None:
    with Session(_adder(), "fake", states=_PAIRS) as session, session.stream() as stream:
        stream.run(_ones())
        assert float(stream.run({"x": _ones(), "sum": 4 * _ones()})["y"][0, 0]) == 50


def test_a_closed_stream_says_so() -> None:
    with Session(_adder(), "fake", states=_PAIRS) as session:
        stream = session.stream()
        stream.close()
        stream.close()
        with pytest.raises(EngineError, match="this stream was closed; begin another"):
            stream.run(_ones())


def _raw() -> Session:
    """The running sum of rows "a,b", whose first column is the answer."""
    steps = Steps({"x": (Step("row", {"columns": ["a", "b"]}),)}, {"y": (Step("classify", {"labels": ["a", "b"]}),)})
    return Session(_adder(), "fake", states=_PAIRS, steps=steps)


def test_a_raw_sample_and_its_result_leave_the_states_out() -> None:
    with _raw() as session:
        assert [value.name for value in session.raw_values] == ["x"]
        assert session.predict("1,0") == [("a", 10.0), ("b", 0.0)]
        assert session.predict(["1,0", "0,2"]) == [[("a", 10.0), ("b", 0.0)], [("b", 20.0), ("a", 0.0)]]


def test_a_stream_takes_raw_samples() -> None:
    with _raw() as session, session.stream() as stream:
        assert stream.predict("1,0") == [("a", 10.0), ("b", 0.0)]
        assert stream.predict("0,3") == [("b", 30.0), ("a", 10.0)]
        stream.reset()
        assert stream.predict("0,3") == [("b", 30.0), ("a", 0.0)]


def test_a_stream_of_several_takes_one_raw_sample_of_each() -> None:
    with _raw() as session, session.stream() as stream:
        stream.predict(["1,0", "0,1"])
        assert [found[0] for found in stream.predict(["1,0", "0,1"])] == [("a", 20.0), ("b", 20.0)]


def test_rows_of_a_file_follow_one_another(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("b,a\n0,1\n0,1\n0,1\n")
    with _raw() as session:
        for _ in range(2):  # a file begins anew
            assert [found[0] for found in session.predict(path)] == [("a", 10.0), ("a", 20.0), ("a", 30.0)]


def test_a_model_without_state_has_no_streams() -> None:
    with Session(_adder(), "fake") as session, pytest.raises(InputError, match=r"keeps no state .*load\(path, states="):
        session.stream()


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"state": "new_sum"}, r"states pairs 'state' with 'new_sum'; it takes inputs \(x, sum\)"),
        ({"sum": "z"}, r"paired with outputs \(y, new_sum\)"),
        ({"sum": "new_sum", "x": "y"}, "names every input"),
    ],
)
def test_pairs_that_cannot_be_are_refused(pairs: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Session(_adder(), "fake", states=pairs)


def test_a_state_keeps_its_shape() -> None:
    engine = FakeEngine([spec("x", None), spec("s", None, 2)], [spec("t", None, 3)], lambda feeds: [feeds["s"]])
    with pytest.raises(InputError, match=r"a state keeps its shape and element type"):
        Session(engine, "fake", states={"s": "t"})


def test_the_pack_says_which_inputs_are_states(tmp_path: Path) -> None:
    path = packs.write(tmp_path / "p.edgepack", packs.pair(states={"b": "total"}))
    with edgepack.load(path) as session, session.stream() as stream:
        assert [float(stream.run({"a": _ones()})["total"][0, 0]) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("name", ["lstm", "tally", "tally_new"])
def test_a_file_with_state_inside_answers_the_same_in_any_order_and_from_any_thread(name: str) -> None:
    with edgepack.load(ZOO / f"{name}.tflite") as session:
        rows = [_random(session, seed) for seed in range(4)]
        alone = [session.run(row) for row in rows]
        order = [3, 0, 0, 2, 1, 3, 2] * 20
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(session.run, [rows[index] for index in order]))
    for index, one in zip(order, found, strict=True):
        for key, array in alone[index].items():
            np.testing.assert_array_equal(one[key], array)


@pytest.mark.parametrize("name", ["lstm", "tally", "tally_new"])
def test_streams_keep_the_state_inside_a_file_apart(name: str) -> None:
    with edgepack.load(ZOO / f"{name}.tflite") as session:
        row, other = _random(session, 0), _random(session, 1)
        first = session.run(row)
        with session.stream() as one, session.stream() as two:
            begun = one.run(row)
            two.run(other)
            again = one.run(row)
            assert not all(np.array_equal(begun[key], again[key]) for key in begun), "the state has moved on"
            session.run(other)
            one.reset()
            for key, array in first.items():
                np.testing.assert_array_equal(begun[key], array)
                np.testing.assert_array_equal(one.run(row)[key], array)
                one.reset()
        np.testing.assert_array_equal(next(iter(session.run(row).values())), next(iter(first.values())))


def _random(session: Session, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {spec.name: rng.uniform(0.5, 1, [size or 1 for size in spec.shape]).astype(spec.dtype)
            for spec in session.inputs}  # fmt: skip
