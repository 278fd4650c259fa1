"""Triton's own client, unmodified, is answered as `session.run` answers."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.runtime.serve import parameters
from edgepack.runtime.serve.datatypes import NUMPY, to_protocol
from edgepack.runtime.serve.grpc_messages import message
from tests.runtime.serve.grpc_running import METHODS, MODELS, Running, Scripted, Tokens, limits, random_of, running
from tests.zoo import packs

triton = pytest.importorskip("tritonclient.grpc")
grpc = pytest.importorskip("grpc")
import tritonclient.grpc.aio as triton_aio  # noqa: E402
from tritonclient.grpc import service_pb2  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402

MENDABLE = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    for name, pack in MODELS.items():
        packs.write(folder / f"{name}.edgepack", pack())
    with running(folder=folder) as found:
        yield found


@pytest.fixture(scope="module")
def echo() -> Iterator[Running]:
    with running(Scripted()) as found:
        yield found


@pytest.fixture
def client(zoo: Running) -> Iterator[Any]:
    with triton.InferenceServerClient(zoo.address) as found:
        yield found


def feeds_of(running_now: Running, model: str, rows: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        spec.name: rng.standard_normal((rows, *spec.shape[1:])).astype(spec.dtype)
        for spec in running_now.session(model).inputs
    }


def inputs_of(feeds: dict[str, Any], kind: Any = triton.InferInput) -> list[Any]:
    inputs = [kind(name, list(array.shape), to_protocol(array.dtype)) for name, array in feeds.items()]
    for given_input, array in zip(inputs, feeds.values(), strict=True):
        given_input.set_data_from_numpy(array)
    return inputs


def refused(client: Any, *arguments: Any, **options: Any) -> InferenceServerException:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(*arguments, **options)
    return caught.value


def test_a_server_is_live_and_ready_and_says_what_it_is(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert (metadata.name, metadata.version) == ("edgepack", "1.2.3")
    assert "model_repository" in metadata.extensions


def test_a_model_is_ready_and_says_what_it_takes_and_gives(client: Any) -> None:
    assert client.is_model_ready("tiles")
    assert not client.is_model_ready("absent")
    metadata = client.get_model_metadata("tiles", as_json=True)
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": ["-1", "4", "4", "1"]}]
    assert metadata["outputs"] == [{"name": "scores", "datatype": "FP32", "shape": ["-1", "3"]}]
    config = client.get_model_config("tiles", as_json=True)["config"]
    assert config["input"] == [{"name": "image", "data_type": "TYPE_FP32", "dims": ["-1", "4", "4", "1"]}]
    assert config.get("max_batch_size", 0) == 0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rows", [1, 7])
def test_every_answer_is_that_of_the_session(zoo: Running, client: Any, model: str, rows: int) -> None:
    feeds = feeds_of(zoo, model, rows, seed=rows)
    answer = client.infer(model, inputs_of(feeds), request_id="r-1")
    response = answer.get_response()
    assert (response.model_name, response.model_version, response.id) == (model, "1", "r-1")
    wanted = zoo.session(model).run(feeds)
    assert [output.name for output in response.outputs] == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(answer.as_numpy(name), array)
        assert answer.as_numpy(name).dtype == array.dtype


def test_only_the_outputs_that_are_asked_for_come_in_their_order(zoo: Running, client: Any) -> None:
    feeds = feeds_of(zoo, "pair", 2, seed=0)
    wanted = zoo.session("pair").run(feeds)
    names = list(wanted)[::-1]
    asked = [triton.InferRequestedOutput(name) for name in names]
    answer = client.infer("pair", inputs_of(feeds), outputs=asked)
    assert [output.name for output in answer.get_response().outputs] == names
    alone = client.infer("pair", inputs_of(feeds), outputs=asked[:1])
    assert [output.name for output in alone.get_response().outputs] == names[:1]
    np.testing.assert_array_equal(alone.as_numpy(names[0]), wanted[names[0]])


def test_typed_contents_are_answered_as_raw_ones(zoo: Running) -> None:
    feeds = feeds_of(zoo, "mlp", 3, seed=1)
    request = service_pb2.ModelInferRequest(model_name="mlp")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=feeds["x"].shape)
    tensor.contents.fp32_contents.extend(feeds["x"].ravel().tolist())
    with grpc.insecure_channel(zoo.address) as channel:
        call = channel.unary_unary(f"{METHODS}ModelInfer", None, service_pb2.ModelInferResponse.FromString)
        response = call(request.SerializeToString(), timeout=20)
    got = np.frombuffer(response.raw_output_contents[0], np.float32).reshape(3, 3)
    np.testing.assert_array_equal(got, zoo.session("mlp").run(feeds)["y"])


def test_the_asynchronous_client_is_answered_too(zoo: Running) -> None:
    every = [feeds_of(zoo, model, 2, seed) for seed in range(10) for model in MODELS]
    models = [model for _ in range(10) for model in MODELS]

    async def ask() -> list[Any]:
        async with triton_aio.InferenceServerClient(zoo.address) as found:
            assert await found.is_server_ready()
            return await asyncio.gather(
                *(found.infer(model, inputs_of(feeds)) for model, feeds in zip(models, every, strict=True))
            )

    for model, feeds, answer in zip(models, every, zoo.run(ask()), strict=True):
        for name, array in zoo.session(model).run(feeds).items():
            np.testing.assert_array_equal(answer.as_numpy(name), array)


@pytest.mark.parametrize("datatype", NUMPY)
def test_every_datatype_goes_there_and_back(echo: Running, datatype: str) -> None:
    array = random_of(NUMPY[datatype], (3, 2), np.random.default_rng(5))
    with triton.InferenceServerClient(echo.address) as client:
        answer = client.infer("echo", inputs_of({"x": array}))
    assert answer.get_output("x").datatype == datatype
    assert answer.as_numpy("x").tolist() == array.tolist()


def test_parameters_and_labels_reach_the_plane_and_come_back(echo: Running) -> None:
    with triton.InferenceServerClient(echo.address) as client:
        answer = client.infer(
            "echo", inputs_of({"x": np.zeros(1, np.int8)}), model_version="stable", request_id="q", priority=3,
            timeout=1_500_000, parameters={"who": "me", "share": 0.5, "dry": False},
        )  # fmt: skip
    got = echo.plane.requests[-1]
    assert (got.version, got.priority, got.timeout_s) == ("stable", parameters.priority({"priority": 3}), 1.5)
    assert {"who": "me", "share": 0.5, "dry": False}.items() <= got.parameters.items()
    told = answer.get_response().parameters
    assert told["queue"].int64_param == 7
    assert told["load"].double_param == 0.5
    assert told["big"].uint64_param == 2**63
    assert told["warm"].bool_param is True
    assert answer.get_response().model_version == "3"


def test_meanings_and_labels_are_in_the_metadata(echo: Running) -> None:

    with grpc.insecure_channel(echo.address) as channel:
        call = channel.unary_unary(f"{METHODS}ModelMetadata", None, message("ModelMetadataResponse").FromString)
        told = call(message("ModelMetadataRequest")(name="echo").SerializeToString(), timeout=20)
    assert told.inputs[0].parameters["meaning"].string_param == "a sentence"
    assert told.outputs[0].parameters["labels"].string_param == '["bad", "好"]'
    said = {name: value.string_param for name, value in told.parameters.items()}
    assert said == {
        "version": "3", "variant": "float32", "engine": "none", "provider": "cpu", "summary": "It echoes.",
        "labels": '["stable"]',
    }  # fmt: skip


def test_the_repository_is_told_loaded_and_unloaded(echo: Running) -> None:
    echo.plane.states["broken"] = "UNAVAILABLE"
    with triton.InferenceServerClient(echo.address) as client:
        index = client.get_model_repository_index(as_json=True)["models"]
        assert [(entry["name"], entry["version"], entry["state"]) for entry in index] == [
            ("echo", "3", "READY"), ("broken", "3", "UNAVAILABLE"),
        ]  # fmt: skip
    with grpc.insecure_channel(echo.address) as channel:
        index = channel.unary_unary(f"{METHODS}RepositoryIndex", None, message("RepositoryIndexResponse").FromString)
        assert [entry.cause for entry in index(b"", timeout=20).models] == ["", "failed"]
    with triton.InferenceServerClient(echo.address) as client:
        client.load_model("echo")
        client.unload_model("echo", unload_dependents=True)
        assert echo.plane.loaded == [("load", "echo", ""), ("unload", "echo", "")]
        with pytest.raises(InferenceServerException, match="is loaded from its pack as it is"):
            client.load_model("echo", config="{}", files={"file:1/model.onnx": b"x"})
    del echo.plane.states["broken"]


def test_one_version_is_loaded_and_only_what_is_ready_is_listed(echo: Running) -> None:
    echo.plane.states["broken"] = "UNAVAILABLE"
    load = service_pb2.RepositoryModelLoadRequest(model_name="echo")
    load.parameters["version"].string_param = "2"
    with grpc.insecure_channel(echo.address) as channel:
        channel.unary_unary(f"{METHODS}RepositoryModelLoad")(load.SerializeToString(), timeout=20)
        index = channel.unary_unary(f"{METHODS}RepositoryIndex", None, service_pb2.RepositoryIndexResponse.FromString)
        ready = service_pb2.RepositoryIndexRequest(ready=True).SerializeToString()
        assert [entry.name for entry in index(ready, timeout=20).models] == ["echo"]
        other = service_pb2.RepositoryIndexRequest(repository_name="other").SerializeToString()
        with pytest.raises(grpc.RpcError, match="there is no repository 'other'"):
            index(other, timeout=20)
    assert echo.plane.loaded[-1] == ("load", "echo", "2")
    del echo.plane.states["broken"]


@pytest.mark.parametrize(
    ("model", "feeds", "outputs", "status", "why"),
    [
        ("absent", {"x": np.zeros((1, 4), np.float32)}, (), "NOT_FOUND", "no model 'absent'"),
        ("mlp", {"x": np.zeros((1, 5), np.float32)}, (), "INVALID_ARGUMENT", r"has shape \(1, 5\)"),
        ("mlp", {"x": np.zeros((1, 4), np.int32)}, (), "INVALID_ARGUMENT", "has element type int32"),
        ("mlp", {"z": np.zeros((1, 4), np.float32)}, (), "INVALID_ARGUMENT", "the model takes 1 "),
        ("mlp", {"x": np.zeros((1, 4), np.float32)}, ("w",), "INVALID_ARGUMENT", "no output 'w'"),
    ],
    ids=["model", "shape", "datatype", "name", "output"],
)
def test_a_wrong_request_is_told_what_fits(
    client: Any, model: str, feeds: dict[str, Any], outputs: tuple[str, ...], status: str, why: str
) -> None:
    error = refused(client, model, inputs_of(feeds), outputs=[triton.InferRequestedOutput(name) for name in outputs])
    assert error.status() == f"StatusCode.{status}"
    assert "\n" not in error.message()
    assert re.search(why, error.message())


def test_what_is_answered_and_what_fails_is_counted(tmp_path: Path) -> None:
    packs.write(tmp_path / "mlp.edgepack", packs.mlp())
    with running(folder=tmp_path) as found, triton.InferenceServerClient(found.address) as client:
        good = inputs_of({"x": np.zeros((1, 4), np.float32)})
        client.infer("mlp", good)
        refused(client, "invented", good)
        refused(client, "mlp", inputs_of({"x": np.zeros((1, 9), np.float32)}))
        [(model, version, face, size)] = found.metrics.answers
        assert (model, version, face) == ("mlp", "1", "grpc")
        assert size > 12
        assert found.metrics.failures == [("", "", "grpc", "NotServedError"), ("mlp", "", "grpc", "InputError")]


def test_what_the_guard_refuses_and_metadata_that_no_model_has_are_counted(tmp_path: Path) -> None:
    packs.write(tmp_path / "mlp.edgepack", packs.mlp())
    with running(folder=tmp_path, guard=Tokens()) as found, triton.InferenceServerClient(found.address) as client:
        refused(client, "mlp", inputs_of({"x": np.zeros((1, 4), np.float32)}))
        with pytest.raises(triton.InferenceServerException):
            client.get_model_metadata("invented", headers={"authorization": "Bearer reader"})
        assert found.metrics.failures == [("", "", "grpc", "DeniedError"), ("", "", "grpc", "NotServedError")]


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=100))
def test_no_bytes_that_are_posted_are_a_fault_of_the_server(zoo: Running, data: bytes) -> None:
    with grpc.insecure_channel(zoo.address) as channel:
        for method in ("ModelInfer", "ModelMetadata", "RepositoryIndex"):
            assert channel.unary_unary(f"{METHODS}{method}").future(data, timeout=20).code() in MENDABLE


@settings(max_examples=300, deadline=None)
@given(cuts=st.lists(st.tuples(st.integers(0, 99), st.binary(max_size=2)), max_size=4))
def test_no_damaged_request_is_a_fault_of_the_server(zoo: Running, cuts: list[tuple[int, bytes]]) -> None:
    request = service_pb2.ModelInferRequest(model_name="mlp", raw_input_contents=[bytes(16)])
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    data = bytearray(request.SerializeToString())
    for at, put in cuts:
        data[at % len(data) : at % len(data) + 1] = put
        data = data or bytearray(b"\x00")
    with grpc.insecure_channel(zoo.address) as channel:
        assert channel.unary_unary(f"{METHODS}ModelInfer").future(bytes(data), timeout=20).code() in MENDABLE


def test_a_message_beyond_the_limit_is_refused_and_one_within_it_is_answered() -> None:
    with (
        running(Scripted(), limits=limits(body_bytes=2**20)) as found,
        triton.InferenceServerClient(found.address) as client,
    ):
        error = refused(client, "echo", inputs_of({"x": np.zeros(2**20, np.uint8)}))
        assert error.status() == "StatusCode.RESOURCE_EXHAUSTED"
        array = np.arange(2**20 - 200, dtype=np.uint32).astype(np.uint8)
        np.testing.assert_array_equal(client.infer("echo", inputs_of({"x": array})).as_numpy("x"), array)


def test_an_answer_may_be_larger_than_a_request() -> None:
    array = np.arange(3 * 2**20, dtype=np.float32)
    with running(Scripted()) as found, triton.InferenceServerClient(found.address) as client:
        np.testing.assert_array_equal(client.infer("echo", inputs_of({"x": array})).as_numpy("x"), array)


def test_more_tensors_than_the_limit_are_refused() -> None:
    with running(Scripted(), limits=limits(tensors=2)) as found, triton.InferenceServerClient(found.address) as client:
        error = refused(client, "echo", inputs_of({name: np.zeros(1, np.int8) for name in "abc"}))
    assert error.status() == "StatusCode.RESOURCE_EXHAUSTED"
    assert "3 input tensors; the server takes at most 2" in error.message()
