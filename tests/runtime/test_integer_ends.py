"""Files of whole numbers from end to end: a session takes and gives float32 where edgepack wrote them for that."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

import edgepack
from edgepack.runtime import engines
from edgepack.runtime.engines.base import Opening
from edgepack.runtime.engines.integer_ends import FloatEnds, Scale, scales
from edgepack.runtime.errors import EngineError, InputError, NanInputWarning
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array
from tests.fakes import FakeEngine, spec
from tests.zoo.packs import ZOO, outputs

DATA = (ZOO / "mlp_int8.tflite").read_bytes()
STRANGERS = DATA.replace(b'"io":"int8"', b'"oi":"int8"')
TOLERANCE = 0.03  # eight bits in, eight bits out


@pytest.fixture(params=["litert", "openvino"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    if request.param not in engines.available():
        pytest.skip(f"engine {request.param!r} is not installed")
    with edgepack.load(ZOO / "mlp_int8.tflite", engine=request.param) as opened:
        yield opened


def _rows(count: int) -> tuple[Array, Array]:
    given, wanted = outputs("mlp")
    return given["x"][:count], wanted["y"][:count]


def test_floats_go_in_and_come_out(session: Session) -> None:
    assert [str(one) for one in (*session.inputs, *session.outputs)] == ["x: float32 (any, 4)", "y: float32 (any, 3)"]


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_the_answers_are_those_of_the_model(session: Session, rows: int) -> None:
    given, wanted = _rows(rows)
    found = session.run({"x": given})["y"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


def test_the_answers_are_written_into_the_callers_arrays(session: Session) -> None:
    given, wanted = _rows(9)
    for rows in (1, 9):
        buffer = np.zeros_like(wanted[:rows])
        assert session.run({"x": given[:rows]}, out={"y": buffer})["y"] is buffer
        np.testing.assert_array_equal(buffer, session.run({"x": given[:rows]})["y"])


def test_whole_numbers_are_not_taken_for_floats(session: Session) -> None:
    with pytest.raises(InputError, match="element type int8"):
        session.run({"x": np.zeros((1, 4), np.int8)})


def test_what_lies_beyond_the_range_becomes_its_end(session: Session) -> None:
    ends = session.run({"x": np.full((1, 4), 1e9, np.float32)})["y"]
    np.testing.assert_array_equal(ends, session.run({"x": np.full((1, 4), 1e6, np.float32)})["y"])


def test_nan_is_warned_of(session: Session) -> None:
    with pytest.warns(NanInputWarning, match="NaN"):
        session.run({"x": np.full((1, 4), np.nan, np.float32)})


@pytest.mark.parametrize("engine", ["litert", "openvino"])
def test_a_file_of_strangers_is_shown_as_it_is(engine: str) -> None:
    if engine not in engines.available():
        pytest.skip(f"engine {engine!r} is not installed")
    opened = engines.open_file(engine, STRANGERS, Opening(engines.own_cpu(engine)))
    assert [one.dtype for one in (*opened.inputs, *opened.outputs)] == ["int8", "int8"]
    opened.close()


def test_the_scale_of_each_end_is_read_from_the_file() -> None:
    found = scales(DATA)
    assert found.keys() == {"x", "y"}
    assert found["y"] == Scale(1 / 256, -128)  # a softmax


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(step: float) -> None:
    damaged = DATA.replace(struct.pack("<f", scales(DATA)["x"].step), struct.pack("<f", step))
    with pytest.raises(EngineError, match="'x' has scale"):
        scales(damaged)


def test_a_file_that_is_cut_off_has_no_scales() -> None:
    for end in range(8, len(DATA) - 64, 7):
        with pytest.raises(EngineError, match="damaged"):
            scales(DATA[:end])


def _counting(feeds: Mapping[str, Array]) -> Sequence[Array]:
    return [feeds["x"] + np.int8(1), feeds["ids"]]


def _engine() -> FakeEngine:
    return FakeEngine(
        [spec("x", None, 2, dtype="int8"), spec("ids", None, dtype="int32")],
        [spec("y", None, 2, dtype="int8"), spec("same", None, dtype="int32")],
        _counting,
    )


def test_tensors_that_stand_for_nothing_else_go_through_as_they_are() -> None:
    ends = FloatEnds(_engine(), {"x": Scale(0.5, 3), "y": Scale(0.25, -1)})
    assert [one.dtype for one in (*ends.inputs, *ends.outputs)] == ["float32", "int32", "float32", "int32"]
    y, same = ends.run({"x": np.array([[1.0, -2.0]], np.float32), "ids": np.array([7], np.int32)})
    # 1.0 is stored as 5, comes back as 6 and stands for 1.75; -2.0 as -1, 0, 0.25
    np.testing.assert_array_equal(y, np.array([[1.75, 0.25]], np.float32))
    np.testing.assert_array_equal(same, [7])


def test_an_array_of_another_shape_is_not_written_to() -> None:
    ends = FloatEnds(_engine(), {"x": Scale(0.5, 3), "y": Scale(0.25, -1)})
    feeds = {"x": np.zeros((1, 2), np.float32), "ids": np.zeros(1, np.int32)}
    with pytest.raises(EngineError, match=r"\(1, 2\)"):
        ends.run_into(feeds, [np.zeros((2, 2), np.float32), np.zeros(1, np.int32)])


class _Streaming(FakeEngine):
    """Counts its runs, from the last `reset` on."""

    keeps_state = True

    def __init__(self) -> None:
        super().__init__([spec("x", 1, dtype="int8")], [spec("y", 1, dtype="int8")], self._next)
        self.runs = 0

    def _next(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        self.runs += 1
        return [np.full_like(feeds["x"], self.runs)]

    def stream(self) -> "_Streaming":
        return _Streaming()

    def reset(self) -> None:
        self.runs = 0


def test_a_stream_takes_and_gives_floats_too() -> None:
    both: Any = {name: Scale(0.5, 0) for name in "xy"}
    with Session(FloatEnds(_Streaming(), both), "counting") as session, session.stream() as stream:
        x = np.zeros(1, np.float32)
        assert [float(stream.run(x)["y"][0]) for _ in range(3)] == [0.5, 1.0, 1.5]
        stream.reset()
        assert stream.run(x)["y"].tolist() == [0.5]


def test_an_engine_that_resizes_nothing_says_so() -> None:
    with pytest.raises(EngineError, match="resizes no file"):
        FloatEnds(_engine(), {}).resized(4)


def test_the_specs_keep_their_meaning() -> None:
    meant = msgspec.structs.replace(spec("x", None, 2, dtype="int8"), meaning="pixels")
    ends = FloatEnds(FakeEngine([meant], [], _counting), {"x": Scale(1.0, 0)})
    assert ends.inputs[0].meaning == "pixels"
