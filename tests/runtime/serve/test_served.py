"""One model that answers: from its file to its answers, by real sessions, and fakes where the numbers do not matter."""

import asyncio
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import (
    DeadlineError,
    EdgepackError,
    EngineError,
    InputError,
    NotReadyError,
    OverloadedError,
    StepError,
    TooLargeError,
)
from edgepack.runtime.loading import load
from edgepack.runtime.manifest import Manifest, Step, Steps
from edgepack.runtime.serve.opened import open_served
from edgepack.runtime.serve.served import Served
from edgepack.runtime.serve.settings import BatchSettings, ModelSettings
from edgepack.runtime.serve.tuning import Plan
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array, TensorSpec
from tests.fakes import FakeEngine, spec
from tests.zoo import packs

SHORT = Plan(short_size=1_000)
BATCHES = Plan(max_rows=8, part_rows=8)


def session(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    function: Callable[[Mapping[str, Array]], Sequence[Array]],
    steps: Steps | None = None,
    **changes: Any,
) -> Session:
    manifest = Manifest(1, "fake", tuple(inputs), tuple(outputs), (), steps=steps or Steps(), **changes)
    return Session(FakeEngine(inputs, outputs, function), "fake", manifest=manifest)


def doubler(steps: Steps | None = None) -> Session:
    return session([spec("x", None, 2)], [spec("y", None, 2)], lambda feeds: [feeds["x"] * 2], steps)


def counter() -> Session:
    """A model with state: each sample is added to what came before."""
    specs = [spec("x", None, 1), spec("seen", None, 1)], [spec("total", None, 1), spec("next", None, 1)]
    steps = Steps(inputs={"x": (Step("row", {"columns": ["amount"]}),)})
    return session(
        *specs, lambda feeds: [feeds["x"] + feeds["seen"]] * 2, steps=steps, states={"seen": "next"}
    )  # fmt: skip


def served(made: Session, plan: Plan | None = None, sample: Mapping[str, Array] | None = None, **batch: Any) -> Served:
    return Served("fake", "1", made, ModelSettings(batch=BatchSettings(**batch)), plan, sample)


def answer(model: Served, *asked: Any, call: str = "infer", **how: Any) -> Any:
    """What requests that come at once are answered, and the model closed after."""

    async def ask() -> Any:
        calls = [getattr(model, call)(one, **how) for one in asked]
        found = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
        await model.close()
        return found

    found = asyncio.run(ask())
    if len(found) == 1 and isinstance(found[0], BaseException):
        raise found[0]
    return found[0] if len(found) == 1 else found


X = np.array([[1, 2]], np.float32)
ROW = Steps(inputs={"x": (Step("row", {"columns": ["a", "b"]}),)})


@pytest.mark.parametrize("plan", [None, SHORT, BATCHES], ids=["in-a-thread", "on-the-loop", "in-batches"])
def test_tensors_are_answered_whatever_the_plan(plan: Plan | None) -> None:
    outputs, spent = answer(served(doubler(), plan), {"x": X})
    assert outputs["y"].tolist() == [[2, 4]]
    assert (spent.rows, spent.batch_rows, spent.pre_ns, spent.post_ns) == (1, 1, 0, 0)
    assert spent.infer_ns > 0


@pytest.mark.parametrize(("plan", "there"), [(None, False), (SHORT, True)], ids=["in-a-thread", "on-the-loop"])
def test_only_short_runs_go_on_the_event_loop(plan: Plan | None, there: bool) -> None:
    threads = []
    made = session(
        [spec("x", None, 2)], [spec("y", None, 2)],
        lambda feeds: threads.append(threading.current_thread()) or [feeds["x"]],  # type: ignore[func-returns-value]
    )  # fmt: skip
    answer(served(made, plan), {"x": X})
    assert (threads == [threading.current_thread()]) == there


def test_many_rows_of_a_short_model_leave_the_event_loop_alone() -> None:
    model = served(doubler(), SHORT)
    outputs, spent = answer(model, {"x": np.ones((600, 2), np.float32)})
    assert len(outputs["y"]) == spent.rows == 600
    assert spent.queue_ns > 0


def gated(gate: threading.Event) -> Session:
    """A model that waits for a gate where it is given ones."""

    def wait(feeds: Mapping[str, Array]) -> Sequence[Array]:
        assert feeds["x"][0, 0] != 1 or gate.wait(10)
        return [feeds["x"]]

    return session([spec("x", None, 2)], [spec("y", None, 2)], wait)


def test_while_a_thread_runs_a_model_the_event_loop_does_not() -> None:
    gate = threading.Event()

    async def ask() -> None:
        model = served(gated(gate), SHORT)
        long = asyncio.ensure_future(model.infer({"x": np.ones((600, 2), np.float32)}))
        await asyncio.sleep(0.01)
        short = asyncio.ensure_future(model.infer({"x": X * 0}))
        await asyncio.sleep(0.01)
        assert not short.done()  # it waits its turn, and nobody else waits with it
        gate.set()
        assert (await short)[1].queue_ns > 0
        await long
        assert (await model.infer({"x": X * 0}))[1].queue_ns == 0
        await model.close()

    asyncio.run(asyncio.wait_for(ask(), 20))


@pytest.mark.parametrize("plan", [None, SHORT, BATCHES], ids=["in-a-thread", "on-the-loop", "in-batches"])
def test_a_request_of_too_many_rows_is_told_how_many_are_taken(plan: Plan | None) -> None:
    model = served(doubler(ROW), plan, request_rows=4)
    assert len(answer(served(doubler(), plan, request_rows=4), {"x": np.ones((4, 2), np.float32)})[0]["y"]) == 4
    for call, asked in (("infer", {"x": np.ones((5, 2), np.float32)}), ("predict", [[1, 2]] * 5)):
        with pytest.raises(TooLargeError, match=r"has 5 rows, and model 'fake' takes 4 .* or raise batch.request_rows"):
            answer(model, asked, call=call)


def test_a_body_is_not_read_where_so_many_come_already() -> None:
    model = served(doubler(), queue_rows=8)
    coming = [model.admit() for _ in range(8)]
    with pytest.raises(OverloadedError, match="8 rows waiting, and takes 8 at most"):
        model.admit()
    coming[0].leave()  # its client is slow: it keeps nobody waiting
    coming.append(model.admit())
    for one in coming:
        one.end()
    assert [model.admit() for _ in range(8)]


def test_a_late_event_loop_refuses_where_many_come() -> None:
    model = served(doubler(), SHORT)
    kept = [model.admit(lag_s=5.0) for _ in range(64)]  # so many are let come, however slow it seems
    with pytest.raises(OverloadedError, match=r"would let this wait for 5,\d+ ms"):
        model.admit(lag_s=5.0)
    kept += [model.admit() for _ in range(64)]  # in time it takes them


def test_what_a_request_costs_the_event_loop_is_found_out() -> None:
    model = served(doubler(), SHORT)
    for _ in range(20):
        coming = model.admit()
        coming.read()
        time.sleep(0.005)  # its tensors are read
        coming.end()
    kept = [model.admit() for _ in range(64)]
    with pytest.raises(OverloadedError, match=r"100 ms is the most"):
        model.admit()
    for one in kept:
        one.end()


@pytest.mark.parametrize("plan", [None, SHORT, BATCHES], ids=["in-a-thread", "on-the-loop", "in-batches"])
def test_no_rows_are_answered_with_no_rows(plan: Plan | None) -> None:
    outputs, spent = answer(served(doubler(), plan), {"x": np.empty((0, 2), np.float32)})
    assert (outputs["y"].shape, spent.rows) == ((0, 2), 0)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "got 0 inputs"), ({"z": X}, "got 1 input"), ({"x": X, "z": X}, "got 2 inputs"),
        ({"x": X[0]}, r"shape \(2,\)"), ({"x": np.ones((1, 3), np.float32)}, r"shape \(1, 3\)"),
        ({"x": X.astype(int)}, "element type int64"), ({"x": np.array([[b"a", b"b"]], object)}, "element type object"),
    ],
    ids=["none", "another", "too-many", "no-rows", "wide", "integers", "text"],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_it_is_queued(inputs: dict[str, Array], message: str) -> None:
    with pytest.raises(InputError, match=message):
        served(doubler()).checked(inputs)


def test_inputs_of_other_numbers_of_rows_are_refused_before_they_are_queued() -> None:
    made = session(
        [spec("a", None, 2), spec("b", None, 2)], [spec("y", None, 2)], lambda feeds: [feeds["a"] + feeds["b"]]
    )
    with pytest.raises(InputError, match="differ in their number of rows"):
        served(made).checked({"a": X, "b": np.ones((2, 2), np.float32)})


def test_a_model_without_rows_is_never_batched() -> None:
    fixed = session([spec("x", 3, 2)], [spec("y", 2)], lambda feeds: [feeds["x"].sum(axis=0)])
    model = served(fixed, BATCHES)
    first, second = answer(model, *({"x": np.full((3, 2), value, np.float32)} for value in (1, 2)))
    assert (first[0]["y"].tolist(), second[0]["y"].tolist()) == ([3, 3], [6, 6])
    assert first[1].batch_rows == 1


@pytest.mark.parametrize("plan", [None, SHORT, BATCHES], ids=["in-a-thread", "on-the-loop", "in-batches"])
def test_nan_is_answered_without_a_word_and_stays_with_its_request(plan: Plan | None) -> None:
    model = served(doubler(), plan)
    bad, good = {"x": np.array([[np.nan, 1]], np.float32)}, {"x": X}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = answer(model, model.checked(bad), model.checked(good))
    assert np.isnan(found[0][0]["y"][0, 0])
    assert found[1][0]["y"].tolist() == [[2, 4]]


@pytest.mark.parametrize("plan", [None, SHORT, BATCHES], ids=["in-a-thread", "on-the-loop", "in-batches"])
def test_a_deadline_that_has_passed_is_told_and_nothing_computed(plan: Plan | None) -> None:
    made = doubler()
    with pytest.raises(DeadlineError):
        answer(served(made, plan), {"x": X}, deadline=time.monotonic() - 1)
    assert made._engine.fed == []  # type: ignore[attr-defined]


def choosy(feeds: Mapping[str, Array]) -> Sequence[Array]:
    if feeds["x"].max() > 9:
        raise EngineError("indices out of range")
    return [feeds["x"] * 2]


@pytest.mark.parametrize("plan", [None, SHORT, BATCHES], ids=["in-a-thread", "on-the-loop", "in-batches"])
def test_numbers_that_the_engine_refuses_are_the_fault_of_their_request_alone(plan: Plan | None) -> None:
    made = session([spec("x", None, 2)], [spec("y", None, 2)], choosy)
    bad, good = answer(served(made, plan, {"x": X}), {"x": X * 100}, {"x": X})
    assert isinstance(bad, InputError)
    assert "does not run these inputs: indices out of range" in str(bad)
    assert good[0]["y"].tolist() == [[2, 4]]


def test_an_engine_that_runs_nothing_any_more_is_no_fault_of_a_request() -> None:
    def broken(_: Mapping[str, Array]) -> Sequence[Array]:
        raise EngineError("out of memory")

    made = session([spec("x", None, 2)], [spec("y", None, 2)], broken)
    with pytest.raises(EngineError, match="out of memory"):
        answer(served(made, SHORT, {"x": X}), {"x": X})


@pytest.mark.parametrize("plan", [None, SHORT], ids=["in-a-thread", "on-the-loop"])
def test_a_model_that_was_closed_says_so(plan: Plan | None) -> None:
    model = served(doubler(), plan)
    asyncio.run(model.close())
    with pytest.raises(NotReadyError, match="is being closed"):
        answer(model, {"x": X})
    asyncio.run(model.close())


def texts() -> Session:
    return session(
        [spec("text", None, 1, dtype="string")], [spec("size", None, 1)],
        lambda feeds: [np.array([[len(one)] for one in feeds["text"][:, 0]], np.float32)],
    )  # fmt: skip


def test_text_comes_as_bytes_and_is_read_as_utf_8() -> None:
    model = served(texts())
    feeds = model.checked({"text": np.array([["好".encode()], ["plain"]], object)})
    assert feeds["text"].tolist() == [["好"], ["plain"]]
    assert answer(model, feeds)[0]["size"].tolist() == [[1], [5]]


@pytest.mark.parametrize("value", [b"\xff", 3, None], ids=str)
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="input 'text'"):
        served(texts()).checked({"text": np.array([[value]], object)})
    with pytest.raises(InputError, match="input 'text'"):
        served(texts()).checked({"text": np.array([[1.5]])})


def test_no_text_at_all_is_taken() -> None:
    assert served(texts()).checked({"text": np.empty((0, 1), object)})["text"].shape == (0, 1)


@pytest.mark.parametrize("plan", [None, SHORT, BATCHES], ids=["in-a-thread", "on-the-loop", "in-batches"])
def test_raw_samples_go_through_the_steps(plan: Plan | None) -> None:
    results, spent = answer(served(doubler(ROW), plan), [{"a": 1, "b": 2}, [3, 4]], call="predict")
    assert [one.tolist() for one in results] == [[2, 4], [6, 8]]
    assert (spent.rows, spent.pre_ns > 0, spent.post_ns > 0) == (2, True, True)


def test_raw_samples_of_several_requests_share_a_run() -> None:
    found = answer(served(doubler(ROW), BATCHES), [[1, 2]], [[3, 4]], [[5, 6], [7, 8]], call="predict")
    assert [spent.batch_rows for _, spent in found] == [4, 4, 4]
    assert [one.tolist() for one in found[2][0]] == [[10, 12], [14, 16]]


def test_a_bad_sample_of_several_is_named() -> None:
    with pytest.raises(StepError, match="sample 2 of 3: "):
        answer(served(doubler(ROW)), [[1, 2], [1, 2, 3], [4, 5]], call="predict")


def test_a_bad_sample_alone_is_told_as_it_is() -> None:
    with pytest.raises(StepError) as refused:
        answer(served(doubler(ROW)), [[1, 2, 3]], call="predict")
    assert "sample" not in str(refused.value).split()[:1]


def test_no_samples_are_refused() -> None:
    with pytest.raises(InputError, match="got no samples"):
        answer(served(doubler(ROW)), [], call="predict")


def test_what_has_no_rows_for_its_samples_is_told() -> None:
    made = session([spec("x", None, 2)], [spec("y", 2)], lambda feeds: [feeds["x"].sum(axis=0)], ROW)
    with pytest.raises(InputError, match="not one row for each sample"):
        answer(served(made), [[1, 2]], call="predict")


@pytest.mark.parametrize("plan", [None, SHORT, BATCHES], ids=["in-a-thread", "on-the-loop", "in-batches"])
def test_samples_of_a_model_with_state_follow_each_other(plan: Plan | None) -> None:
    first, second = answer(served(counter(), plan), [[1], [2], [3]], [[10], [20]], call="predict")
    assert [one.tolist() for one in first[0]] == [[1], [3], [6]]
    assert [one.tolist() for one in second[0]] == [[10], [30]]
    assert first[1].rows == 3


def test_a_bad_sample_of_a_model_with_state_is_named() -> None:
    with pytest.raises(StepError, match="sample 2 of 2: "):
        answer(served(counter()), [[1], [1, 2]], call="predict")


def test_a_state_may_be_left_out_of_the_tensors() -> None:
    model = served(counter(), SHORT)
    one = np.ones((1, 1), np.float32)
    assert model.checked({"x": one})["seen"].tolist() == [[0]]
    outputs, _ = answer(model, model.checked({"x": one, "seen": one * 5}))
    assert outputs["next"].tolist() == [[6]]


IMAGE = Steps(inputs={"x": (Step("image", {"mode": "grayscale"}), Step("scale", {"factor": 1.0}))})


@pytest.mark.parametrize("sample", ["/etc/hostname", Path("/etc/hostname")], ids=["text", "path"])
@pytest.mark.parametrize("by_name", [False, True], ids=["bare", "by-name"])
def test_a_request_never_names_a_file(tmp_path: Path, sample: object, by_name: bool) -> None:
    made = session([spec("x", None, 2, 2, 1)], [spec("y", None, 2, 2, 1)], lambda feeds: [feeds["x"]], IMAGE)
    with pytest.raises(InputError, match=r"sample 2 of 2: 'x' is a text; .*no path"):
        answer(served(made), [np.zeros((2, 2), np.uint8), {"x": sample} if by_name else sample], call="predict")


def test_a_path_is_no_row_either() -> None:
    with pytest.raises(InputError, match="no path"):
        answer(served(doubler(ROW)), [Path("rows.csv")], call="predict")


@pytest.mark.parametrize("variant", ["onnx-float32", "tflite-float32"])
@pytest.mark.parametrize("rows", ["auto", 1, 8])
def test_a_pack_is_opened_proved_and_measured(mlp_pack: Path, variant: str, rows: int | str) -> None:
    model = open_served(mlp_pack, "mlp", "3", ModelSettings(variant=variant, batch=BatchSettings(max_rows=rows)))
    assert (model.name, model.version, model.session.variant) == ("mlp", "3", variant)
    assert model.plan.max_rows == (8 if rows == 8 else 1)  # a net of a few numbers never gains by waiting
    assert "µs alone" in model.plan.reason
    given, wanted = packs.outputs("mlp")
    outputs, _ = answer(model, model.checked(given))
    np.testing.assert_allclose(outputs["y"], wanted["y"], atol=packs.TOLERANCE)


def test_a_pack_without_golden_samples_is_measured_on_made_up_ones(tmp_path: Path) -> None:
    manifest, files = packs.mlp(goldens=())
    path = packs.write(tmp_path / "mlp.edgepack", (manifest, files))
    model = open_served(path, "mlp", "1", ModelSettings())
    assert "µs alone" in model.plan.reason
    asyncio.run(model.close())


def test_a_bare_file_is_opened(tmp_path: Path) -> None:
    model = open_served(packs.ZOO / "mlp.onnx", "mlp", "1", ModelSettings())
    given, wanted = packs.outputs("mlp")
    np.testing.assert_allclose(answer(model, model.checked(given))[0]["y"], wanted["y"], atol=packs.TOLERANCE)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad.edgepack").write_bytes(b"PK")
    with pytest.raises(EdgepackError):
        open_served(tmp_path / "bad.edgepack", "bad", "1", ModelSettings())


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="max_rows is 'some'"):
        open_served(packs.ZOO / "mlp.onnx", "mlp", "1", ModelSettings(batch=BatchSettings(max_rows="some")))


def test_results_are_those_of_the_session(tiles_pack: Path) -> None:
    rng = np.random.default_rng(0)
    samples = [rng.integers(0, 256, (4, 4), dtype=np.uint8) for _ in range(3)]
    with load(tiles_pack) as alone:
        wanted = alone.predict(samples)
    results, _ = answer(open_served(tiles_pack, "tiles", "1", ModelSettings()), samples, call="predict")
    assert results == wanted
