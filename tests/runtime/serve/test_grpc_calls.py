"""Who may call, how errors are told, when a call ends, and how a server begins and stops."""

import asyncio
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import (
    ConflictError,
    DeadlineError,
    EdgepackError,
    InputError,
    MissingFileError,
    NotReadyError,
    OverloadedError,
)
from edgepack.runtime.serve.grpc_calls import address
from edgepack.runtime.serve.grpc_face import GrpcFace
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.settings import Settings
from tests.runtime.serve.grpc_running import METHODS, Open, Running, Scripted, Tokens, limits, running

triton = pytest.importorskip("tritonclient.grpc")
grpc = pytest.importorskip("grpc")
from tritonclient.grpc import service_pb2  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402


@pytest.fixture
def echo() -> Iterator[Running]:
    with running(Scripted()) as found:
        yield found


def request() -> bytes:
    made = service_pb2.ModelInferRequest(model_name="echo", raw_input_contents=[b"1"])
    made.inputs.add(name="x", datatype="INT8", shape=[1])
    return bytes(made.SerializeToString())


def infer(channel: Any, **options: Any) -> Any:
    """The call of one inference; it waits for its end."""
    _, call = channel.unary_unary(f"{METHODS}ModelInfer").with_call(request(), timeout=20, **options)
    return call


def failed(channel: Any, **options: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        infer(channel, **options)
    return caught.value


def test_a_request_id_comes_back_and_is_made_where_there_is_none(echo: Running) -> None:
    with grpc.insecure_channel(echo.address) as channel:
        told = dict(infer(channel, metadata=(("x-request-id", "mine-7"),)).trailing_metadata())
        assert told["x-request-id"] == "mine-7"
        made = {dict(infer(channel).trailing_metadata())["x-request-id"] for _ in range(3)}
        long = dict(infer(channel, metadata=(("x-request-id", "7" * 129),)).trailing_metadata())["x-request-id"]
    assert len(made) == 3
    assert all(len(one) == 32 for one in (*made, long))


@pytest.mark.parametrize(
    ("error", "status", "wait"),
    [
        (OverloadedError("the queue is full", 2.3), "UNAVAILABLE", "3"),
        (NotReadyError("it is being loaded"), "UNAVAILABLE", "1"),
        (DeadlineError("too late"), "DEADLINE_EXCEEDED", None),
        (ConflictError("not now"), "FAILED_PRECONDITION", None),
        (InputError("第一行\nand another"), "INVALID_ARGUMENT", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, EdgepackError) else "",
)
def test_an_error_is_told_by_the_table_on_one_line(
    echo: Running, error: EdgepackError, status: str, wait: str | None
) -> None:
    echo.plane.fails = error
    with grpc.insecure_channel(echo.address) as channel:
        told = failed(channel, metadata=(("x-request-id", "e-1"),))
    trailing = dict(told.trailing_metadata())
    assert told.code() is grpc.StatusCode[status]
    assert told.details() == " ".join(str(error).split())
    assert (trailing["x-request-id"], trailing.get("retry-after")) == ("e-1", wait)


def test_a_fault_of_ours_tells_nothing_but_is_in_the_log(echo: Running, caplog: pytest.LogCaptureFixture) -> None:
    echo.plane.fails = ZeroDivisionError("secret of the inside")
    with grpc.insecure_channel(echo.address) as channel, caplog.at_level(logging.ERROR, "edgepack.serve"):
        told = failed(channel, metadata=(("x-request-id", "e-2"),))
    assert told.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in told.details()
    assert "request e-2 failed" in caplog.text
    assert "secret of the inside" in caplog.text


def test_the_guard_hears_kind_token_and_address_of_every_call() -> None:
    guard = Tokens()
    with (
        running(Scripted(), guard=guard) as found,
        triton.InferenceServerClient(found.address) as client,
    ):
        bearer = {"authorization": "Bearer reader"}
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("echo")
        client.get_server_metadata(headers=bearer)
        client.get_model_metadata("echo", headers=bearer)
        client.get_model_config("echo", headers=bearer)
        client.get_model_repository_index(headers=bearer)
        client.load_model("echo", headers={"authorization": "bearer boss"})
        client.unload_model("echo", headers={"authorization": "Bearer boss"})
    local = "127.0.0.1"
    assert guard.asked == [
        *[("open", None, local)] * 3, *[("read", "reader", local)] * 4, *[("admin", "boss", local)] * 2,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "admin", "status"),
    [
        ({}, False, "UNAUTHENTICATED"),
        ({"authorization": "Bearer wrong"}, False, "UNAUTHENTICATED"),
        ({"authorization": "Basic reader"}, False, "UNAUTHENTICATED"),
        ({"authorization": "Bearer reader"}, True, "PERMISSION_DENIED"),
    ],
    ids=["none", "wrong", "not-bearer", "reader-as-admin"],
)
def test_a_wrong_token_computes_and_loads_nothing(headers: dict[str, str], admin: bool, status: str) -> None:
    with (
        running(Scripted(), guard=Tokens()) as found,
        triton.InferenceServerClient(found.address) as client,
    ):
        tensor = triton.InferInput("x", [1], "INT8")
        tensor.set_data_from_numpy(np.zeros(1, np.int8))
        with pytest.raises(InferenceServerException) as caught:
            client.load_model("echo", headers=headers) if admin else client.infer("echo", [tensor], headers=headers)
        assert caught.value.status() == f"StatusCode.{status}"
        assert (found.plane.requests, found.plane.loaded) == ([], [])


@pytest.mark.parametrize(
    ("peer", "wanted"),
    [
        ("ipv4:10.0.0.7:5301", "10.0.0.7"), ("ipv6:%5B::1%5D:5301", "::1"), ("ipv6:[fe80::1%25eth0]:5", "fe80::1%eth0"),
        ("unix:/run/edgepack.sock", ""), ("", ""),
    ],
    ids=["ipv4", "ipv6", "zone", "unix", "none"],
)  # fmt: skip
def test_the_address_is_the_peers_without_its_port(peer: str, wanted: str) -> None:
    assert address(peer) == wanted


def test_the_plane_hears_of_the_deadline_of_the_call(echo: Running) -> None:
    with triton.InferenceServerClient(echo.address) as client:
        tensor = triton.InferInput("x", [1], "INT8")
        tensor.set_data_from_numpy(np.zeros(1, np.int8))
        client.infer("echo", [tensor], client_timeout=15, timeout=60_000_000)
        client.infer("echo", [tensor])
    with_deadline, without = echo.plane.requests
    assert 5 < with_deadline.timeout_s < 20, "gRPC rounds what it sends"
    assert without.timeout_s is None


async def _hold(plane: Scripted) -> None:
    plane.hold = asyncio.Event()


async def _release(plane: Scripted) -> None:
    assert plane.hold
    plane.hold.set()


def _wait_for(condition: Any) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("how", ["cancelled", "late", "gone"])
def test_what_nobody_waits_for_any_more_is_not_computed(echo: Running, how: str) -> None:
    echo.run(_hold(echo.plane))
    channel = grpc.insecure_channel(echo.address)
    call = channel.unary_unary(f"{METHODS}ModelInfer").future(request(), timeout=0.3 if how == "late" else 20)
    _wait_for(lambda: echo.plane.waiting)
    if how == "cancelled":
        call.cancel()
    elif how == "gone":
        channel.close()
    else:
        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    _wait_for(lambda: not echo.plane.waiting)
    echo.run(_release(echo.plane))
    echo.plane.hold = None
    with grpc.insecure_channel(echo.address) as other:
        infer(other)
    assert (len(echo.plane.requests), echo.plane.computed) == (2, 1)
    channel.close()


def test_more_calls_at_once_than_the_limit_are_refused_at_once() -> None:
    with (
        running(Scripted(), limits=limits(connections=2)) as found,
        grpc.insecure_channel(found.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel,
    ):
        found.run(_hold(found.plane))
        method = channel.unary_unary(f"{METHODS}ModelInfer")
        calls = [method.future(request(), timeout=20) for _ in range(2)]
        _wait_for(lambda: found.plane.waiting == 2)
        with grpc.insecure_channel(found.address) as other:
            assert failed(other).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        found.run(_release(found.plane))
        assert [call.code() for call in calls] == [grpc.StatusCode.OK] * 2


def test_stopping_lets_what_runs_end_and_takes_nothing_new(echo: Running) -> None:
    echo.run(_hold(echo.plane))
    with grpc.insecure_channel(echo.address) as channel, ThreadPoolExecutor(1) as pool:
        call = channel.unary_unary(f"{METHODS}ModelInfer").future(request(), timeout=20)
        _wait_for(lambda: echo.plane.waiting)
        stopping = pool.submit(echo.run, echo.face.stop(10))
        _wait_for(lambda: _is_refused(echo.address))
        assert not stopping.done()
        echo.run(_release(echo.plane))
        assert call.code() is grpc.StatusCode.OK
        stopping.result(10)


def _is_refused(place: str) -> bool:
    with grpc.insecure_channel(place, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            channel.unary_unary(f"{METHODS}ServerLive")(b"", timeout=5)
        except grpc.RpcError as error:
            return bool(error.code() is grpc.StatusCode.UNAVAILABLE)
    return False


def test_stopping_cuts_what_does_not_end_in_time(echo: Running) -> None:
    echo.run(_hold(echo.plane))
    with grpc.insecure_channel(echo.address) as channel:
        call = channel.unary_unary(f"{METHODS}ModelInfer").future(request(), timeout=20)
        _wait_for(lambda: echo.plane.waiting)
        echo.run(echo.face.stop(0.1))
        assert call.code() is not grpc.StatusCode.OK
    assert echo.plane.computed == 0
    echo.run(echo.face.stop(0.1))


def test_a_port_that_is_taken_is_told(echo: Running) -> None:
    port = int(echo.address.rpartition(":")[2])
    other = GrpcFace(Scripted(), Settings(models="."), Open(), Metrics())
    with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{port}"):
        echo.run(other.start("127.0.0.1", port))
    echo.run(other.stop(0))


def test_several_workers_share_a_port() -> None:
    with running(Scripted(), workers=2) as found:
        port = int(found.address.rpartition(":")[2])
        other = GrpcFace(Scripted(), Settings(models=".", workers=2), Open(), Metrics())
        assert found.run(other.start("127.0.0.1", port)) == port
        found.run(found.face.stop(0))
        with grpc.insecure_channel(found.address) as channel:
            assert infer(channel).code() is grpc.StatusCode.OK
        found.run(other.stop(0))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed: it makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_with_a_certificate_only_tls_is_spoken(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with running(Scripted(), tls_cert=str(cert), tls_key=str(key)) as found:
        with triton.InferenceServerClient(found.address, ssl=True, root_certificates=str(cert)) as client:
            assert client.is_server_ready()
        with grpc.insecure_channel(found.address) as channel:
            assert failed(channel).code() is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_that_is_not_there_or_none_is_told(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = map(str, certificate)
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no key")

    async def start(**settings: str) -> None:
        face = GrpcFace(Scripted(), Settings(models=".", **settings), Open(), Metrics())  # type: ignore[arg-type]
        await face.start("127.0.0.1", 0)

    with running(Scripted()) as found:
        with pytest.raises(MissingFileError, match=r"no certificate or key at .*absent"):
            found.run(start(tls_cert=cert, tls_key=str(tmp_path / "absent")))
        with pytest.raises(InputError, match="see that certificate and key fit"):
            found.run(start(tls_cert=cert, tls_key=str(rubbish)))
        assert key


def test_calls_from_many_threads_get_their_own_answers(echo: Running) -> None:
    wrong: list[int] = []

    def ask(number: int) -> None:
        with triton.InferenceServerClient(echo.address) as client:
            for turn in range(20):
                array = np.full(3 + turn % 4, 100 * number + turn, np.int64)
                tensor = triton.InferInput("x", list(array.shape), "INT64")
                tensor.set_data_from_numpy(array)
                answer = client.infer("echo", [tensor], request_id=f"{number}-{turn}")
                if answer.as_numpy("x").tolist() != array.tolist() or answer.get_response().id != f"{number}-{turn}":
                    wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (wrong, echo.plane.computed) == ([], 160)
