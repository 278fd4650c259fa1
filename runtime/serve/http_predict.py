"""Raw samples over HTTP: an image, a text, a row, a sound in, labels with scores out."""

import base64
from typing import Any

import msgspec
import numpy as np

from edgepack.runtime.errors import InputError, TooLargeError, one_line
from edgepack.runtime.pictures import png
from edgepack.runtime.results import plain
from edgepack.runtime.serve import http_body, http_samples, parameters
from edgepack.runtime.serve.http_infer import count
from edgepack.runtime.serve.http_wire import FACE, JSON, Reply, Request, encode
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
    place = request.place
    try:
        body = await http_body.read_for_model(request)
        if request.flight.coming is not None:
            request.flight.coming.leave()
        model = await place.plane.model(request.name, request.version)
        answer = await place.plane.predict(_asked(request, model, body))
        told = encode(_told(model, answer))
    except Exception as error:
        count(request, error)
        raise
    place.metrics.answered(answer.model, answer.version, FACE, answer.spent, len(told))
    return Reply(told, spent=answer.spent)


def _asked(request: Request, model: ModelMetadata, body: bytes) -> PredictRequest:
    content_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if content_type not in _AS_JSON:
        samples = http_samples.of_body(model, content_type, body)
        return PredictRequest(request.name, _few(samples), request.version)
    try:
        asked = _ASKED.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f'the body is not {{"sample": …}} or {{"samples": […]}}: {one_line(error)}') from None
    if (asked.sample is msgspec.UNSET) == (asked.samples is None):
        raise InputError('the body takes either "sample" or "samples", and one of them')
    given = [asked.sample] if asked.samples is None else _few(asked.samples)
    samples = [http_samples.of_json(model, value) for value in given]
    if asked.timeout_ms is not None and not 0 < asked.timeout_ms <= 86_400_000:
        raise InputError(f"timeout_ms is {asked.timeout_ms}; it is milliseconds, more than 0 and at most a day")
    timeout_s = None if asked.timeout_ms is None else asked.timeout_ms / 1e3
    priority = parameters.priority({"priority": asked.priority})
    return PredictRequest(request.name, samples, request.version, asked.id, timeout_s, priority)


def _few(samples: list[Any]) -> list[Any]:
    if len(samples) > _MOST_SAMPLES:
        raise TooLargeError(f"there are {len(samples):,} samples; at most {_MOST_SAMPLES:,} are taken at once")
    return samples


def _told(model: ModelMetadata, answer: PredictAnswer) -> PredictTold:
    pictures = {name for name, kind in model.results.items() if kind == "picture"}
    spent = answer.spent
    return PredictTold(
        answer.model,
        answer.version,
        [_result(result, pictures) for result in answer.results],
        Milliseconds(spent.queue_ns / 1e6, spent.pre_ns / 1e6, spent.infer_ns / 1e6, spent.post_ns / 1e6),
        answer.id,
    )


def _result(result: Any, pictures: set[str]) -> Any:
    """A result for JSON: what `results.plain` gives, and a picture as the file of it."""
    if isinstance(result, dict):
        return {name: _picture(value) if name in pictures else plain(value) for name, value in result.items()}
    return _picture(result) if pictures and isinstance(result, np.ndarray) else plain(result)


def _picture(pixels: Any) -> dict[str, Any]:
    return {"png_base64": base64.b64encode(png(pixels)).decode(), "shape": list(pixels.shape)}
