"""The OpenAPI document: made of the table of routes and the types it names, so that it cannot say anything else."""

import inspect
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from edgepack.runtime.serve.http_routes import Route
from edgepack.runtime.serve.http_wire import BINARY, JSON, Told
from edgepack.runtime.serve.tensors import HEADER_LENGTH

_ABOUT = (
    "The Open Inference Protocol v2 with its binary tensor and model repository extensions, and raw samples to "
    "readable results (`predict`). JSON has no NaN and no infinity: in answers both are `null`; binary data keeps "
    "every value."
)
_FREE = re.compile(r"\{(\w+)\}")
_PARAMETERS = {
    "name": "The model.",
    "version": "A version, or a label as `stable`.",
    "label": "The label.",
}
_ERRORS = {
    400: "The request is not what is taken; the message says what is",
    401: "A token is missing, or is none that is known",
    403: "The token or the origin may not do this",
    404: "No such model, version or label is served",
    408: "The body came too slowly",
    409: "It cannot be done in the state that things are in",
    413: "The request is larger than the server takes",
    415: "The body is of a type or an encoding that is not taken",
    422: "The pack or the model is bad",
    429: "The queue is full or the rate is spent; `Retry-After` says when to come again",
    500: "The server failed; its log says why",
    501: "A package is missing on the server",
    503: "It is not ready; `Retry-After` says when to come again",
    504: "The answer would have come later than the request allows",
}


def document(routes: Sequence[Route], version: str) -> bytes:
    """The document in JSON.

    Args:
        routes: All that are answered.
        version: Of edgepack.
    """
    types = [kind for route in routes for kind in (route.gives, route.takes) if kind is not None]
    _, components = msgspec.json.schema_components([*types, Told], ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "edgepack serve", "version": version, "description": _ABOUT},
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": (inspect.getdoc(route.call) or "").partition("\n")[0],
        "operationId": _identifier(route),
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "description": _PARAMETERS[name],
            }
            for name in _FREE.findall(route.path)
        ],
        "responses": {
            "200": {"description": "Done", "content": _content(route.gives, route.also_gives)},
            **{str(status): _error(why) for status, why in _ERRORS.items()},
        },
        "security": [] if route.kind == "open" else [{}, {"token": []}],
    }
    if route.takes is not None:
        found["requestBody"] = {"content": _content(route.takes, route.also_takes), "required": _must(route.takes)}
    if BINARY in route.also_gives:
        found["parameters"].append(
            {
                "name": HEADER_LENGTH, "in": "header", "required": False, "schema": {"type": "integer", "minimum": 1},
                "description": "The bytes of JSON that the body begins with, where tensors follow as binary data.",
            }
        )  # fmt: skip
    return found


def _content(kind: Any, also: Iterable[str]) -> dict[str, Any]:
    """What a body may be: JSON of a type, and bytes of other types."""
    found: dict[str, Any] = {} if kind is None else {JSON: {"schema": _schema(kind)}}
    return found | {content_type: {} for content_type in also}


def _schema(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
    return schema


def _must(kind: Any) -> bool:
    """Whether a body has to be there: one of which everything may be left out has not."""
    return any(field.required for field in msgspec.structs.fields(kind))


def _error(why: str) -> dict[str, Any]:
    return {"description": why, "content": {JSON: {"schema": _schema(Told)}}}


def _identifier(route: Route) -> str:
    """A name for generated clients: the path in words, which no other has."""
    words = re.findall(r"\w+", route.path)
    return "_".join((route.method.lower(), *words))
