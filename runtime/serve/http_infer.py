"""Tensors over HTTP: the handler that has to be fast."""

from edgepack.runtime.errors import InputError, NotServedError
from edgepack.runtime.serve import http_body, tensors
from edgepack.runtime.serve.http_wire import BINARY, FACE, RefusedError, Reply, Request

_LENGTH = tensors.HEADER_LENGTH.lower()


async def infer(request: Request) -> Reply:
    """Run tensors through a model: JSON, or JSON with binary tensors behind it."""
    place = request.place
    try:
        body = await http_body.read_for_model(request)
        asked, binary = tensors.decode_request(
            body, _header_length(request), model=request.name, version=request.version,
            limits=place.settings.limits,
        )  # fmt: skip
        if request.flight.coming is not None:
            request.flight.coming.end()
        answer = await place.plane.infer(asked)
        told = tensors.encode_answer(answer, binary)
    except Exception as error:
        count(request, error)
        raise
    place.metrics.answered(answer.model, answer.version, FACE, answer.spent, len(told.body))
    if told.header_length is None:
        return Reply(told.body, spent=answer.spent)
    return Reply(told.body, 200, BINARY, ((_LENGTH, str(told.header_length)),), answer.spent)


def count(request: Request, error: Exception) -> None:
    """Count a failure; a name that no model has is not kept, so that nobody can fill the memory with names."""
    known = not isinstance(error, NotServedError)
    kind = type(error).__name__ if not isinstance(error, RefusedError) else f"Http{error.status}"
    request.place.metrics.failed(request.name if known else "", request.version if known else "", FACE, kind)


def _header_length(request: Request) -> int | None:
    told = request.headers.get(_LENGTH)
    if told is None:
        return None
    if not told.isdecimal() or len(told) > 18:
        raise InputError(f"{tensors.HEADER_LENGTH} is {told[:40]!r}; it is the number of bytes of the JSON")
    return int(told)
