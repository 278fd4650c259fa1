"""NVIDIA's client, unmodified, is the judge of the protocol over HTTP."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from edgepack.runtime.tensor import Array
from tests.runtime.serve.http_running import Echo, Running
from tests.zoo import packs

ARRAYS = {
    "BOOL": np.array([[True, False, True]]),
    "UINT8": np.array([[0, 200, 255]], np.uint8),
    "UINT16": np.array([[0, 65535]], np.uint16),
    "UINT32": np.array([[0, 2**32 - 1]], np.uint32),
    "UINT64": np.array([[0, 2**64 - 1]], np.uint64),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT16": np.array([[-(2**15), 2**15 - 1]], np.int16),
    "INT32": np.array([[-(2**31), 2**31 - 1]], np.int32),
    "INT64": np.array([[-(2**63), 2**63 - 1]], np.int64),
    "FP16": np.array([[0.1, -65504.0]], np.float16),
    "FP32": np.array([[0.1, -3.4e38, 1e-45]], np.float32),
    "FP64": np.array([[0.1, -1.7e308, 5e-324]], np.float64),
    "BYTES": np.array([["你好".encode(), b"", b"a\nb"]], np.object_),
}


@pytest.fixture
def client(server: Running) -> Iterator[Any]:
    with triton.InferenceServerClient(server.address) as found:
        yield found


@pytest.fixture
def echoed(echo: Running) -> Iterator[Any]:
    with triton.InferenceServerClient(echo.address) as found:
        yield found


def _input(name: str, array: Array, *, binary: bool = True) -> Any:
    tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    return tensor.set_data_from_numpy(array, binary_data=binary)


def test_the_server_and_its_models_tell_what_they_are(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mlp")
    assert client.is_model_ready("mlp", "1")
    assert not client.is_model_ready("nothing")
    assert client.get_server_metadata()["name"] == "edgepack"
    metadata = client.get_model_metadata("mlp")
    assert metadata["inputs"][0] == {
        "name": "x", "datatype": "FP32", "shape": [-1, 4], "meaning": "four measures", "labels": [],
    }  # fmt: skip
    assert metadata["outputs"][0]["labels"] == ["red", "green", "blue"]


def test_the_index_names_every_model_and_its_state(client: Any) -> None:
    index = client.get_model_repository_index()
    assert {"mlp": "READY", "tiles": "READY"}.items() <= {entry["name"]: entry["state"] for entry in index}.items()


@pytest.mark.parametrize("binary_in", [True, False], ids=["binary-in", "json-in"])
@pytest.mark.parametrize("binary_out", [True, False, None], ids=["binary-out", "json-out", "by-default-out"])
@pytest.mark.parametrize("version", ["", "1"], ids=["default", "version-1"])
def test_answers_are_those_of_the_model(client: Any, binary_in: bool, binary_out: bool | None, version: str) -> None:
    given, wanted = packs.outputs("mlp")
    outputs = None if binary_out is None else [triton.InferRequestedOutput("y", binary_data=binary_out)]
    inputs = [_input("x", given["x"], binary=binary_in)]
    result = client.infer("mlp", inputs, version, outputs=outputs, request_id="seven")
    np.testing.assert_allclose(result.as_numpy("y"), wanted["y"], atol=packs.TOLERANCE)
    told = result.get_response()
    assert (told["model_name"], told["model_version"], told["id"]) == ("mlp", "1", "seven")
    assert ("data" in told["outputs"][0]) is (binary_out is False)


def test_outputs_come_as_they_were_asked_for(client: Any) -> None:
    given, wanted = packs.outputs("pair")
    inputs = [_input("b", given["b"], binary=False), _input("a", given["a"])]
    outputs = [triton.InferRequestedOutput("product", binary_data=False), triton.InferRequestedOutput("total")]
    result = client.infer("pair", inputs, outputs=outputs)
    told = result.get_response()["outputs"]
    assert [output["name"] for output in told] == ["product", "total"]
    assert ["data" in output for output in told] == [True, False]
    for name in ("product", "total"):
        np.testing.assert_allclose(result.as_numpy(name), wanted[name], atol=packs.TOLERANCE)
    only = client.infer("pair", inputs, outputs=[triton.InferRequestedOutput("total")])
    assert [output["name"] for output in only.get_response()["outputs"]] == ["total"]


@pytest.mark.parametrize("binary_out", [True, False], ids=["binary-out", "json-out"])
@pytest.mark.parametrize("binary_in", [True, False], ids=["binary-in", "json-in"])
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_every_datatype_keeps_its_values(echoed: Any, array: Array, binary_in: bool, binary_out: bool) -> None:
    outputs = [triton.InferRequestedOutput("x", binary_data=binary_out)]
    result = echoed.infer("echo", [_input("x", array, binary=binary_in)], outputs=outputs).as_numpy("x")
    if array.dtype == np.object_ and not binary_out:
        result = np.array([[text.encode() for text in row] for row in result], np.object_)
    np.testing.assert_array_equal(result, array)
    assert result.dtype == array.dtype


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (1,), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_every_shape_comes_back(echoed: Any, shape: tuple[int, ...], binary: bool) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    outputs = [triton.InferRequestedOutput("x", binary_data=binary)]
    result = echoed.infer("echo", [_input("x", array, binary=binary)], outputs=outputs).as_numpy("x")
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize("there", ["gzip", "deflate", None])
@pytest.mark.parametrize("back", ["gzip", "deflate", None])
def test_bodies_may_be_packed_both_ways(echoed: Any, there: str | None, back: str | None) -> None:
    array = np.tile(np.arange(100, dtype=np.float32), 100)
    result = echoed.infer(
        "echo", [_input("x", array)], request_compression_algorithm=there, response_compression_algorithm=back
    )
    np.testing.assert_array_equal(result.as_numpy("x"), array)


def test_deadline_and_priority_arrive(echo: Running, echoed: Any) -> None:
    echoed.infer("echo", [_input("x", np.zeros(1, np.float32))], timeout=1_500_000, priority=2, parameters={"a": "b"})
    assert isinstance(echo.plane, Echo)
    first = echo.plane.last
    assert first.timeout_s == 1.5
    assert first.parameters["a"] == "b"
    echoed.infer("echo", [_input("x", np.zeros(1, np.float32))], priority=1)
    assert echo.plane.last.priority > first.priority > 0
    echoed.infer("echo", [_input("x", np.zeros(1, np.float32))])
    assert echo.plane.last.priority == 0
    assert echo.plane.last.timeout_s is None


def test_asynchronous_requests_are_answered_each_with_its_own(echo: Running) -> None:
    with triton.InferenceServerClient(echo.address, concurrency=8) as client:
        waiting = [
            client.async_infer("echo", [_input("x", np.full(3, number, np.float32))], request_id=str(number))
            for number in range(40)
        ]
        for number, one in enumerate(waiting):
            result = one.get_result()
            assert result.get_response()["id"] == str(number)
            assert result.as_numpy("x").tolist() == [number] * 3


@pytest.mark.parametrize(
    ("model", "version", "array", "status", "told"),
    [
        ("nothing", "", np.zeros((1, 4), np.float32), "404", "no model 'nothing'"),
        ("mlp", "", np.zeros((1, 5), np.float32), "400", "(1, 5)"),
        ("mlp", "", np.zeros((1, 4), np.int32), "400", "int32"),
    ],
    ids=["no-such-model", "shape", "datatype"],
)
def test_errors_say_what_is_wrong(client: Any, model: str, version: str, array: Array, status: str, told: str) -> None:
    with pytest.raises(InferenceServerException) as raised:
        client.infer(model, [_input("x", array)], version)
    assert raised.value.status() == status
    assert told in raised.value.message()


def test_what_is_not_served_is_refused_and_not_ignored(client: Any) -> None:
    x = _input("x", np.zeros((1, 4), np.float32))
    for options in (
        {"sequence_id": 3},
        {"outputs": [triton.InferRequestedOutput("y", class_count=2)]},
        {"outputs": [triton.InferRequestedOutput("z")]},
    ):
        with pytest.raises(InferenceServerException) as raised:
            client.infer("mlp", [x], **options)
        assert raised.value.status() == "400"
    shared = triton.InferInput("x", [1, 4], "FP32")
    shared.set_shared_memory("region", 16)
    with pytest.raises(InferenceServerException, match="shared memory is not served"):
        client.infer("mlp", [shared])


def test_models_are_loaded_and_unloaded(client: Any) -> None:
    client.load_model("mlp")
    assert client.is_model_ready("mlp")
    client.unload_model("pair", unload_dependents=True)
    client.load_model("pair")
    with pytest.raises(InferenceServerException, match="put the pack into the folder"):
        client.load_model("mlp", config="{}")
