"""Raw samples over HTTP: an image, a text, a row, a sound in, labels with scores out."""

import base64
from functools import partial
from typing import Any

import msgspec
import numpy as np

from edgepack.runtime.errors import InputError, TooLargeError, one_line
from edgepack.runtime.pictures import png
from edgepack.runtime.results import plain
from edgepack.runtime.serve import http_body, http_samples, parameters
from edgepack.runtime.serve.http_wire import JSON, Reply, Request, encode
from edgepack.runtime.serve.messages import ModelMetadata, PredictAnswer, PredictRequest

_MOST_SAMPLES = 4_096
_AS_JSON = {JSON, "", "application/x-www-form-urlencoded"}  # curl says the last where it is told nothing


class PredictAsked(msgspec.Struct):
    """One sample, or several."""

    sample: Any = msgspec.UNSET
    """Text; numbers, nested; a row by column; `{"base64": "…"}` of a file; or several parts by name."""
    samples: list[Any] | None = None
    """Several of them, in place of `sample`."""
    id: str = ""
    timeout_ms: float | None = None
    """The answer is worth nothing later than this."""
    priority: int = 0
    """1 is served first, then 2; what names none comes last."""


class Milliseconds(msgspec.Struct):
    """Where the time went."""

    queue: float
    pre: float
    infer: float
    post: float


class PredictTold(msgspec.Struct):
    """Results a person can read."""

    model_name: str
    model_version: str
    results: list[Any]
    """One for each sample: labels with scores, numbers with units, arrays, or pictures as `png_base64`."""
    milliseconds: Milliseconds
    id: str = ""


_ASKED = msgspec.json.Decoder(PredictAsked)


async def predict(request: Request) -> Reply:
    """Run raw samples through a model's own steps."""
    body = await http_body.read_for_model(request)
    http_body.pass_on(request)
    content_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if content_type in _AS_JSON:
        asked = _asked(request, await http_body.worked(partial(_decoded, body), len(body)), len(body))
    else:
        asked = PredictRequest(request.name, partial(_raw, content_type, body), request.version)
    answer = await request.place.plane.predict(asked)
    told = await http_body.worked(partial(_told, answer), sum(map(_size, answer.results)))
    return Reply(told, spent=answer.spent, model=answer.model, version=answer.version)


async def _raw(content_type: str, body: bytes, model: ModelMetadata) -> list[Any]:
    """The samples in a body that is no JSON."""
    return _few(await http_body.worked(partial(http_samples.of_body, model, content_type, body), len(body)))


async def _values(given: list[Any], size_bytes: int, model: ModelMetadata) -> list[Any]:
    """The samples that values of JSON mean."""
    return await http_body.worked(lambda: [http_samples.of_json(model, value) for value in given], size_bytes)


def _decoded(body: bytes) -> PredictAsked:
    try:
        asked = _ASKED.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f'the body is not {{"sample": …}} or {{"samples": […]}}: {one_line(error)}') from None
    if (asked.sample is msgspec.UNSET) == (asked.samples is None):
        raise InputError('the body takes either "sample" or "samples", and one of them')
    if asked.timeout_ms is not None and not 0 < asked.timeout_ms <= 86_400_000:
        raise InputError(f"timeout_ms is {asked.timeout_ms}; it is milliseconds, more than 0 and at most a day")
    return asked


def _asked(request: Request, told: PredictAsked, size_bytes: int) -> PredictRequest:
    given = [told.sample] if told.samples is None else _few(told.samples)
    timeout_s = None if told.timeout_ms is None else told.timeout_ms / 1e3
    priority = parameters.priority({"priority": told.priority})
    samples = partial(_values, given, size_bytes)
    return PredictRequest(request.name, samples, request.version, told.id, timeout_s, priority)


def _few(samples: list[Any]) -> list[Any]:
    if len(samples) > _MOST_SAMPLES:
        raise TooLargeError(f"there are {len(samples):,} samples; at most {_MOST_SAMPLES:,} are taken at once")
    return samples


def _told(answer: PredictAnswer) -> bytes:
    pictures = {name for name, kind in answer.kinds.items() if kind == "picture"}
    spent = answer.spent
    told = PredictTold(
        answer.model,
        answer.version,
        [_result(result, pictures) for result in answer.results],
        Milliseconds(spent.queue_ns / 1e6, spent.pre_ns / 1e6, spent.infer_ns / 1e6, spent.post_ns / 1e6),
        answer.id,
    )
    return encode(told)


def _size(result: Any) -> int:
    """About how many bytes of JSON a result will be."""
    if isinstance(result, dict):
        return sum(map(_size, result.values()))
    return 8 * result.size if isinstance(result, np.ndarray) else 64


def _result(result: Any, pictures: set[str]) -> Any:
    """A result for JSON: what `results.plain` gives, and a picture as the file of it."""
    if isinstance(result, dict):
        return {name: _picture(value) if name in pictures else plain(value) for name, value in result.items()}
    return _picture(result) if pictures and isinstance(result, np.ndarray) else plain(result)


def _picture(pixels: Any) -> dict[str, Any]:
    return {"png_base64": base64.b64encode(png(pixels)).decode(), "shape": list(pixels.shape)}
