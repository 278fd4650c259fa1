"""Tensors over HTTP: the handler that has to be fast."""

import asyncio

from edgepack.runtime.errors import InputError
from edgepack.runtime.serve import http_body, tensors
from edgepack.runtime.serve.http_wire import BINARY, Reply, Request
from edgepack.runtime.serve.messages import InferRequest

_LENGTH = tensors.HEADER_LENGTH.lower()


async def infer(request: Request) -> Reply:
    """Run tensors through a model: JSON, or JSON with binary tensors behind it."""
    body = await http_body.read_for_model(request)
    told_length = request.headers.get(_LENGTH)
    length = None if told_length is None else _number(told_length)
    if http_body.is_large(len(body)) and tensors.takes_time(body, length):
        http_body.pass_on(request)
        asked, binary = await asyncio.to_thread(_decoded, request, body, length)
    else:
        asked, binary = _decoded(request, body, length)
        http_body.end(request)
    answer = await request.place.plane.infer(asked)
    if http_body.is_large(sum(array.nbytes for array in answer.outputs.values())):
        told = await asyncio.to_thread(tensors.encode_answer, answer, binary)
    else:
        told = tensors.encode_answer(answer, binary)
    if told.header_length is None:
        return Reply(told.body, spent=answer.spent, model=answer.model, version=answer.version)
    headers = ((_LENGTH, str(told.header_length)),)
    return Reply(told.body, 200, BINARY, headers, answer.spent, answer.model, answer.version)


def _decoded(request: Request, body: bytes, length: int | None) -> tuple[InferRequest, tensors.Binary]:
    return tensors.decode_request(
        body, length, model=request.name, version=request.version, limits=request.place.settings.limits
    )


def _number(told: str) -> int:
    if not told.isdecimal() or len(told) > 18:
        raise InputError(f"{tensors.HEADER_LENGTH} is {told[:40]!r}; it is the number of bytes of the JSON")
    return int(told)
