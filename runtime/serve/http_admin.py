"""The repository over HTTP: what is there, load, unload, go back, and where labels point."""

from typing import Any

import msgspec

from edgepack.runtime.errors import InputError
from edgepack.runtime.serve import http_body
from edgepack.runtime.serve.http_wire import Reply, Request, encode

_NOT_TAKEN = ("config", "file:")


class IndexAsked(msgspec.Struct):
    """Which versions are wanted."""

    ready: bool = False
    """Only those that answer."""


class LoadAsked(msgspec.Struct):
    """What to load or unload."""

    parameters: dict[str, Any] = {}
    """`version`: one version, not all that the version policy says."""


class LabelAsked(msgspec.Struct):
    """Where a label goes."""

    version: str


class Answering(msgspec.Struct):
    """What answers now."""

    name: str
    version: str


class Done(msgspec.Struct):
    """It was done."""


class Nothing(msgspec.Struct):
    """Nothing is asked for."""


async def index(request: Request) -> Reply:
    """Every version of every model."""
    asked = await http_body.read_json(request, IndexAsked)
    return Reply(encode(request.place.plane.index(ready=asked.ready)))


async def load(request: Request) -> Reply:
    """Load a model, also again; it is verified and warm before it answers."""
    version = await _version(request)
    await request.place.plane.repository.load(request.name, version)
    return Reply(encode(Done()))


async def unload(request: Request) -> Reply:
    """Take a model out of traffic; it stays so until it is loaded."""
    version = await _version(request)
    await request.place.plane.repository.unload(request.name, version)
    return Reply(encode(Done()))


async def rollback(request: Request) -> Reply:
    """Go back to the last good version before the one that answers."""
    await http_body.read_json(request, Nothing)
    version = await request.place.plane.repository.rollback(request.name)
    return Reply(encode(Answering(request.name, version)))


async def set_label(request: Request) -> Reply:
    """Let a label point to a version that is ready."""
    asked = await http_body.read_json(request, LabelAsked)
    await request.place.plane.repository.set_label(request.name, request.label, asked.version)
    return Reply(encode(Answering(request.name, asked.version)))


async def _version(request: Request) -> str:
    """The version in the parameters; raises `InputError` for those of Triton that would put files in."""
    asked = (await http_body.read_json(request, LoadAsked)).parameters
    refused = next((name for name in asked if name.startswith(_NOT_TAKEN)), None)
    if refused is not None:
        raise InputError(f"parameter {refused[:40]!r} is not taken: put the pack into the folder of models")
    version = asked.get("version", "")
    if not isinstance(version, str):
        raise InputError(f"parameter version is {version!r:.40}; it is text, as '3'")
    return version
