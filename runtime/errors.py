"""Every error edgepack raises on purpose.

EdgepackError
├── InputError            a tensor, sample or argument is not what is taken (ValueError)
├── StepError             a step of the pack cannot run on this sample (ValueError)
├── PackError             a pack is damaged, hostile or of another format version (ValueError)
├── ModelError            a model or file cannot be read or run (ValueError)
│   └── UnsafeModelError  a model carries code that would have to be executed
├── ConvertError          no variant could be built, or the one that was asked for (RuntimeError)
│   └── NothingLeftError  with what stays in float, nothing is left to quantize
├── DataError             a data set for training, calibration or evaluation does not fit (ValueError)
├── UnknownNameError      a name that no table has: the message lists those it has (ValueError)
├── EngineError           an engine is missing or refuses a file (RuntimeError)
├── ProviderError         the asked provider cannot run here (RuntimeError)
├── MissingExtraError     a package is needed that is not installed (ImportError)
├── MissingFileError      a file that was named is not there (FileNotFoundError)
├── OutputError           an output exists already or cannot be written (OSError)
└── ServeError            a server cannot answer this request (RuntimeError)
    ├── NotServedError    no such model, version or label is served (LookupError)
    ├── NotReadyError     it is served, and not ready to answer
    ├── OverloadedError   the queue is full, or the rate is spent: it says when to come again
    ├── DeadlineError     the answer would come too late (TimeoutError)
    ├── TooLargeError     a request is larger than the server takes
    ├── DeniedError       a token is missing or not the right one (PermissionError)
    └── ConflictError     what is asked for cannot be done in the state that things are in

NanInputWarning is a warning, not an error: a float input holds NaN.

Each error is also the builtin error it resembles. A message says what came, what is taken and what to do. Errors know
nothing of HTTP or exit codes. Anything that is not an `EdgepackError` is a bug.
"""

from collections.abc import Iterable


class EdgepackError(Exception):
    """Something the user can mend; the message is one line that says how."""


class InputError(EdgepackError, ValueError):
    """A tensor, a sample or an argument is not what is taken."""


class StepError(EdgepackError, ValueError):
    """A step of the pack cannot run on this sample."""


class PackError(EdgepackError, ValueError):
    """A pack is damaged, hostile, or of a format version this edgepack does not know."""


class ModelError(EdgepackError, ValueError):
    """A model or a file cannot be read or run."""


class UnsafeModelError(ModelError):
    """A model carries code (a Lambda layer) that would have to be executed to load it."""


class ConvertError(EdgepackError, RuntimeError):
    """No variant could be built, or not the one that was asked for."""


class NothingLeftError(ConvertError):
    """With what stays in float, nothing is left to quantize."""


class DataError(EdgepackError, ValueError):
    """A data set for training, calibration or evaluation does not fit."""


class UnknownNameError(EdgepackError, ValueError):
    """A name that no table has."""

    def __init__(self, kind: str, asked: str, known: Iterable[str], hint: str = "") -> None:
        self.kind, self.asked, self.known = kind, asked, tuple(known)
        message = f"unknown {kind} {asked!r} (known: {', '.join(self.known) or 'none'})"
        super().__init__(f"{message}; {hint}" if hint else message)


class EngineError(EdgepackError, RuntimeError):
    """An engine is missing, or refuses a file."""


class ProviderError(EdgepackError, RuntimeError):
    """The asked provider cannot run here."""

    def __init__(self, asked: str, why: str, available: Iterable[str]) -> None:
        self.asked, self.why, self.available = asked, why, tuple(available)
        super().__init__(
            f"provider {asked!r} is not available here: {why} (available: {', '.join(self.available) or 'none'}); "
            "name several, best first, to step down"
        )


class MissingExtraError(EdgepackError, ImportError):
    """A package is needed that is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} is not installed; run: pip install 'edgepack[{extra}]'")


class MissingFileError(EdgepackError, FileNotFoundError):
    """A file that was named is not there."""

    def __init__(self, path: object, kind: str = "file") -> None:
        super().__init__(f"no {kind} at {path}; check the path")


class NanInputWarning(UserWarning):
    """A float input holds NaN: the engine answers, but the answer means nothing."""


class OutputError(EdgepackError, OSError):
    """An output exists already or cannot be written."""


class ServeError(EdgepackError, RuntimeError):
    """A server cannot answer this request."""


class NotServedError(ServeError, LookupError):
    """No such model, version or label is served."""


class NotReadyError(ServeError):
    """A model is served, and not ready to answer: it is being loaded, was unloaded, or failed."""


class OverloadedError(ServeError):
    """The queue is full, or the rate is spent; nothing was computed.

    Attributes:
        retry_after_s: When it makes sense to come again, in seconds.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class DeadlineError(ServeError, TimeoutError):
    """The answer would come later than the request allows."""


class TooLargeError(ServeError):
    """A request is larger than the server takes."""


class DeniedError(ServeError, PermissionError):
    """A token is missing, or is not the right one.

    Attributes:
        is_known: Whether the token is a right one that may not do this.
    """

    def __init__(self, message: str, *, is_known: bool = False) -> None:
        self.is_known = is_known
        super().__init__(message)


class ConflictError(ServeError):
    """What is asked for cannot be done in the state that things are in."""


def one_line(error: object, most: int = 500) -> str:
    """What an error of a library says, on one line and in at most `most` characters, for a message of ours."""
    return " ".join(str(error).split())[:most]
