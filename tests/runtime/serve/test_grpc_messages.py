"""The messages are those of the protocol, and those of Triton as far as we serve them."""

from collections.abc import Iterator
from typing import Any

import pytest

from edgepack.runtime.errors import InputError
from edgepack.runtime.serve.grpc_messages import FILE, SERVICE, message, parsed, pool
from edgepack.runtime.serve.proto_text import file_descriptor

triton = pytest.importorskip("tritonclient.grpc")
from google.protobuf import descriptor_pb2  # noqa: E402 - comes with the client
from tritonclient.grpc import model_config_pb2, service_pb2  # noqa: E402

# What edgepack adds to the messages of Triton; the numbers are MLServer's.
ADDED = {
    ("RepositoryIndexResponse.ModelIndex", "cause", 100),
    ("ModelMetadataResponse.TensorMetadata", "parameters", 4),
    ("ModelMetadataResponse", "parameters", 6),
}


def _fields(messages: Any, scope: str = "") -> Iterator[tuple[str, Any]]:
    for of in messages:
        name = f"{scope}{of.name}"
        for field in of.field:
            yield name, field
        yield from _fields(of.nested_type, f"{name}.")


def _file(descriptor: Any) -> Any:
    file = descriptor_pb2.FileDescriptorProto()
    descriptor.CopyToProto(file)
    return file


def test_every_field_is_tritons_or_a_known_addition() -> None:
    theirs = {
        (name, field.name): field
        for descriptor in (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR)
        for name, field in _fields(_file(descriptor).message_type)
    }
    added = set()
    for name, field in _fields(_file(pool().FindFileByName(FILE)).message_type):
        if (name, field.name) not in theirs and not name.endswith(".ParametersEntry"):
            added.add((name, field.name, field.number))
        elif (name, field.name) in theirs:
            same = theirs[name, field.name]
            ours_is = (field.number, field.type, field.type_name, field.label, field.oneof_index)
            assert ours_is == (same.number, same.type, same.type_name, same.label, same.oneof_index), (name, field.name)
    assert added == ADDED


def test_every_field_of_the_messages_of_the_protocol_itself_is_there() -> None:
    ours = {(name, field.name) for name, field in _fields(_file(pool().FindFileByName(FILE)).message_type)}
    wanted = ("Server", "ModelReady", "ModelMetadata", "ModelInfer", "InferParameter", "InferTensor", "Repository")
    theirs = {
        (name, field.name)
        for name, field in _fields(_file(service_pb2.DESCRIPTOR).message_type)
        if name.startswith(wanted)
    }
    assert theirs <= ours


def test_every_method_streams_and_speaks_as_tritons() -> None:
    theirs = {method.name: method for method in _file(service_pb2.DESCRIPTOR).service[0].method}
    ours = _file(pool().FindFileByName(FILE)).service[0]
    assert f"inference.{ours.name}" == SERVICE
    for method in ours.method:
        same = theirs[method.name]
        for part in ("input_type", "output_type", "client_streaming", "server_streaming"):
            assert getattr(method, part) == getattr(same, part), method.name


def test_the_numbers_of_data_types_are_tritons() -> None:
    ours = {value.name: value.number for value in _file(pool().FindFileByName(FILE)).enum_type[0].value}
    assert ours == dict(model_config_pb2.DataType.items())


def test_a_message_of_triton_reads_as_ours_though_both_pools_hold_its_name() -> None:
    sent = service_pb2.ModelInferRequest(model_name="mlp", id="7")
    sent.parameters["timeout"].int64_param = 5
    read = parsed("ModelInferRequest", sent.SerializeToString())
    assert (read.model_name, read.id, read.parameters["timeout"].int64_param) == ("mlp", "7", 5)
    assert type(read) is message("ModelInferRequest")
    assert type(read) is not service_pb2.ModelInferRequest


def test_bytes_that_are_no_message_are_an_input_error() -> None:
    with pytest.raises(InputError, match=r"no inference\.ModelReadyRequest"):
        parsed("ModelReadyRequest", b"\x0a\xff")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('syntax = "proto3"; package p; message A { B b = 1; }', "names the type 'B'"),
        ('syntax = "proto3"; package p; message A { int32 b 1; }', "where '=' should"),
    ],
    ids=["unknown-type", "no-number"],
)
def test_a_proto_file_that_is_wrong_says_where(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        file_descriptor("wrong.proto", text)
