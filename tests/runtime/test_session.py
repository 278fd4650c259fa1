"""The session: names, shapes and meanings at its border; the engine behind it is a fake where it does not matter."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.runtime.errors import EdgepackError, EngineError, InputError, NanInputWarning
from edgepack.runtime.manifest import Manifest, Step, Steps
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import TensorSpec
from tests.fakes import FakeEngine, spec
from tests.zoo.packs import TOLERANCE, ZOO, outputs


def adder(batch: int | None = None) -> FakeEngine:
    """Two inputs and two outputs: `total` and `double`."""
    return FakeEngine(
        [spec("a", batch, 2), spec("b", batch, 2)],
        [spec("total", batch, 2), spec("double", batch, 2)],
        lambda feeds: [feeds["a"] + feeds["b"], feeds["a"] * 2],
    )


def doubler(*shape: int | None, dtype: str = "float32") -> FakeEngine:
    """One input `x` and one output `y`, twice as large."""
    return FakeEngine(
        [spec("x", *shape, dtype=dtype)], [spec("y", *shape, dtype=dtype)], lambda feeds: [feeds["x"] * 2]
    )


def manifest(inputs: list[TensorSpec], outs: list[TensorSpec], steps: Steps | None = None) -> Manifest:
    return Manifest(1, "fake", tuple(inputs), tuple(outs), (), steps=steps or Steps())


@pytest.fixture(params=[None, 1, 4], ids=["free", "batch-1", "batch-4"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """Two inputs, two outputs, on files of every kind of batch."""
    with Session(adder(request.param), "fake") as opened:
        yield opened


ONES = np.ones((3, 2), np.float32)


def test_a_dict_of_arrays_is_answered_by_name(session: Session) -> None:
    found = session.run({"a": ONES, "b": ONES * 4})
    np.testing.assert_array_equal(found["total"], ONES * 5)
    np.testing.assert_array_equal(found["double"], ONES * 2)


def test_the_order_of_the_inputs_does_not_matter(session: Session) -> None:
    np.testing.assert_array_equal(session.run({"b": ONES * 4, "a": ONES})["double"], ONES * 2)


def test_lists_of_numbers_are_taken(session: Session) -> None:
    assert session.run({"a": [[1, 2]], "b": [[3.5, 4]]})["total"].tolist() == [[4.5, 6.0]]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": ONES}, r"got 1 input \('a'\); the model takes 2 \('a', 'b'\)"),
        ({"a": ONES, "c": ONES}, r"got 2 inputs \('a', 'c'\); the model takes 2 \('a', 'b'\)"),
        ({"a": ONES, "b": ONES, "c": ONES}, r"got 3 inputs \('a', 'b', 'c'\); the model takes 2"),
        ({}, r"got 0 inputs \(none\); the model takes 2"),
        (ONES, r"got one array; the model takes 2 inputs \('a', 'b'\): pass a dict by name"),
        ({"a": ONES, "b": ONES[:, :1]}, r"'b' has shape \(3, 1\); the model takes \(any, 2\)"),
        ({"a": ONES, "b": ONES.astype(int)}, r"'b' has element type int64; the model takes float32"),
        ({"a": ONES, "b": None}, r"'b' has shape \(\); the model takes \(any, 2\)"),
    ],
    ids=["too-few", "another-name", "too-many", "none", "bare-array", "shape", "int-array", "nothing"],
)
def test_what_does_not_fit_is_refused_with_both_sides(session: Session, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        session.run(inputs)


@pytest.mark.parametrize("batch", [1, 4])
def test_inputs_of_different_numbers_of_rows_are_refused(batch: int) -> None:
    with Session(adder(batch), "fake") as session, pytest.raises(InputError, match="differ in their number of rows"):
        session.run({"a": ONES, "b": ONES[:2]})


@pytest.mark.parametrize("batch", [None, 1, 4], ids=str)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((2, 2), np.uint8), r"element type uint8; the model takes float32"),
        (np.zeros((2, 3), np.float32), r"has shape \(2, 3\); the model takes \(any, 2\)"),
        (np.zeros(2, np.float32), r"has shape \(2,\); the model takes \(any, 2\)"),
        (np.float32(1), r"has shape \(\); the model takes \(any, 2\)"),
        ({"y": np.zeros((1, 2), np.float32)}, r"got 1 input \('y'\); the model takes 1 \('x'\)"),
        ({"x": np.zeros((1, 2), int)}, r"element type int64"),
        ({"x": np.zeros((1, 3), np.float32)}, r"has shape \(1, 3\)"),
        ({}, "got 0 inputs"),
    ],
    ids=["pixels", "size", "axis", "number", "name", "ints-by-name", "size-by-name", "none"],
)
def test_one_tensor_is_checked_as_well_as_several(batch: int | None, value: Any, message: str) -> None:
    with Session(doubler(batch, 2), "fake") as session, pytest.raises(InputError, match=message):
        session.run(value)


def test_a_number_is_not_taken_for_a_row_of_numbers() -> None:
    with Session(doubler(None), "fake") as session, pytest.raises(InputError, match=r"has shape \(\); .* \(any,\)"):
        session.run({"x": np.array(1, np.float32)})


def test_a_bare_array_is_taken_where_there_is_one_input() -> None:
    with Session(doubler(None, 2), "fake") as session:
        np.testing.assert_array_equal(session.run(ONES)["y"], ONES * 2)


def test_calling_gives_an_array_where_there_is_one_output() -> None:
    with Session(doubler(None, 2), "fake") as session:
        np.testing.assert_array_equal(np.asarray(session(ONES)), ONES * 2)


def test_calling_gives_a_dict_where_there_are_several_outputs(session: Session) -> None:
    assert set(session({"a": ONES, "b": ONES})) == {"total", "double"}


def test_a_model_without_a_batch_axis_runs() -> None:
    with edgepack.load(ZOO / "sum.onnx") as session:
        given, wanted = outputs("sum")
        found = session.run(given)["s"]
    assert found.shape == ()
    np.testing.assert_allclose(found, wanted["s"], atol=TOLERANCE)


def test_a_model_of_integers_runs() -> None:
    given, wanted = outputs("ids")
    with edgepack.load(ZOO / "ids.onnx") as session:
        np.testing.assert_allclose(session.run(given)["y"], wanted["y"], atol=TOLERANCE)
        np.testing.assert_allclose(session.run(given["ids"].tolist())["y"], wanted["y"], atol=TOLERANCE)
        np.testing.assert_allclose(session.run(given["ids"].astype(np.uint8))["y"], wanted["y"], atol=TOLERANCE)


def test_floats_for_integers_are_refused() -> None:
    with edgepack.load(ZOO / "ids.onnx") as session, pytest.raises(InputError, match="element type float64"):
        session.run(np.zeros((1, 5)))


@pytest.mark.parametrize("variant", ["onnx-float32", "tflite-float32"])
def test_outputs_come_in_the_order_of_the_manifest(pair_pack: Path, variant: str) -> None:
    given, wanted = outputs("pair")
    with edgepack.load(pair_pack, variant=variant) as session:
        found = session.run(given)
    assert list(found) == ["total", "product"]
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=TOLERANCE)


def test_the_interface_is_that_of_the_manifest_on_a_file_of_one_row(mlp_pack: Path) -> None:
    with edgepack.load(mlp_pack, variant="tflite-float32") as session:
        assert session.inputs == (TensorSpec("x", (None, 4), "float32", "four measures"),)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((["z"], ["y"]), r"inputs x: float32 .*, the manifest z: "),
        ((["x"], ["y", "z"]), r"outputs y: float32 .*, the manifest y: .*; z: "),
    ],
    ids=["inputs", "outputs"],
)
def test_a_file_of_other_names_than_the_manifest_is_refused(names: Any, message: str) -> None:
    ins, outs = ([spec(name, None, 2) for name in part] for part in names)
    with pytest.raises(EngineError, match=message):
        Session(doubler(None, 2), "fake", manifest=manifest(ins, outs))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("batch", [None, 1, 4], ids=["free", "batch-1", "batch-4"])
def test_nan_in_an_input_is_warned_of_and_answered(batch: int | None, dtype: str) -> None:
    x = np.array([[1, np.nan]], dtype)
    with Session(doubler(batch, 2, dtype=dtype), "fake") as session:
        with pytest.warns(NanInputWarning, match=r"'x' holds NaN in 1 of 2 elements; the results cannot be trusted"):
            found = session.run({"x": x})
        assert found["y"][0, 0] == 2


def test_the_warning_of_nan_points_at_the_call(session: Session) -> None:
    with pytest.warns(NanInputWarning) as caught:
        session.run({"a": ONES, "b": ONES * np.float32(np.nan)})
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, "largest"], ids=str)
def test_infinities_and_large_numbers_are_no_nan(dtype: str, value: Any) -> None:
    x = np.full((1, 2), np.finfo(dtype).max / 2 if value == "largest" else value, dtype)
    x[0, 1] *= -1
    with Session(doubler(None, 2, dtype=dtype), "fake") as session, warnings.catch_warnings():
        warnings.simplefilter("error")
        session.run({"x": x})


def test_a_closed_session_says_so(session: Session) -> None:
    session.close()
    with pytest.raises(EdgepackError, match="this session was closed; load the file again"):
        session.run({"a": ONES, "b": ONES})


def test_a_closed_session_of_one_tensor_says_so() -> None:
    session = Session(doubler(None, 2), "fake")
    session.run({"x": ONES})
    session.close()
    with pytest.raises(EdgepackError, match="this session was closed"):
        session.run({"x": ONES})


def test_closing_twice_closes_once() -> None:
    engine = doubler(None, 2)
    with Session(engine, "fake") as session:
        session.close()
    assert engine.closed == 1


def test_a_session_shows_what_runs() -> None:
    assert repr(Session(doubler(None, 2), "onnx-float32")) == "<edgepack.Session onnx-float32 on fake (cpu)>"


def test_no_rows_of_a_fixed_batch_never_reach_the_engine() -> None:
    engine = doubler(4, 2)
    with Session(engine, "fake") as session:
        assert session.run(ONES[:0])["y"].shape == (0, 2)
    assert engine.fed == []


def test_no_rows_of_an_unknown_shape_are_refused() -> None:
    engine = FakeEngine([spec("x", 4, 2)], [spec("y", 4, None)], lambda feeds: [feeds["x"]])
    with Session(engine, "fake") as session, pytest.raises(InputError, match="got no rows"):
        session.run(ONES[:0])


# predict


def test_predict_goes_through_the_steps_of_both_sides(mlp_pack: Path) -> None:
    given, _ = outputs("mlp")
    with edgepack.load(mlp_pack) as session:
        row = given["x"][0]
        scores = session.run({"x": (row * 0.5 + 1)[np.newaxis]})["y"][0]
        found = session.predict(row)
    best = int(scores.argmax())
    assert [len(found), found[0].label] == [2, ("red", "green", "blue")[best]]
    assert found[0].score == pytest.approx(float(scores[best]))


@pytest.mark.parametrize("kind", [list, tuple], ids=["list", "tuple"])
def test_predict_of_several_samples_is_several_results(mlp_pack: Path, kind: Any) -> None:
    given, _ = outputs("mlp")
    with edgepack.load(mlp_pack) as session:
        assert session.predict(kind(given["x"])) == [session.predict(row) for row in given["x"]]


def test_predict_of_no_samples_is_no_results(mlp_pack: Path) -> None:
    with edgepack.load(mlp_pack) as session:
        assert session.predict([]) == []


def test_predict_without_steps_gives_arrays() -> None:
    with Session(doubler(None, 2), "fake") as session:
        np.testing.assert_array_equal(session.predict(ONES[0]), ONES[0] * 2)


def test_predict_of_several_inputs_takes_a_dict(session: Session) -> None:
    found = session.predict({"a": ONES[0], "b": ONES[0]})
    assert found["total"].tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("sample", "message"),
    [({"a": ONES[0]}, r"got 1 input \('a'\); the model takes 2"), (ONES[0], r"the model takes 2")],
    ids=["too-few", "bare"],
)
def test_predict_of_several_inputs_needs_each_by_name(session: Session, sample: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        session.predict(sample)


def test_predict_of_samples_of_different_shape_says_so() -> None:
    with (
        Session(doubler(None, None), "fake") as session,
        pytest.raises(InputError, match=r"differ in shape \(\(2,\), \(3,\)\); run them one by one"),
    ):
        session.predict([np.zeros(2, np.float32), np.zeros(3, np.float32)])


def test_predict_needs_a_batch_axis() -> None:
    with edgepack.load(ZOO / "sum.onnx") as session, pytest.raises(InputError, match="no free batch axis"):
        session.predict(np.zeros(3, np.float32))


def test_predict_needs_one_row_of_output_for_each_sample() -> None:
    engine = FakeEngine([spec("x", None, 2)], [spec("s")], lambda feeds: [feeds["x"].sum()])
    with Session(engine, "fake") as session, pytest.raises(InputError, match="not one row for each sample"):
        session.predict(ONES[0])


def test_predict_refuses_what_the_steps_cannot_take(mlp_pack: Path) -> None:
    with edgepack.load(mlp_pack) as session, pytest.raises(EdgepackError, match="step 'scale' cannot take this str"):
        session.predict("four")


def test_an_unknown_step_is_told_when_the_pack_is_opened() -> None:
    newer = manifest([spec("x", None, 2)], [spec("y", None, 2)], Steps(inputs={"x": (Step("hologram"),)}))
    with pytest.raises(EdgepackError, match=r"unknown step 'hologram' \(known: image, .*a newer edgepack"):
        Session(doubler(None, 2), "fake", manifest=newer)


def test_a_closed_session_answers_no_rows_neither(mlp_pack: Path) -> None:
    session = edgepack.load(mlp_pack, threads=1)
    session.close()
    with pytest.raises(EdgepackError, match="this session was closed"):
        session.run(np.zeros((0, 4), np.float32))
    with pytest.raises(EdgepackError, match="this session was closed"):
        session.about  # noqa: B018 - asked for, as a reader does
