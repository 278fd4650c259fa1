"""Every engine and file gives the stored answers, in the same manner: see `WAYS` in conftest.py."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import edgepack
from edgepack.runtime import engines
from edgepack.runtime.errors import EngineError, UnknownNameError
from edgepack.runtime.tensor import Array
from tests.conftest import Child
from tests.runtime.conftest import Way
from tests.zoo.packs import TOLERANCE, ZOO, outputs

ANY_BATCH = [0, 1, 3, 4, 9]


def test_the_answers_are_those_stored_in_the_zoo(way: Way) -> None:
    given, wanted = outputs(way.model)
    with way.open() as session:
        found = session.run(given)
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=TOLERANCE)


@pytest.mark.parametrize("rows", ANY_BATCH)
def test_any_number_of_rows_is_answered_as_row_by_row(way: Way, rows: int) -> None:
    given, wanted = outputs(way.model)
    with way.open() as session:
        found = session.run({name: array[:rows] for name, array in given.items()})
        for name, array in found.items():
            assert array.shape == (rows, *wanted[name].shape[1:])
            assert array.dtype == wanted[name].dtype
        for row in range(rows):
            alone = session.run({name: array[row : row + 1] for name, array in given.items()})
            for name, array in alone.items():
                np.testing.assert_allclose(found[name][row], array[0], atol=TOLERANCE)


def test_the_number_of_rows_may_change_from_call_to_call(mlp: edgepack.Session) -> None:
    given, wanted = outputs("mlp")
    for rows in (9, 1, 4, 0, 9, 3):
        np.testing.assert_allclose(mlp.run({"x": given["x"][:rows]})["y"], wanted["y"][:rows], atol=TOLERANCE)


def test_names_and_shapes_are_those_of_the_model(mlp: edgepack.Session) -> None:
    assert [str(tensor) for tensor in (*mlp.inputs, *mlp.outputs)] == ["x: float32 (any, 4)", "y: float32 (any, 3)"]


def test_results_are_the_callers(mlp: edgepack.Session) -> None:
    given, wanted = outputs("mlp")
    first = mlp.run({"x": given["x"][:4]})["y"]
    kept = first.copy()
    second = mlp.run({"x": given["x"][4:8]})["y"]
    np.testing.assert_array_equal(first, kept)
    second[:] = 7
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_allclose(mlp.run({"x": given["x"][4:8]})["y"], wanted["y"][4:8], atol=TOLERANCE)


def test_results_can_be_written_to(mlp: edgepack.Session) -> None:
    for rows in ANY_BATCH:
        mlp.run({"x": np.zeros((rows, 4), np.float32)})["y"][:] = 1


def test_results_outlive_the_session(way: Way) -> None:
    given, wanted = outputs(way.model)
    with way.open() as session:
        found = session.run({name: array[:1] for name, array in given.items()})
    del session
    for name, array in found.items():
        np.testing.assert_allclose(array, wanted[name][:1], atol=TOLERANCE)


def test_inputs_are_left_as_they_are(mlp: edgepack.Session) -> None:
    x = outputs("mlp")[0]["x"]
    before = x.copy()
    mlp.run({"x": x})
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    "lay", [np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2], lambda x: x[::-1].copy()[::-1]],
    ids=["fortran", "strided", "backwards"],
)  # fmt: skip
def test_any_layout_of_memory_is_answered(mlp: edgepack.Session, lay: "np.ufunc") -> None:
    given, wanted = outputs("mlp")
    for rows in (1, 4):
        x: Array = lay(given["x"][:rows])
        np.testing.assert_allclose(mlp.run({"x": x})["y"], wanted["y"][:rows], atol=TOLERANCE)


def test_several_threads_get_their_own_answers(mlp: edgepack.Session) -> None:
    given, wanted = outputs("mlp")
    start = threading.Barrier(8)

    def ask(worker: int) -> float:
        start.wait()
        rows = [(worker + turn) % 9 for turn in range(50)]
        return max(
            float(np.abs(mlp.run({"x": given["x"][row : row + 1]})["y"] - wanted["y"][row : row + 1]).max())
            for row in rows
        )

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(ask, range(8))) <= TOLERANCE


def test_where_it_ran_is_read_back(mlp: edgepack.Session) -> None:
    assert mlp.provider == "cpu"
    assert sum(mlp.placement.values()) >= 1


def test_the_engine_tells_its_library_and_version(mlp: edgepack.Session) -> None:
    assert mlp.engine in engines.available()
    assert any(character.isdigit() for character in mlp.engine.description)


@pytest.mark.parametrize(
    ("name", "engine"),
    [("mlp.onnx", "onnx"), ("mlp.tflite", "litert"), ("mlp.onnx", "openvino"), ("mlp.tflite", "openvino")],
)  # fmt: skip
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9], ids=lambda share: f"{share:.0%}")
def test_a_file_cut_short_is_refused_in_the_engines_words(tmp_path: Path, name: str, engine: str, keep: float) -> None:
    if engine not in engines.available():
        pytest.skip(f"engine {engine!r} is not installed")
    data = (ZOO / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(EngineError, match=r"refuses the file"):
        edgepack.load(tmp_path / name, engine=engine)


def test_a_failure_while_running_is_an_engine_error(way: Way) -> None:
    with way.open() as session, pytest.raises(EngineError, match="failed on these inputs"):
        session._engine.run({spec.name: np.zeros((2, 77), np.float32) for spec in session.inputs})


def test_an_engine_is_usable_after_a_failure(way: Way) -> None:
    given, wanted = outputs(way.model)
    with way.open() as session:
        with pytest.raises(EngineError):
            session._engine.run({spec.name: np.zeros((2, 77), np.float32) for spec in session.inputs})
        found = session.run({name: array[:3] for name, array in given.items()})
    for name, array in found.items():
        np.testing.assert_allclose(array, wanted[name][:3], atol=TOLERANCE)


def test_an_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown engine 'openvin' \(known: onnx, litert, openvino\)"):
        engines.library("openvin")


@pytest.mark.parametrize(
    ("file_format", "names"),
    [("onnx", ("onnx", "openvino")), ("tflite", ("litert", "openvino")), ("hailo", ())],
    ids=["onnx", "tflite", "hailo"],
)
def test_engines_are_found_by_the_format_they_read(file_format: str, names: tuple[str, ...]) -> None:
    assert engines.for_format(file_format) == names


_WITHOUT_ENGINES = ("onnxruntime", "ai_edge_litert", "tflite_runtime", "openvino")
_LOAD = """
import sys, edgepack
try:
    edgepack.load(sys.argv[1])
except edgepack.EdgepackError as error:
    print(type(error).__name__, error)
else:
    print("loaded")
"""


@pytest.mark.parametrize(
    ("name", "without", "wanted"),
    [
        ("mlp.onnx", _WITHOUT_ENGINES, "pip install 'edgepack[onnx]'"),
        ("mlp.tflite", _WITHOUT_ENGINES, "pip install 'edgepack[litert]'"),
        ("mlp.onnx", ("ai_edge_litert", "tflite_runtime", "openvino"), "loaded"),
        ("mlp.tflite", ("onnxruntime", "openvino"), "loaded"),
    ],
    ids=["onnx", "tflite", "onnx-alone", "litert-alone"],
)
def test_an_engine_that_is_missing_says_what_to_install(
    child: Child, name: str, without: tuple[str, ...], wanted: str
) -> None:
    done = child(_LOAD, ZOO / name, without=without)
    assert wanted in done.stdout, done.stderr


def test_a_pack_without_any_engine_says_what_to_install(child: Child, mlp_pack: Path) -> None:
    done = child(_LOAD, mlp_pack, without=_WITHOUT_ENGINES)
    assert done.stdout.startswith("MissingExtraError"), done.stderr
    assert "pip install 'edgepack[onnx]'" in done.stdout


@pytest.mark.parametrize(
    ("without", "runs"),
    [
        ((), "onnx-float32 onnx"),
        (("onnxruntime",), "tflite-float32 litert"),
        (("onnxruntime", "ai_edge_litert", "tflite_runtime"), "onnx-float32 openvino"),
    ],
    ids=["all", "without-onnx", "openvino-alone"],
)
def test_a_pack_runs_in_the_first_engine_that_is_there(
    child: Child, mlp_pack: Path, without: tuple[str, ...], runs: str
) -> None:
    if "openvino" in runs and "openvino" not in engines.available():
        pytest.skip("engine 'openvino' is not installed")
    code = "import sys, edgepack\ns = edgepack.load(sys.argv[1])\nprint(s.variant, s.engine)"
    assert child(code, mlp_pack, without=without).stdout == f"{runs}\n"


def test_without_an_engine_none_is_available(child: Child) -> None:
    code = "from edgepack.runtime import engines\nprint(engines.available(), engines.known())"
    assert child(code, without=_WITHOUT_ENGINES).stdout == "() ('onnx', 'litert', 'openvino')\n"


def test_asking_what_is_available_imports_nothing(child: Child) -> None:
    code = "import sys\nfrom edgepack.runtime import engines\nengines.available()\nprint('onnxruntime' in sys.modules)"
    assert child(code).stdout == "False\n"
