"""The messages of the gRPC face, as classes of a pool of their own.

Triton's client and other servers of the protocol register messages of the same names; in a pool of our own they never
meet, so that a server and any client can live in one process.
"""

from functools import cache
from pathlib import Path
from typing import Any

from edgepack.runtime.errors import InputError
from edgepack.runtime.serve.proto_text import file_descriptor

FILE = "open_inference.proto"
PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"


@cache
def pool() -> Any:
    """A `DescriptorPool` that holds `protos/open_inference.proto`; made at the first call, in two milliseconds."""
    from google.protobuf import descriptor_pool

    text = (Path(__file__).parent / "protos" / FILE).read_text(encoding="utf-8")
    made = descriptor_pool.DescriptorPool()
    made.AddSerializedFile(file_descriptor(FILE, text).SerializeToString())
    return made


@cache
def message(name: str) -> Any:
    """The class of a message: `message("ModelInferRequest")`."""
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


def parsed(name: str, data: bytes) -> Any:
    """A message of the class `name` from its bytes; raises `InputError` where they are none."""
    from google.protobuf.message import DecodeError

    try:
        return message(name).FromString(data)
    except DecodeError as error:
        raise InputError(f"the bytes of the request are no {PACKAGE}.{name}") from error
