"""A line in the log for a request, where it should have one, and the id by which it is found there."""

import itertools
import logging
import os
import re
import secrets

from edgepack.runtime.errors import EdgepackError, InputError, StepError, one_line
from edgepack.runtime.serve.messages import Spent
from edgepack.runtime.serve.settings import LogSettings

ACCESS = "edgepack.serve.access"
"""The logger of the lines of requests."""

_LOG = logging.getLogger(ACCESS)
_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_QUOTING = (InputError, StepError)  # ours, but their messages may quote what was sent, as those of any library may


class _Ids:
    """New ids: random for each process, so that no two servers make the same, and counted in it, which is cheap."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin anew: a forked process must not go on where its parent was."""
        self._prefix, self._next = secrets.token_hex(6), itertools.count(1).__next__

    def new(self) -> str:
        return f"{self._prefix}-{self._next():x}"


_IDS = _Ids()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_IDS.begin)


def request_id(header: str | None) -> str:
    """The id of a request: what its client named it, if that is sane (128 safe characters at most), else a new one."""
    return header if header is not None and _SANE.fullmatch(header) else _IDS.new()


class RequestLog:
    """Writes a line for a request that failed or was slow, or for each, as the settings say.

    Ask `wants` first, which costs a tenth of a microsecond, and make up what is written only then.
    """

    def __init__(self, settings: LogSettings) -> None:
        every, never = settings.requests == "all", settings.requests == "none"
        self._from_ns = 0 if every else float("inf") if never else settings.slow_ms * 1e6
        self._from_status = float("inf") if never else 400

    def wants(self, status: int, total_ns: int) -> bool:
        """Whether a request that ended with this status of HTTP after this time gets a line.

        gRPC asks by the status that `failures` has for HTTP.
        """
        return status >= self._from_status or total_ns >= self._from_ns

    def write(  # noqa: PLR0913 - the fields of a line
        self,
        request_id: str,
        *,
        face: str,
        status: int,
        total_ns: int,
        model: str = "",
        version: str = "",
        path: str = "",
        spent: Spent | None = None,
        response_bytes: int = 0,
        error: BaseException | None = None,
        client: str = "",
    ) -> None:
        """Write the line: a warning where the server failed, else for information.

        Of errors that may quote what was sent only the class is told.
        """
        level = logging.WARNING if status >= 500 else logging.INFO
        if not _LOG.isEnabledFor(level):
            return
        facts = {
            "request_id": request_id, "face": face, "path": path, "model": model, "version": version, "status": status,
            "error": _told(error), "milliseconds": _milliseconds(total_ns, spent),
            "rows": spent and spent.rows, "batch_rows": spent and spent.batch_rows, "response_bytes": response_bytes,
            "client": client,
        }  # fmt: skip
        _LOG.log(level, "request", extra=facts)


def _told(error: BaseException | None) -> str:
    if error is None:
        return ""
    kind = type(error).__name__
    is_ours = isinstance(error, EdgepackError) and not isinstance(error, _QUOTING)
    return f"{kind}: {one_line(error, 200)}" if is_ours else kind


def _milliseconds(total_ns: int, spent: Spent | None) -> dict[str, float]:
    """The time of a request and its parts; what is missing from the sum was spent on reading and writing."""
    parts = {"total": total_ns}
    if spent is not None:
        parts |= {
            "queue": spent.queue_ns, "pre": spent.pre_ns, "infer": spent.infer_ns, "post": spent.post_ns,
        }  # fmt: skip
    return {name: round(ns / 1e6, 3) for name, ns in parts.items()}
