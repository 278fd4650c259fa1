"""Many runs: buffers of the caller's own, streams of rows, and runs that nobody waits for."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.runtime.errors import InputError
from edgepack.runtime.session import Session
from tests.fakes import FakeEngine, spec
from tests.zoo.packs import TOLERANCE, ZOO, outputs


@pytest.fixture(params=["mlp.onnx", "mlp_batch4.onnx", "mlp.tflite", "mlp_free.tflite"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    with edgepack.load(ZOO / request.param) as opened:
        yield opened


def _rows(count: int) -> tuple[Any, Any]:
    inputs, wanted = outputs("mlp")
    return inputs["x"][:count], wanted["y"][:count]


@pytest.mark.parametrize("rows", [1, 3, 4, 9])
def test_results_are_written_into_the_callers_arrays(session: Session, rows: int) -> None:
    given, wanted = _rows(rows)
    buffer = np.zeros_like(wanted)
    for _ in range(3):
        buffer[:] = 0
        assert session.run({"x": given}, out={"y": buffer})["y"] is buffer
        np.testing.assert_allclose(buffer, wanted, atol=TOLERANCE)
    assert session.run(given, out=buffer)["y"] is buffer


def test_other_numbers_in_the_same_arrays_give_other_results(session: Session) -> None:
    given, wanted = _rows(9)
    x, y = np.empty_like(given[:1]), np.empty_like(wanted[:1])
    for row in range(9):
        x[:] = given[row]
        session.run({"x": x}, out={"y": y})
        np.testing.assert_allclose(y[0], wanted[row], atol=TOLERANCE)


def test_other_arrays_take_over(session: Session) -> None:
    given, wanted = _rows(9)
    for row in range(9):
        y = np.empty((1, 3), np.float32)
        session.run({"x": given[row : row + 1].copy()}, out={"y": y})
        np.testing.assert_allclose(y[0], wanted[row], atol=TOLERANCE)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ({"z": np.empty((2, 3), np.float32)}, r"out holds z \(ndarray\); it takes an array for each of y"),
        ({"y": [0.0]}, r"out holds y \(list\)"),
        (np.empty((1, 3), np.float32), r"out\['y'\] is float32 \(1, 3\); this run gives float32 \(2, 3\)"),
        (np.empty((2, 3), np.float64), r"out\['y'\] is float64 \(2, 3\); this run gives float32 \(2, 3\)"),
    ],
    ids=["name", "kind", "shape", "type"],
)
def test_buffers_that_do_not_fit_are_refused(session: Session, out: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        session.run(_rows(2)[0], out=out)


def test_a_buffer_that_cannot_be_written_is_refused(session: Session) -> None:
    buffer = np.empty((1, 3), np.float32)
    buffer.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        session.run(_rows(1)[0], out=buffer)


def test_a_buffer_made_read_only_after_its_first_use_is_not_written(session: Session) -> None:
    given, _ = _rows(1)
    buffer = np.empty((1, 3), np.float32)
    session.run({"x": given}, out={"y": buffer})
    buffer.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        session.run({"x": given}, out={"y": buffer})


def test_a_buffer_of_another_layout_is_written_too(session: Session) -> None:
    given, wanted = _rows(4)
    buffer = np.zeros((3, 4), np.float32).T
    session.run(given, out=buffer)
    np.testing.assert_allclose(buffer, wanted, atol=TOLERANCE)


def test_nan_is_told_with_buffers_too(session: Session) -> None:
    given, wanted = (array.copy() for array in _rows(1))
    session.run({"x": given}, out={"y": wanted})
    given[0, 0] = np.nan
    with pytest.warns(UserWarning, match="holds NaN"):
        session.run({"x": given}, out={"y": wanted})


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_a_stream_of_rows_is_answered_in_order(session: Session, batch: int) -> None:
    given, wanted = _rows(9)
    found = list(session.map(iter(given), batch=batch))
    np.testing.assert_allclose(np.stack(found), wanted, atol=TOLERANCE)


def test_no_more_rows_are_held_than_a_batch() -> None:
    engine = FakeEngine([spec("x", None, 2)], [spec("y", None, 2)], lambda feeds: [feeds["x"]])
    taken = 0

    def rows() -> Iterator[Any]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield np.zeros(2, np.float32)

    answers = Session(engine, "fake").map(rows(), batch=4)
    next(answers)
    assert taken <= 5


def test_rows_of_another_shape_begin_a_new_batch() -> None:
    engine = FakeEngine([spec("x", None, None)], [spec("y", None, None)], lambda feeds: [feeds["x"]])
    rows = [np.zeros(length, np.float32) for length in (2, 2, 3, 2)]
    assert [row.shape for row in Session(engine, "fake").map(rows)] == [(2,), (2,), (3,), (2,)]
    assert [len(feeds["x"]) for feeds in engine.fed] == [2, 1, 1]


def test_rows_of_several_inputs_come_as_dicts() -> None:
    engine = FakeEngine(
        [spec("a", None, 2), spec("b", None, 2)], [spec("y", None, 2)], lambda feeds: [feeds["a"] + feeds["b"]]
    )
    session = Session(engine, "fake")
    one = np.ones(2, np.float32)
    (found,) = session.map([{"a": one, "b": one}])
    np.testing.assert_array_equal(found, 2 * one)
    with pytest.raises(InputError, match=r"the model takes 2 inputs \('a', 'b'\): give dicts by name"):
        next(session.map([one]))


def test_a_batch_of_nothing_is_refused(session: Session) -> None:
    with pytest.raises(InputError, match="batch is 0; it takes 1 or more rows"):
        session.map([], batch=0)


def test_the_event_loop_goes_on_while_a_model_runs(session: Session) -> None:
    given, wanted = _rows(9)

    async def together() -> list[dict[str, Any]]:
        return await asyncio.gather(*(session.run_async({"x": row[None]}) for row in given))

    found = asyncio.run(together())
    np.testing.assert_allclose(np.concatenate([one["y"] for one in found]), wanted, atol=TOLERANCE)


def test_an_error_of_a_run_that_is_awaited_arrives(tmp_path: Path) -> None:
    with edgepack.load(ZOO / "mlp.onnx") as session, pytest.raises(InputError, match="has shape"):
        asyncio.run(session.run_async(np.zeros((1, 5), np.float32)))
