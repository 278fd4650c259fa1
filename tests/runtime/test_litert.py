"""The LiteRT engine: interpreters for many threads, files that keep state, streams, arrays of the caller's."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from edgepack.runtime import engines
from edgepack.runtime.device import usable_cores
from edgepack.runtime.engines.base import Opening
from edgepack.runtime.engines.tflite_state import State, state_of
from edgepack.runtime.errors import EngineError
from edgepack.runtime.tensor import Array
from tests.zoo.packs import TOLERANCE, ZOO, outputs

pytestmark = pytest.mark.skipif("litert" not in engines.available(), reason="engine 'litert' is not installed")

KEEPING = {"lstm": "lstm", "tally": "tally", "tally_new": "tally"}  # file -> whose answers are stored
FILES = {"mlp": "mlp", "mlp_free": "mlp", "pair": "pair", **KEEPING}


def opened(file: str, **options: str) -> Any:
    return engines.open_file("litert", (ZOO / f"{file}.tflite").read_bytes(), Opening("XNNPACK", options=options))


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=KEEPING)
def keeping(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def rows(file: str) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
    """Single rows and what each gives alone."""
    given, wanted = outputs(FILES[file])
    for row in range(len(next(iter(given.values())))):
        yield ({name: array[row : row + 1] for name, array in given.items()},
               {name: array[row : row + 1] for name, array in wanted.items()})  # fmt: skip


def onward(file: str) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
    """Single rows and what each gives after those before it."""
    with np.load(ZOO / f"{KEEPING[file]}.npz") as stored:
        for row in range(len(stored["in_x"])):
            yield (
                {"x": stored["in_x"][row : row + 1]},
                {
                    name.removeprefix("onward_"): stored[name][row : row + 1]
                    for name in stored.files
                    if name.startswith("onward_")
                },
            )


def distance(engine: "engines.Engine", feeds: dict[str, Array], wanted: dict[str, Array]) -> float:
    found = dict(zip((spec.name for spec in engine.outputs), engine.run(feeds), strict=True))
    assert found.keys() == wanted.keys()
    return max(float(np.abs(found[name] - array).max()) for name, array in wanted.items())


def test_many_threads_get_their_own_answers(file: str) -> None:
    engine, cases = opened(file), list(rows(file))
    start = threading.Barrier(8)

    def work(worker: int) -> float:
        start.wait()
        turns = (cases[(worker + turn) % len(cases)] for turn in range(200))
        return max(distance(engine, *case) for case in turns)

    with ThreadPoolExecutor(8) as threads:
        assert max(threads.map(work, range(8))) <= TOLERANCE
    engine.close()


@pytest.mark.parametrize(("small_bytes", "a_core"), [(0, 1), (2**22, 4)], ids=["large", "small"])
def test_there_are_only_so_many_interpreters_a_core(
    monkeypatch: pytest.MonkeyPatch, small_bytes: int, a_core: int
) -> None:
    monkeypatch.setattr("edgepack.runtime.engines.litert._SMALL_BYTES", small_bytes)
    engine = opened("mlp")
    (feeds, _), *_ = rows("mlp")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: [engine.run(feeds) for _ in range(500)], range(8)))
    assert len(engine._pool.idle) <= a_core * usable_cores()
    engine.close()


def test_closing_while_runs_are_under_way_ends_them_cleanly(file: str) -> None:
    engine, cases = opened(file), list(rows(file))
    running = threading.Barrier(5)

    def work(worker: int) -> str:
        distance(engine, *cases[worker])
        running.wait()
        try:
            while True:
                assert distance(engine, *cases[worker]) <= TOLERANCE
        except EngineError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        told = [threads.submit(work, worker) for worker in range(4)]
        running.wait()
        engine.close()
        assert {future.result(60) for future in told} == {"this session was closed; load the file again"}


def test_a_file_of_free_sizes_is_laid_out_by_each_thread_for_itself() -> None:
    engine = opened("mlp_free")
    given, wanted = outputs("mlp")

    def work(count: int) -> float:
        return max(float(np.abs(engine.run({"x": given["x"][:count]})[0] - wanted["y"][:count]).max())
                   for _ in range(100))  # fmt: skip

    with ThreadPoolExecutor(4) as threads:
        assert max(threads.map(work, (1, 3, 5, 9))) <= TOLERANCE
    engine.close()


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("mlp", State()),
        ("mlp_free", State()),
        ("lstm", State(variables=True)),
        ("tally", State(resources=True, first_values=(1,))),
    ],
)
def test_the_state_that_a_file_keeps_is_read_from_it(name: str, state: State) -> None:
    assert state_of((ZOO / f"{name}.tflite").read_bytes()) == state


def test_a_file_whose_first_values_cannot_be_seen_needs_a_new_interpreter() -> None:
    found = state_of((ZOO / "tally_new.tflite").read_bytes())
    assert found.kept
    assert found.needs_new_interpreter


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.6, 0.9], ids=lambda share: f"{share:.0%}")
def test_a_file_that_cannot_be_read_to_its_end_is_taken_to_keep_the_worst(keep: float) -> None:
    data = (ZOO / "tally.tflite").read_bytes()
    assert state_of(data[: int(len(data) * keep)]).needs_new_interpreter


def test_the_engine_tells_whether_a_file_keeps_state(file: str) -> None:
    assert opened(file).keeps_state is (file in KEEPING)


def test_the_same_input_gives_the_same_answer_in_any_order(keeping: str) -> None:
    engine, cases = opened(keeping), list(rows(keeping))
    for case in (*cases, *reversed(cases), cases[0], cases[0]):
        assert distance(engine, *case) <= TOLERANCE


def test_a_stream_goes_on_where_the_last_run_ended(keeping: str) -> None:
    stream = opened(keeping).stream()
    for case in onward(keeping):
        assert distance(stream, *case) <= TOLERANCE
    stream.close()


def test_streams_disturb_neither_each_other_nor_the_engine(keeping: str) -> None:
    engine, alone, going_on = opened(keeping), list(rows(keeping)), list(onward(keeping))
    one, other = engine.stream(), engine.stream()
    for row, case in enumerate(going_on):
        assert distance(one, *case) <= TOLERANCE
        assert distance(engine, *alone[row]) <= TOLERANCE
        if row % 2:
            assert distance(other, *going_on[row // 2]) <= TOLERANCE


def test_a_stream_that_is_reset_begins_anew(keeping: str) -> None:
    stream = opened(keeping).stream()
    for _ in range(3):
        for case in onward(keeping):
            assert distance(stream, *case) <= TOLERANCE
        stream.reset()


def test_a_stream_outlives_its_engine_and_ends_by_itself(keeping: str) -> None:
    engine = opened(keeping)
    stream, (case, *_) = engine.stream(), onward(keeping)
    engine.close()
    assert distance(stream, *case) <= TOLERANCE
    stream.close()
    stream.close()
    with pytest.raises(EngineError, match="was closed"):
        stream.run(case[0])
    with pytest.raises(EngineError, match="was closed"):
        engine.stream()


def test_a_file_that_keeps_state_is_not_resized(keeping: str) -> None:
    with pytest.raises(EngineError, match="resizes no file that keeps state"):
        opened(keeping).resized(4)


def test_results_are_written_into_arrays_of_the_callers(file: str) -> None:
    engine = opened(file)
    for feeds, wanted in rows(file):
        found = {spec.name: np.empty_like(wanted[spec.name]) for spec in engine.outputs}
        engine.run_into(feeds, list(found.values()))
        for name, array in wanted.items():
            np.testing.assert_allclose(found[name], array, atol=TOLERANCE)


def test_a_stream_writes_into_arrays_of_the_callers(keeping: str) -> None:
    stream = opened(keeping).stream()
    for feeds, wanted in onward(keeping):
        found = {spec.name: np.empty_like(wanted[spec.name]) for spec in stream.outputs}
        stream.run_into(feeds, list(found.values()))
        for name, array in wanted.items():
            np.testing.assert_allclose(found[name], array, atol=TOLERANCE)


@pytest.mark.parametrize(
    "array", [np.empty((1, 4), np.float32), np.empty((1, 3), np.float64), np.empty(3, np.float32)],
    ids=["larger", "wider", "fewer-axes"],
)  # fmt: skip
def test_an_array_that_does_not_fit_the_result_is_refused(array: Array) -> None:
    (feeds, _), *_ = rows("mlp")
    with pytest.raises(EngineError, match=r"the result is float32 \(1, 3\), the array to write it to"):
        opened("mlp").run_into(feeds, [array])


def test_without_xnnpack_the_interpreter_runs_all_itself() -> None:
    engine = opened("mlp", xnnpack="off")
    assert engine.placement == {"interpreter": 2}
    for case in rows("mlp"):
        assert distance(engine, *case) <= TOLERANCE


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"xnn": "off"}, r"unknown option of XNNPACK 'xnn' \(known: xnnpack\)"),
        ({"xnnpack": "no"}, r"unknown value of option 'xnnpack' 'no' \(known: on, off\)"),
    ],
    ids=["name", "value"],
)
def test_an_option_that_there_is_none_of_is_refused(options: dict[str, str], told: str) -> None:
    with pytest.raises(EngineError, match=told):
        opened("mlp", **options)
