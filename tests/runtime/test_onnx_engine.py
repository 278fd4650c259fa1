"""What the ONNX engine does beside what all engines do: strictness, placement, and results in given arrays."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgepack.runtime.engines import Opening, open_file
from edgepack.runtime.engines.onnx import OnnxEngine
from edgepack.runtime.errors import EngineError, InputError
from edgepack.runtime.tensor import Array
from tests.zoo.packs import TOLERANCE, ZOO, outputs

CPU = "CPUExecutionProvider"


def opened(name: str, **options: object) -> OnnxEngine:
    engine = open_file("onnx", (ZOO / name).read_bytes(), Opening(CPU, **options))  # type: ignore[arg-type]
    assert isinstance(engine, OnnxEngine)
    return engine


def made(nodes: list[object], inputs: dict[str, object], results: dict[str, object]) -> OnnxEngine:
    """A file of float32 tensors, opened."""
    from onnx import TensorProto, helper

    def values(tensors: dict[str, object]) -> list[object]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors.items()]

    graph = helper.make_graph(nodes, "g", values(inputs), values(results))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return OnnxEngine(model.SerializeToString(), Opening(CPU))


@pytest.mark.parametrize("strict", [False, True], ids=["loose", "strict"])
@pytest.mark.parametrize("spinning", [False, True], ids=["sleeping", "spinning"])
def test_the_cpu_takes_every_operator(strict: bool, spinning: bool) -> None:
    engine = opened("mlp.onnx", strict=strict, spinning=spinning, threads=2)
    given, wanted = outputs("mlp")
    assert (engine.provider, engine.elsewhere) == ("cpu", ())
    assert list(engine.placement) == [CPU]
    assert engine.placement[CPU] >= 1
    np.testing.assert_allclose(engine.run(given)[0], wanted["y"], atol=TOLERANCE)


def test_options_that_the_cpu_would_pass_over_are_refused() -> None:
    with pytest.raises(EngineError, match="CPUExecutionProvider takes no options, got 'bogus'"):
        opened("mlp.onnx", options={"bogus": "1"})


def test_a_provider_that_is_not_here_is_refused_not_replaced() -> None:
    with pytest.raises(EngineError, match=r"CUDAExecutionProvider is not here: .* was built without it"):
        OnnxEngine((ZOO / "mlp.onnx").read_bytes(), Opening("CUDAExecutionProvider"))


def test_results_are_written_into_the_callers_array() -> None:
    engine, (given, wanted) = opened("mlp.onnx"), outputs("mlp")
    y = np.full((9, 3), 7, np.float32)
    engine.run_into({"x": given["x"]}, [y])
    np.testing.assert_allclose(y, wanted["y"], atol=TOLERANCE)


def test_what_was_written_into_an_input_in_place_is_seen() -> None:
    engine, (given, wanted) = opened("mlp.onnx"), outputs("mlp")
    x, y = np.empty((1, 4), np.float32), np.empty((1, 3), np.float32)
    for row in range(9):
        x[:] = given["x"][row]
        engine.run_into({"x": x}, [y])
        np.testing.assert_allclose(y[0], wanted["y"][row], atol=TOLERANCE)


def test_other_arrays_may_come_with_each_call() -> None:
    engine, (given, wanted) = opened("mlp.onnx"), outputs("mlp")
    rng = np.random.default_rng(0)
    buffers = {rows: [np.empty((rows, 3), np.float32) for _ in range(6)] for rows in (1, 2, 5)}
    for _ in range(200):
        rows = int(rng.choice(list(buffers)))
        start = int(rng.integers(0, 9 - rows + 1))
        y = buffers[rows][int(rng.integers(6))]
        engine.run_into({"x": given["x"][start : start + rows]}, [y])
        np.testing.assert_allclose(y, wanted["y"][start : start + rows], atol=TOLERANCE)


@pytest.mark.parametrize("lay", [np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2]], ids=["fortran", "gaps"])
@pytest.mark.parametrize("width", [4, 40_000], ids=["small", "large"])
def test_any_layout_of_an_input_is_taken(lay: "np.ufunc", width: int) -> None:
    from onnx import helper

    engine = made([helper.make_node("Neg", ["x"], ["y"])], {"x": ["n", width]}, {"y": ["n", width]})
    x, y = np.random.default_rng(0).random((2, width), dtype=np.float32), np.empty((2, width), np.float32)
    for factor in (1, 2):
        engine.run_into({"x": lay(x * np.float32(factor))}, [y])
        np.testing.assert_array_equal(y, -x * np.float32(factor))


@pytest.mark.parametrize("size", [8, 40_000], ids=["small", "large"])
def test_a_buffer_may_be_the_input_itself(size: int) -> None:
    from onnx import helper

    nodes = [helper.make_node("CumSum", ["x", "axis"], ["y"], reverse=1)]
    axis = helper.make_node("Constant", [], ["axis"], value_int=0)
    engine = made([axis, *nodes], {"x": [size]}, {"y": [size]})
    for _ in range(3):
        x = np.ones(size, np.float32)
        engine.run_into({"x": x}, [x])
        np.testing.assert_array_equal(x, np.arange(size, 0, -1, dtype=np.float32))


def test_a_large_input_that_is_changed_in_place_is_seen() -> None:
    from onnx import helper

    engine = made([helper.make_node("Neg", ["x"], ["y"])], {"x": [1, 40_000]}, {"y": [1, 40_000]})
    x, y = np.zeros((1, 40_000), np.float32), np.empty((1, 40_000), np.float32)
    for value in (1, 2, 3):
        x[:] = value
        engine.run_into({"x": x}, [y])
        assert (y == -value).all()


@pytest.mark.parametrize("operator", ["Identity", "Dropout"])
def test_an_output_that_is_an_input_is_written_too(operator: str) -> None:
    from onnx import helper

    engine = made([helper.make_node(operator, ["x"], ["y"])], {"x": ["n", 4]}, {"y": ["n", 4]})
    x, y = np.ones((2, 4), np.float32), np.zeros((2, 4), np.float32)
    for value in (1, 2):
        x[:] = value
        engine.run_into({"x": x}, [y])
        np.testing.assert_array_equal(y, x)


def test_an_output_that_is_constant_is_written_too() -> None:
    from onnx import helper

    nodes = [
        helper.make_node("Constant", [], ["c"], value_floats=[1.0, 2.0]), helper.make_node("Neg", ["x"], ["y"])
    ]  # fmt: skip
    engine = made(nodes, {"x": [2]}, {"y": [2], "c": [2]})
    y, c = np.zeros(2, np.float32), np.zeros(2, np.float32)
    for _ in range(2):
        c[:] = 0
        engine.run_into({"x": np.ones(2, np.float32)}, [y, c])
        np.testing.assert_array_equal(c, [1, 2])
        np.testing.assert_array_equal(y, [-1, -1])


def test_several_inputs_and_outputs_keep_their_places() -> None:
    engine, (given, wanted) = opened("pair.onnx"), outputs("pair")
    buffers = [np.empty((9, 2), np.float32) for _ in engine.outputs]
    for factor in (1, 2):
        feeds = {name: array * np.float32(factor) for name, array in given.items()}
        engine.run_into(feeds, buffers)
        found = dict(zip((spec.name for spec in engine.outputs), buffers, strict=True))
        np.testing.assert_allclose(found["total"], wanted["total"] * factor, atol=TOLERANCE)
        np.testing.assert_allclose(found["product"], wanted["product"] * factor**2, atol=4 * TOLERANCE)


def test_buffers_in_another_order_are_not_taken_for_those_before() -> None:
    engine, (given, wanted) = opened("pair.onnx"), outputs("pair")
    one, other = np.empty((9, 2), np.float32), np.empty((9, 2), np.float32)
    names = [spec.name for spec in engine.outputs]
    for buffers in ([one, other], [other, one], [one, other]):
        engine.run_into(given, buffers)
        for name, array in zip(names, buffers, strict=True):
            np.testing.assert_allclose(array, wanted[name], atol=TOLERANCE)


@pytest.mark.parametrize(
    ("buffers", "said"),
    [
        ([np.empty((1, 3))], r"the buffer of output 'y' is float64 \(1, 3\); the model gives float32 \(any, 3\)"),
        ([np.empty((1, 4), np.float32)], r"is float32 \(1, 4\); the model gives float32 \(any, 3\)"),
        ([np.empty((1, 6), np.float32)[:, ::2]], "is not contiguous or not writable"),
        ([np.broadcast_to(np.float32(0), (1, 3))], "is not contiguous or not writable"),
        ([np.empty((1, 3), np.float32)] * 2, "got 2 buffers; give one for each output: 'y'"),
    ],
    ids=["type", "shape", "gaps", "read-only", "number"],
)
def test_a_buffer_that_does_not_fit_is_refused(buffers: list[Array], said: str) -> None:
    with pytest.raises(InputError, match=said):
        opened("mlp.onnx").run_into({"x": np.zeros((1, 4), np.float32)}, buffers)


def test_a_buffer_too_many_is_refused_after_a_call_that_was_right() -> None:
    engine, y = opened("mlp.onnx"), np.empty((1, 3), np.float32)
    x = np.zeros((1, 4), np.float32)
    engine.run_into({"x": x}, [y])
    with pytest.raises(InputError, match="got 2 buffers"):
        engine.run_into({"x": x}, [y, y])


def test_no_buffer_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="got 0 buffers"):
        opened("mlp.onnx").run_into({"x": np.zeros((1, 4), np.float32)}, [])


def test_a_buffer_of_another_number_of_rows_is_refused_and_left_as_it_is() -> None:
    engine, y = opened("mlp.onnx"), np.full((2, 3), 7, np.float32)
    for _ in range(2):
        with pytest.raises(EngineError, match="failed on these inputs"):
            engine.run_into({"x": np.zeros((5, 4), np.float32)}, [y])
    assert (y == 7).all()
    engine.run_into({"x": np.zeros((2, 4), np.float32)}, [y])
    assert (y != 7).all()


def test_threads_write_into_their_own_arrays() -> None:
    engine, (given, wanted) = opened("mlp.onnx"), outputs("mlp")
    start = threading.Barrier(8)

    def ask(worker: int) -> float:
        x, y = np.empty((1, 4), np.float32), np.empty((1, 3), np.float32)
        start.wait()
        worst = 0.0
        for turn in range(500):
            row = (worker + turn) % 9
            x[:] = given["x"][row]
            engine.run_into({"x": x}, [y])
            worst = max(worst, float(np.abs(y - wanted["y"][row]).max()))
        return worst

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(ask, range(8))) <= TOLERANCE


def test_threads_that_share_a_buffer_do_not_bring_the_process_down() -> None:
    engine, y = opened("mlp.onnx"), np.empty((1, 3), np.float32)
    x = np.zeros((1, 4), np.float32)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: [engine.run_into({"x": x}, [y]) for _ in range(200)], range(4)))
    np.testing.assert_allclose(y, engine.run({"x": x})[0], atol=TOLERANCE)


def test_an_engine_that_nobody_holds_is_freed_at_once() -> None:
    engine, y = opened("mlp.onnx"), np.empty((1, 3), np.float32)
    engine.run_into({"x": np.zeros((1, 4), np.float32)}, [y])
    watched = weakref.ref(engine._session)
    gc.disable()
    try:
        del engine
        assert watched() is None
    finally:
        gc.enable()


def test_a_closed_engine_holds_no_buffer() -> None:
    engine, y = opened("mlp.onnx"), np.empty((1, 3), np.float32)
    engine.run_into({"x": np.zeros((1, 4), np.float32)}, [y])
    watched = weakref.ref(y)
    del y
    assert watched() is not None
    engine.close()
    assert watched() is None


def test_a_closed_engine_writes_no_more() -> None:
    engine, y = opened("mlp.onnx"), np.empty((1, 3), np.float32)
    engine.run_into({"x": np.zeros((1, 4), np.float32)}, [y])
    engine.close()
    with pytest.raises(EngineError, match="was closed"):
        engine.run_into({"x": np.zeros((1, 4), np.float32)}, [y])
