"""Health follows the plane, and reflection tells what the server speaks."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from edgepack.runtime.serve.grpc_messages import FILE, SERVICE
from tests.runtime.serve.grpc_running import Running, Scripted, Tokens, running

grpc = pytest.importorskip("grpc")
pytest.importorskip("grpc_health")
pytest.importorskip("grpc_reflection")
from google.protobuf import descriptor_pool, message_factory  # noqa: E402
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_reflection.v1alpha import proto_reflection_descriptor_database as database  # noqa: E402

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture
def echo() -> Iterator[Running]:
    with running(Scripted()) as found:
        yield found


def health_of(channel: Any, service: str) -> Any:
    asked = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(asked, timeout=20).status


@pytest.mark.parametrize("service", ["", SERVICE, "echo", "echo/3", "echo/stable"])
def test_what_answers_is_serving(echo: Running, service: str) -> None:
    with grpc.insecure_channel(echo.address) as channel:
        assert health_of(channel, service) == SERVING


def test_health_is_that_of_the_moment(echo: Running) -> None:
    with grpc.insecure_channel(echo.address) as channel:
        echo.plane.is_ready = False
        assert health_of(channel, "") == NOT_SERVING
        assert health_of(channel, "echo") == SERVING
        echo.plane.is_ready = True
        assert health_of(channel, "") == SERVING
        echo.plane.states["echo"] = "LOADING"
        assert [health_of(channel, service) for service in ("echo", "echo/3", "echo/stable")] == [NOT_SERVING] * 3


@pytest.mark.parametrize("service", ["absent", "echo/4", "inference.Other"])
def test_what_is_not_there_is_not_found(echo: Running, service: str) -> None:
    with grpc.insecure_channel(echo.address) as channel, pytest.raises(grpc.RpcError) as caught:
        health_of(channel, service)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_who_watches_is_told_of_every_change_and_of_the_end(echo: Running) -> None:
    with grpc.insecure_channel(echo.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        whole = stub.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        late = stub.Watch(health_pb2.HealthCheckRequest(service="late"), timeout=30)
        assert (next(whole).status, next(late).status) == (SERVING, UNKNOWN)
        echo.plane.states["late"] = "LOADING"
        assert next(late).status == NOT_SERVING
        echo.plane.states["late"] = "READY"
        assert next(late).status == SERVING
        stopping = asyncio.run_coroutine_threadsafe(echo.face.stop(20), echo.loop)
        assert [answer.status for answer in whole] == [NOT_SERVING]
        assert [answer.status for answer in late] == [NOT_SERVING]
        stopping.result(10)


def test_health_is_open_and_reflection_is_not() -> None:
    with running(Scripted(), guard=Tokens()) as found, grpc.insecure_channel(found.address) as channel:
        assert health_of(channel, "echo") == SERVING
        with pytest.raises(grpc.RpcError) as caught:
            database.ProtoReflectionDescriptorDatabase(channel).get_services()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_reflection_lists_the_services(echo: Running) -> None:
    with grpc.insecure_channel(echo.address) as channel:
        services = database.ProtoReflectionDescriptorDatabase(channel).get_services()
    assert sorted(services) == ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", SERVICE]


def test_who_knows_nothing_can_call_by_reflection_alone(echo: Running) -> None:
    with grpc.insecure_channel(echo.address) as channel:
        pool = descriptor_pool.DescriptorPool(database.ProtoReflectionDescriptorDatabase(channel))
        service = pool.FindServiceByName(SERVICE)
        assert service.file.name == FILE
        assert {"Check", "Watch"} <= set(pool.FindServiceByName("grpc.health.v1.Health").methods_by_name)
        method = service.methods_by_name["ModelMetadata"]
        asked = message_factory.GetMessageClass(method.input_type)(name="echo")
        told = channel.unary_unary(
            f"/{SERVICE}/{method.name}", None, message_factory.GetMessageClass(method.output_type).FromString
        )(asked.SerializeToString(), timeout=20)
    assert (told.name, list(told.versions), told.platform) == ("echo", ["2", "3"], "edgepack_test")
