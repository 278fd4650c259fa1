"""From a refusal over the wire back to the error that the server raised."""

from collections.abc import Callable, Mapping

import msgspec

from edgepack.runtime import errors
from edgepack.runtime.errors import EdgepackError, OverloadedError, ServeError, one_line


class _Told(msgspec.Struct):
    error: str


# status -> the error it was; 400 tells of several, and all of them are of the kind of `InputError`
_ERRORS: dict[int, Callable[[str], EdgepackError]] = {
    400: errors.InputError,
    401: errors.DeniedError,
    403: lambda message: errors.DeniedError(message, is_known=True),
    404: errors.NotServedError,
    409: errors.ConflictError,
    413: errors.TooLargeError,
    422: errors.PackError,
    503: errors.NotReadyError,
    504: errors.DeadlineError,
}


def from_reply(address: str, status: int, headers: Mapping[str, str], content: bytes) -> EdgepackError:
    """The error that a reply tells of, with the server's own words; a plain `ServeError` where it cannot be told.

    Args:
        address: Of the server, for what is no word of edgepack's.
        status: 300 or higher.
        headers: By name in small letters.
        content: `{"error": "…"}`.
    """
    message = _message(content) or f"{address} answers {status} and no reason"
    if status == 429:
        return OverloadedError(message, retry_after_s(headers) or 1.0)
    return _ERRORS.get(status, ServeError)(message)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """When the server wants to be asked again; None where it does not say so in seconds."""
    said = headers.get("retry-after", "")
    return float(said) if said.isascii() and said.isdigit() else None


def _message(content: bytes) -> str:
    try:
        return one_line(msgspec.json.decode(content, type=_Told).error)
    except (msgspec.DecodeError, UnicodeDecodeError):  # a proxy's page, or nothing at all
        return ""
