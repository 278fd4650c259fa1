"""The one table from an error of edgepack to what each face answers with."""

from typing import NamedTuple

from edgepack.runtime import errors


class Status(NamedTuple):
    """How an error is told."""

    http: int
    grpc: str
    """The name of a `grpc.StatusCode`."""


# The first line that fits an error holds; what no line names is a fault of ours.
_STATUSES: tuple[tuple[type[BaseException], Status], ...] = (
    (errors.NotServedError, Status(404, "NOT_FOUND")),
    (errors.NotReadyError, Status(503, "UNAVAILABLE")),
    (errors.OverloadedError, Status(429, "UNAVAILABLE")),
    (errors.DeadlineError, Status(504, "DEADLINE_EXCEEDED")),
    (errors.TooLargeError, Status(413, "RESOURCE_EXHAUSTED")),
    (errors.ConflictError, Status(409, "FAILED_PRECONDITION")),
    (errors.InputError, Status(400, "INVALID_ARGUMENT")),
    (errors.StepError, Status(400, "INVALID_ARGUMENT")),
    (errors.UnknownNameError, Status(400, "INVALID_ARGUMENT")),
    (errors.MissingExtraError, Status(501, "UNIMPLEMENTED")),
    (errors.PackError, Status(422, "FAILED_PRECONDITION")),
    (errors.ModelError, Status(422, "FAILED_PRECONDITION")),
)
_UNAUTHENTICATED = Status(401, "UNAUTHENTICATED")
_FORBIDDEN = Status(403, "PERMISSION_DENIED")
_BUG = Status(500, "INTERNAL")


def status(error: BaseException) -> Status:
    """How `error` is told to a client; anything that no line of the table fits is `500` and `INTERNAL`."""
    if isinstance(error, errors.DeniedError):
        return _FORBIDDEN if error.is_known else _UNAUTHENTICATED
    for kind, found in _STATUSES:
        if isinstance(error, kind):
            return found
    return _BUG


def told(error: BaseException) -> str:
    """What a client is told: the message of an error of ours, and no word of the inside of anything else."""
    if isinstance(error, errors.EdgepackError):
        return errors.one_line(error)
    return "the server failed at this request; its log says why"
