"""What a server writes to stderr: one line for each thing that happens, as JSON, or for people at a terminal.

Everything that goes through `logging` takes this way, that of libraries too. A line holds the fields of one table and
nothing else a caller may have attached, so that no tensor and no token can slip in, and no character of it can begin
another line or move a terminal's cursor.
"""

import contextlib
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

from edgepack.runtime.serve.request_log import ACCESS, RequestLog
from edgepack.runtime.serve.settings import LogSettings

# Beside time, level, logger and event, in this order; callers give them as `extra`.
FIELDS = (
    "request_id", "face", "method", "path", "model", "version", "status", "error", "milliseconds", "rows", "batch_rows",
    "response_bytes", "client",
)  # fmt: skip

_LONGEST_EVENT = 2000
_LONGEST_FIELD = 300
_MOST_FRAMES, _MOST_CAUSES = 60, 8
# Control characters, ends of lines, halves of characters, and what turns the direction of writing around.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SPACED = re.compile(r'[\s"=]|^$')


@contextlib.contextmanager
def logging_to_stderr(settings: LogSettings, stream: TextIO | None = None) -> Iterator[None]:
    """Write what happens while the block runs; before and after, logging is as it was.

    Args:
        settings: What is written, and how.
        stream: Instead of stderr.
    """
    stream = stream or sys.stderr
    plain = settings.format == "text" or (settings.format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter((_Text if plain else _Json)(with_messages=settings.level == "debug"))
    root, own, access = (logging.getLogger(name) for name in (None, "edgepack", ACCESS))
    before = root.handlers[:], root.level, own.level, access.level
    root.handlers[:] = [handler]
    level = settings.level.upper()
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))  # libraries have much to tell
    own.setLevel(level)
    wanted = _Wanted(settings)
    access.addFilter(wanted)
    if settings.requests == "none":
        access.setLevel(logging.CRITICAL + 1)  # who asks `isEnabledFor` makes up nothing
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        own.setLevel(before[2])
        access.setLevel(before[3])
        access.removeFilter(wanted)
        handler.close()


class _Wanted(logging.Filter):
    """Lets through the lines of requests that should have one, whoever wrote them."""

    def __init__(self, settings: LogSettings) -> None:
        super().__init__()
        self._log = RequestLog(settings)

    def filter(self, record: logging.LogRecord) -> bool:
        taken = getattr(record, "milliseconds", 0.0)
        total_ms = taken.get("total", 0.0) if isinstance(taken, dict) else taken
        return self._log.wants(getattr(record, "status", 0), round(total_ms * 1e6))


class _Facts(logging.Formatter):
    """What a record comes to as plain values.

    Args:
        with_messages: Whether errors of single requests are told with their messages, which may quote what was sent.
    """

    def __init__(self, *, with_messages: bool) -> None:
        super().__init__()
        self._with_messages = with_messages

    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        found: dict[str, Any] = {
            "time": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage()[:_LONGEST_EVENT],
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None and value != "":
                found[name] = _plain(value)
        return found

    def trace(self, record: logging.LogRecord) -> list[str]:
        """The errors of a record, each with where it was raised, the first cause first."""
        error = record.exc_info[1] if record.exc_info else None
        with_messages = self._with_messages or not hasattr(record, "request_id")
        told: list[str] = []
        for _ in range(_MOST_CAUSES):
            if error is None:
                break
            message = f": {error}"[:_LONGEST_FIELD] if with_messages else ""
            frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
            told[:0] = [
                *(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames),
                f"{type(error).__name__}{message}",
            ]
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return told[-2 * _MOST_FRAMES :]


class _Json(_Facts):
    def format(self, record: logging.LogRecord) -> str:
        facts = self.facts(record)
        if trace := self.trace(record):
            facts["trace"] = trace
        return _safe(json.dumps(facts, ensure_ascii=False))


class _Text(_Facts):
    def format(self, record: logging.LogRecord) -> str:
        facts = self.facts(record)
        head = f"{facts.pop('time')[11:]} {facts.pop('level').upper():7} {_safe(facts.pop('event'))}"
        del facts["logger"]
        pairs = (f"{name}={_shown(value)}" for name, value in facts.items())
        return "\n    | ".join((" ".join((head, *pairs)), *map(_safe, self.trace(record))))


def _plain(value: Any) -> Any:
    """A field as JSON has it; whatever is no plain value is told by its type."""
    if isinstance(value, str):
        return value[:_LONGEST_FIELD]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict):
        return {str(name)[:_LONGEST_FIELD]: _plain(one) for name, one in value.items()}
    return f"<{type(value).__name__}>"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "(" + " ".join(f"{_safe(name)} {_shown(one)}" for name, one in value.items()) + ")"
    text = _safe(str(value))
    return json.dumps(text, ensure_ascii=False) if _SPACED.search(text) else text


def _safe(text: str) -> str:
    """Text on one line, in which nothing but letters reaches a terminal; inside JSON it stays the same text."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
