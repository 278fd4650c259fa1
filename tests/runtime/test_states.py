"""Models that are given their own state back, and streams of runs that build on each other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import EngineError, InputError
from edgepack.runtime.session import Session
from tests.fakes import FakeEngine, spec

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
    import edgepack
    from tests.zoo import packs

    path = packs.write(tmp_path / "p.edgepack", packs.pair(states={"b": "total"}))
    with edgepack.load(path) as session, session.stream() as stream:
        assert [float(stream.run({"a": _ones()})["total"][0, 0]) for _ in range(3)] == [1, 2, 3]
