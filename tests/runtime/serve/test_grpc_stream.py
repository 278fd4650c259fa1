"""Many requests over one call are answered in their turn, and a failed one does not end the call."""

import asyncio
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import OverloadedError
from tests.runtime.serve.grpc_running import METHODS, Running, Scripted, Tokens, running
from tests.zoo import packs

triton = pytest.importorskip("tritonclient.grpc")
grpc = pytest.importorskip("grpc")
import tritonclient.grpc.aio as triton_aio  # noqa: E402
from tritonclient.grpc import service_pb2  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402


@pytest.fixture
def echo() -> Iterator[Running]:
    with running(Scripted()) as found:
        yield found


def tensor_of(name: str, array: Any) -> Any:
    tensor = triton.InferInput(name, list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    return tensor


def test_a_stream_answers_in_the_order_of_its_requests_as_the_session_does(tmp_path: Path) -> None:
    packs.write(tmp_path / "mlp.edgepack", packs.mlp())
    got: queue.Queue[tuple[Any, Any]] = queue.Queue()
    rng = np.random.default_rng(0)
    feeds = [rng.standard_normal((1 + number % 5, 4)).astype(np.float32) for number in range(100)]
    with running(folder=tmp_path) as found, triton.InferenceServerClient(found.address) as client:
        client.start_stream(lambda result, error: got.put((result, error)))
        for number, feed in enumerate(feeds):
            client.async_stream_infer(
                "mlp", [tensor_of("x", feed)], request_id=str(number), enable_empty_final_response=True
            )
        answers = [got.get(timeout=20) for _ in feeds]
        client.stop_stream()
        for number, (feed, (result, error)) in enumerate(zip(feeds, answers, strict=True)):
            assert error is None
            assert result.get_response().id == str(number)
            assert result.get_response().parameters["triton_final_response"].bool_param is True
            np.testing.assert_array_equal(result.as_numpy("y"), found.session("mlp").run({"x": feed})["y"])
        assert got.empty()


def test_a_failed_request_is_told_in_its_turn_and_the_stream_goes_on(tmp_path: Path) -> None:
    packs.write(tmp_path / "mlp.edgepack", packs.mlp())
    got: queue.Queue[tuple[Any, Any]] = queue.Queue()
    good, bad = np.zeros((1, 4), np.float32), np.zeros((1, 5), np.float32)
    with running(folder=tmp_path) as found, triton.InferenceServerClient(found.address) as client:
        client.start_stream(lambda result, error: got.put((result, error)))
        for array in (good, bad, good):
            client.async_stream_infer("mlp", [tensor_of("x", array)])
        answers = [got.get(timeout=20) for _ in range(3)]
        client.stop_stream()
    assert [error is None for _, error in answers] == [True, False, True]
    assert "has shape (1, 5)" in str(answers[1][1])
    assert [error for *_, error in found.metrics.failures] == ["InputError"]


def test_a_failed_request_keeps_its_id_and_bytes_that_are_none_have_none(echo: Running) -> None:
    echo.plane.fails = OverloadedError("the queue is full")
    request = service_pb2.ModelInferRequest(model_name="echo", id="7")
    with grpc.insecure_channel(echo.address) as channel:
        call = channel.stream_stream(
            f"{METHODS}ModelStreamInfer", None, service_pb2.ModelStreamInferResponse.FromString
        )(iter([request.SerializeToString(), b"\xff"]), timeout=20)
        told = [(answer.infer_response.id, answer.error_message) for answer in call]
    assert told == [
        ("7", "the queue is full"), ("", "the bytes of the request are no protobuf message: they end within a field"),
    ]  # fmt: skip
    assert "x-request-id" in dict(call.trailing_metadata())


def test_the_asynchronous_client_streams_too(echo: Running) -> None:
    async def ask() -> list[float]:
        async def requests() -> Any:
            for number in range(50):
                yield {"model_name": "echo", "inputs": [tensor_of("x", np.full(2, number, np.float32))]}

        async with triton_aio.InferenceServerClient(echo.address) as client:
            answers = []
            async for result, error in client.stream_infer(requests()):
                assert error is None
                answers.append(float(result.as_numpy("x")[0]))
            return answers

    assert echo.run(ask()) == list(range(50))


def test_a_stream_without_a_token_is_refused() -> None:
    with running(Scripted(), guard=Tokens()) as found, grpc.insecure_channel(found.address) as channel:
        call = channel.stream_stream(f"{METHODS}ModelStreamInfer")(iter([b""]), timeout=20)
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert found.plane.requests == []


async def _hold(plane: Scripted) -> None:
    plane.hold = asyncio.Event()


async def _held(plane: Scripted, count: int) -> None:
    async with asyncio.timeout(10):
        while len(plane.requests) < count:
            await asyncio.sleep(0.005)


async def _release(plane: Scripted) -> None:
    assert plane.hold
    plane.hold.set()


def test_a_stream_that_is_cancelled_computes_nothing_more(echo: Running) -> None:
    echo.run(_hold(echo.plane))
    request = service_pb2.ModelInferRequest(model_name="echo").SerializeToString()
    with grpc.insecure_channel(echo.address) as channel:
        call = channel.stream_stream(f"{METHODS}ModelStreamInfer")(iter([request] * 40), timeout=20)
        echo.run(_held(echo.plane, 16))
        call.cancel()

        async def left() -> int:
            async with asyncio.timeout(10):
                while echo.plane.waiting:
                    await asyncio.sleep(0.005)
            return int(echo.plane.waiting)

        assert echo.run(left()) == 0
    echo.run(_release(echo.plane))
    assert (len(echo.plane.requests), echo.plane.computed) == (16, 0), "no more than sixteen are under way at once"


def test_stopping_answers_what_came_and_ends_the_stream(echo: Running) -> None:
    echo.run(_hold(echo.plane))
    got: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton.InferenceServerClient(echo.address) as client, ThreadPoolExecutor(1) as pool:
        client.start_stream(lambda result, error: got.put((result, error)))
        for _ in range(3):
            client.async_stream_infer("echo", [tensor_of("x", np.ones(2, np.float32))])
        echo.run(_held(echo.plane, 3))
        stopping = pool.submit(echo.run, echo.face.stop(10))
        echo.run(asyncio.sleep(0.05))
        echo.run(_release(echo.plane))
        answers = [got.get(timeout=20) for _ in range(4)]
        stopping.result(5)
        client.stop_stream()
    assert [error is None for _, error in answers] == [True, True, True, False]
    error = answers[3][1]
    assert isinstance(error, InferenceServerException)
    assert error.status() == "StatusCode.UNAVAILABLE"
    assert "the server is stopping" in error.message()
