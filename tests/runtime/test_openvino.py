"""What OpenVINO alone does, beside what every engine does: see `WAYS` in conftest.py."""

import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.runtime import engines, providers
from edgepack.runtime.engines import Opening, file_names
from edgepack.runtime.engines.base import Engine
from edgepack.runtime.engines.file_names import Name
from edgepack.runtime.errors import EngineError
from edgepack.runtime.tensor import Array
from tests.conftest import Child
from tests.zoo.packs import TOLERANCE, ZOO, outputs

pytest.importorskip("openvino")

from edgepack.runtime.engines.openvino import OpenvinoEngine
from edgepack.runtime.engines.openvino_lane import Lane
from edgepack.runtime.engines.openvino_library import core, library
from edgepack.runtime.engines.openvino_providers import missing
from edgepack.runtime.engines.openvino_stream import OpenvinoStream

_WITH_STATE = {"lstm.tflite", "tally.tflite", "tally_new.tflite"}  # OpenVINO refuses state in a TFLite file
FILES = sorted(
    path.name for ending in ("onnx", "tflite") for path in ZOO.glob(f"*.{ending}") if path.name not in _WITH_STATE
)


def opened(name: str, **how: Any) -> OpenvinoEngine:
    return OpenvinoEngine((ZOO / name).read_bytes(), Opening("openvino:CPU", **how))


@pytest.fixture
def mlp() -> Iterator[OpenvinoEngine]:
    engine = opened("mlp.onnx")
    yield engine
    engine.close()


@pytest.mark.parametrize("name", FILES)
def test_names_shapes_and_types_are_those_of_the_formats_own_engine(name: str) -> None:
    first = engines.for_format(name.rpartition(".")[2])[0]
    data = (ZOO / name).read_bytes()
    own, found = (engines.open_file(each, data, Opening(engines.own_cpu(each))) for each in (first, "openvino"))
    assert (found.inputs, found.outputs) == (own.inputs, own.outputs)
    assert found.metadata == own.metadata


@pytest.mark.parametrize("name", sorted(_WITH_STATE))
def test_a_tflite_file_with_state_is_refused_in_words(name: str) -> None:
    with pytest.raises(EngineError, match=r"OpenVINO .* refuses the file"):
        opened(name)


def test_float32_stays_float32() -> None:
    given, wanted = outputs("mlp")
    engine = opened("mlp.onnx")
    np.testing.assert_allclose(engine.run({"x": given["x"]})[0], wanted["y"], atol=TOLERANCE)
    assert engine._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"


def test_what_is_allowed_to_be_reduced_is_left_to_the_library() -> None:
    engine, plain = opened("mlp.onnx", reduced=True), core().compile_model(str(ZOO / "mlp.onnx"), "CPU")
    for name in ("INFERENCE_PRECISION_HINT", "EXECUTION_MODE_HINT"):
        assert engine._compiled.get_property(name) == plain.get_property(name)


def test_options_reach_the_library() -> None:
    for name in ("LATENCY", "THROUGHPUT"):
        engine = opened("mlp.onnx", options={"PERFORMANCE_HINT": name})
        assert engine._compiled.get_property("PERFORMANCE_HINT") == name
    with pytest.raises(EngineError, match=r"refuses the file: .*NO_SUCH_OPTION"):
        opened("mlp.onnx", options={"NO_SUCH_OPTION": "1"})


@pytest.mark.parametrize("kind", ["INT16", "INT8"])
def test_activations_in_int16_are_refused_for_they_come_out_wrong(kind: str) -> None:
    onnx = pytest.importorskip("onnx")
    helper, element = onnx.helper, getattr(onnx.TensorProto, kind)
    scale = [
        helper.make_tensor("scale", onnx.TensorProto.FLOAT, [], [0.1]),
        helper.make_tensor("zero", element, [], [0]),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], scale)
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()
    if kind == "INT8":
        engines.open_file("openvino", data, Opening("CPU")).close()
        return
    with pytest.raises(EngineError, match="OpenVINO gives wrong numbers for activations in int16"):
        engines.open_file("openvino", data, Opening("CPU"))


def test_where_it_runs_is_read_back() -> None:
    engine = opened("pair.tflite", strict=True)
    assert engine.provider == "cpu"
    assert engine.placement.keys() == {"openvino:CPU"}
    assert engine.placement["openvino:CPU"] >= 2  # a sum and a product


@pytest.mark.parametrize("device", ["GPU", "NPU"])
def test_a_device_that_is_not_there_is_refused_in_the_librarys_words(device: str) -> None:
    if any(name.startswith(device) for name in core().available_devices):
        pytest.skip(f"this machine has a {device}")
    with pytest.raises(EngineError, match=r"OpenVINO [\d.]+ refuses the file: "):
        OpenvinoEngine((ZOO / "mlp.onnx").read_bytes(), Opening(f"openvino:{device}"))
    (offer,) = (one for one in engines.offers("openvino") if one.name == f"openvino:{device}")
    assert offer.look is not None
    assert f"OpenVINO finds no {device}" in offer.look().why_not


def test_the_cpu_is_found_and_named() -> None:
    (offer,) = (one for one in engines.offers("openvino") if one.kind == "cpu")
    assert offer.look is not None
    found = offer.look()
    assert (found.why_not, found.software) == ("", False)
    assert found.device


def test_a_driver_that_left_no_device_is_missing(tmp_path: Path) -> None:
    said = missing(("dri/renderD*", "dxg"), "install it", tmp_path)
    assert said == f"this system has no {tmp_path}/dri/renderD* or {tmp_path}/dxg; install it"
    (tmp_path / "dri").mkdir()
    (tmp_path / "dri" / "renderD128").touch()
    assert missing(("dri/renderD*", "dxg"), "install it", tmp_path) == ""


def test_its_providers_have_names_of_their_own() -> None:
    own = set(providers.of_engine("openvino"))
    others = {name for engine in engines.known() if engine != "openvino" for name in providers.of_engine(engine)}
    assert own == {"openvino:CPU", "openvino:GPU", "openvino:NPU"}
    assert not own & others


@pytest.mark.parametrize("name", ["pair.onnx", "pair.tflite"])
def test_answers_are_written_into_the_callers_arrays(name: str) -> None:
    engine = opened(name)
    given = {key: array[:1] for key, array in outputs("pair")[0].items()}
    wanted = engine.run(given)
    places = [np.full_like(array, 7) for array in wanted]
    engine.run_into(given, places)
    for place, array in zip(places, wanted, strict=True):
        np.testing.assert_array_equal(place, array)


@pytest.mark.parametrize("array", [np.empty((2, 3), np.float32), np.empty((1, 3), np.float64)], ids=["shape", "type"])
def test_arrays_that_do_not_fit_the_answers_are_refused(mlp: OpenvinoEngine, array: Array) -> None:
    with pytest.raises(EngineError, match="failed on these inputs: output 0 is float32"):
        mlp.run_into({"x": np.zeros((1, 4), np.float32)}, [array])


def test_nothing_is_broadcast_into_a_file_of_fixed_size() -> None:
    with pytest.raises(EngineError, match="failed on these inputs"):
        opened("mlp_batch4.onnx").run({"x": np.zeros((1, 4), np.float32)})


def test_a_closed_engine_does_not_run(mlp: OpenvinoEngine) -> None:
    mlp.close()
    with pytest.raises(EngineError, match="closed"):
        mlp.run({"x": np.zeros((1, 4), np.float32)})
    with pytest.raises(EngineError, match="closed"):
        mlp.stream()


def test_many_threads_on_one_session_get_their_own_answers() -> None:
    given, wanted = outputs("mlp")
    start = threading.Barrier(8)
    with edgepack.load(ZOO / "mlp.onnx", engine="openvino", threads=1) as session, ThreadPoolExecutor(8) as pool:

        def ask(worker: int) -> float:
            start.wait()
            worst = 0.0
            for turn in range(300):
                row = (worker + turn) % 9
                found = session.run({"x": given["x"][row : row + 1]})["y"]
                worst = max(worst, float(np.abs(found[0] - wanted["y"][row]).max()))
            return worst

        assert max(pool.map(ask, range(8))) <= TOLERANCE


# State. Neither format's reader makes any today, so the model is made with the library itself.


class Summing:
    """The lane of a model that adds what it is given to what it was given before, and a stream on another."""

    name, provider, placement, metadata = engines.EngineName("openvino", "OpenVINO"), "cpu", {"openvino:CPU": 2}, {}
    inputs = outputs = ()
    run: Any = None
    close: Any = None

    def __init__(self) -> None:
        from openvino import opset13 as ops

        ov = library()
        given = ops.parameter([1, 2], np.float32, name="x")
        info = ov.op.util.VariableInfo()
        info.data_shape, info.data_type, info.variable_id = ov.PartialShape([1, 2]), ov.Type.f32, "total"
        variable = ov.op.util.Variable(info)
        before = ops.read_value(ops.constant(np.zeros((1, 2), np.float32)), variable)
        total = ops.add(before, given)
        model = ov.Model([ops.result(total)], [ops.assign(total, variable)], [given], "summing")
        self.compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def lane(self, *, remembers: bool = False) -> Lane:
        return Lane(self.compiled, [("x", 0)], [0], remembers=remembers)

    def stream(self) -> OpenvinoStream:
        engine: Engine = self
        return OpenvinoStream(engine, self.lane(remembers=True))


ONES = {"x": np.ones((1, 2), np.float32)}


def test_each_run_begins_anew() -> None:
    lane = Summing().lane()
    assert lane.keeps_state
    assert [float(lane.run(ONES)[0][0, 0]) for _ in range(3)] == [1, 1, 1]


def test_a_stream_goes_on_and_forgets_when_told() -> None:
    stream = Summing().stream()
    assert [float(stream.run(ONES)[0][0, 0]) for _ in range(3)] == [1, 2, 3]
    stream.reset()
    assert float(stream.run(ONES)[0][0, 0]) == 1
    place = np.empty((1, 2), np.float32)
    stream.run_into(ONES, [place])
    assert place.tolist() == [[2, 2]]


def test_streams_do_not_disturb_each_other() -> None:
    summing = Summing()
    one, other, plain = summing.stream(), summing.stream(), summing.lane()
    found = [float(runner.run(ONES)[0][0, 0]) for runner in (one, one, other, plain, one, other)]
    assert found == [1, 2, 1, 1, 3, 2]


def test_a_closed_stream_does_not_run() -> None:
    stream = Summing().stream()
    stream.close()
    stream.close()
    for call in (lambda: stream.run(ONES), stream.reset):
        with pytest.raises(EngineError, match="closed"):
            call()


def test_a_file_without_state_keeps_none(mlp: OpenvinoEngine) -> None:
    assert not mlp.keeps_state


# What the library brings with it


_IMPORTED = """
import json, os, sys, threading, edgepack
before = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
session = edgepack.load(sys.argv[1], engine="openvino", threads=1)
import openvino
print(json.dumps([name in sys.modules for name in ("openvino_telemetry", "openvino.tools.ovc")]))
print(threading.active_count())
"""


def test_nothing_is_reported_to_anybody_and_stdout_stays_clean(child: Child) -> None:
    done = child(_IMPORTED, ZOO / "mlp.tflite")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[False, False], 1], done.stderr


def test_the_rest_of_the_library_is_there_for_who_wants_it(child: Child) -> None:
    code = (
        "import edgepack, os, sys\nos.environ['CI'] = 'true'  # it reports nothing from there\n"
        "edgepack.load(sys.argv[1], engine='openvino')\nimport openvino\n"
        "print(openvino.convert_model.__module__, hasattr(openvino, 'no_such_name'))"
    )
    done = child(code, ZOO / "mlp.onnx")
    assert done.stdout == "openvino.tools.ovc.convert False\n", done.stderr


# Names read from files


@pytest.mark.parametrize("name", ["mlp", "pair"])
def test_both_formats_give_the_models_own_names(name: str) -> None:
    onnx = file_names.of_onnx((ZOO / f"{name}.onnx").read_bytes())
    tflite = file_names.of_tflite((ZOO / f"{name}.tflite").read_bytes())
    for part in (0, 1):
        assert {one.given for one in onnx[part]} == {one.given for one in tflite[part]}
    assert all(one.tensor == one.given for one in (*onnx[0], *onnx[1]))


def test_an_onnx_input_that_has_a_value_is_none() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(ZOO / "mlp.onnx")
    for tensor in model.graph.initializer:
        model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    assert file_names.of_onnx(model.SerializeToString())[0] == (Name("x", "x"),)
    engine = OpenvinoEngine(model.SerializeToString(), Opening("openvino:CPU"))
    assert [spec.name for spec in engine.inputs] == ["x"]


@pytest.mark.parametrize("seed", range(20))
def test_reading_names_ends_on_any_bytes(seed: int) -> None:
    random = np.random.default_rng(seed)
    for name, read in (("pair.onnx", file_names.of_onnx), ("pair.tflite", file_names.of_tflite)):
        damaged = bytearray((ZOO / name).read_bytes())
        for _ in range(seed + 1):
            damaged[random.integers(len(damaged))] = random.integers(256)
        with contextlib.suppress(EngineError):
            read(bytes(damaged))
