"""What a server writes: one honest line for each thing, and nothing of what was sent to it."""

import asyncio
import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.runtime.errors import InputError, OverloadedError
from edgepack.runtime.serve.logs import FIELDS, logging_to_stderr
from edgepack.runtime.serve.messages import Spent
from edgepack.runtime.serve.request_log import ACCESS, RequestLog, request_id
from edgepack.runtime.serve.settings import LogSettings
from tests.conftest import Child

LOG = logging.getLogger("edgepack.serve.test")
SPENT = Spent(queue_ns=10_000, pre_ns=20_000, infer_ns=300_000, post_ns=4_000, rows=1, batch_rows=4)
JSON, TEXT = LogSettings(format="json"), LogSettings(format="text")


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(params=["json", "text"])
def either(request: pytest.FixtureRequest) -> LogSettings:
    return LogSettings(format=request.param)


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is written while a test runs, as JSON."""
    made = io.StringIO()
    with logging_to_stderr(JSON, made):
        yield made


def test_a_line_has_time_level_logger_and_event(stream: io.StringIO) -> None:
    LOG.warning("digits %s is not taken: %s", "3", "it gives NaN")
    (line,) = written(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning", "logger": "edgepack.serve.test", "event": "digits 3 is not taken: it gives NaN",
    }  # fmt: skip


def test_a_terminal_gets_lines_for_people() -> None:
    stream = Terminal()
    with logging_to_stderr(LogSettings(), stream):
        LOG.info("digits 3 is ready", extra={"model": "digits", "client": "a b"})
    assert re.fullmatch(
        r'\d\d:\d\d:\d\d\.\d{3}Z INFO    digits 3 is ready model=digits client="a b"\n', stream.getvalue()
    )


def test_a_request_is_told_with_all_that_is_known_of_it(stream: io.StringIO) -> None:
    RequestLog(JSON).write(
        "abc-1", face="rest", status=200, total_ns=2_000_000_000, model="数字", version="3", path="/v2/models/x/infer",
        spent=SPENT, response_bytes=700, client="127.0.0.1:5000",
    )  # fmt: skip
    (line,) = written(stream)
    assert line.pop("time")
    assert line == {
        "level": "info", "logger": "edgepack.serve.access", "event": "request", "request_id": "abc-1", "face": "rest",
        "path": "/v2/models/x/infer", "model": "数字", "version": "3", "status": 200,
        "milliseconds": {"total": 2000.0, "queue": 0.01, "pre": 0.02, "infer": 0.3, "post": 0.004},
        "rows": 1, "batch_rows": 4, "response_bytes": 700, "client": "127.0.0.1:5000",
    }  # fmt: skip
    assert "数字" in stream.getvalue(), "names of any language can be searched for"


def test_a_fault_of_the_server_is_a_warning_and_an_error_is_named(stream: io.StringIO) -> None:
    log = RequestLog(JSON)
    log.write("a", face="grpc", status=429, total_ns=0, error=OverloadedError("the queue is full"))
    log.write("b", face="grpc", status=500, total_ns=0, error=KeyError("secret"))
    first, second = written(stream)
    assert (first["level"], first["error"]) == ("info", "OverloadedError: the queue is full")
    assert (second["level"], second["error"]) == ("warning", "KeyError")


@pytest.mark.parametrize(
    ("requests", "status", "milliseconds", "wanted"),
    [
        ("all", 200, 0, True), ("errors", 200, 999, False), ("errors", 200, 1000, True), ("errors", 404, 0, True),
        ("none", 500, 0, False), ("none", 200, 10**9, False),
    ],
)  # fmt: skip
def test_the_settings_say_which_requests_get_a_line(
    requests: Any, status: int, milliseconds: int, wanted: bool
) -> None:
    assert RequestLog(LogSettings(requests=requests)).wants(status, milliseconds * 1_000_000) is wanted


@pytest.mark.parametrize(("requests", "lines"), [("all", [200, 200, 404]), ("errors", [200, 404]), ("none", [])])
def test_lines_that_a_face_writes_by_itself_follow_the_settings_too(requests: Any, lines: list[int]) -> None:
    stream = io.StringIO()
    access = logging.getLogger(ACCESS)
    with logging_to_stderr(LogSettings(requests=requests, format="json"), stream):
        for status, milliseconds in ((200, 3.5), (200, 1000.0), (404, 0.1)):
            access.info("GET /", extra={"status": status, "milliseconds": milliseconds})
        assert access.isEnabledFor(logging.INFO) is (requests != "none")
    assert [line["status"] for line in written(stream)] == lines
    assert access.isEnabledFor(logging.WARNING)
    assert not access.filters


def test_messages_that_may_quote_what_was_sent_stay_out(stream: io.StringIO) -> None:
    RequestLog(JSON).write("a", face="rest", status=400, total_ns=0, error=InputError("no number: 'my secret'"))
    try:
        float("my secret")
    except ValueError:
        LOG.exception("POST /predict failed", extra={"request_id": "a"})
    assert "secret" not in stream.getvalue()
    _, failure = written(stream)
    assert failure["trace"][-1] == "ValueError"
    assert "test_logs.py" in failure["trace"][-2]


def test_what_is_not_in_the_table_of_fields_stays_out(stream: io.StringIO, either: LogSettings) -> None:
    other = io.StringIO()
    with logging_to_stderr(either, other):
        LOG.info(
            "asked", extra={"token": "hunter2", "inputs": [1.5], "model": ["hunter2"], "status": {"a": b"hunter2"}}
        )
    assert "hunter2" not in other.getvalue()
    assert "1.5" not in other.getvalue()


def test_debug_tells_the_messages_of_errors_too() -> None:
    stream = io.StringIO()
    with logging_to_stderr(LogSettings(level="debug", format="json"), stream):
        try:
            float("what was sent")
        except ValueError:
            LOG.exception("failed", extra={"request_id": "a"})
    assert "what was sent" in written(stream)[0]["trace"][-1]


def test_faults_outside_of_requests_are_told_in_full_with_their_causes(stream: io.StringIO) -> None:
    try:
        try:
            raise OSError("the disk is gone")
        except OSError as error:
            raise RuntimeError("no state") from error
    except RuntimeError:
        LOG.exception("failed")
    trace = written(stream)[0]["trace"]
    assert [line for line in trace if "Error" in line] == ["OSError: the disk is gone", "RuntimeError: no state"]


NASTY = 'x\n{"level":"error"}\r\u2028\x1b[2J\x9b\x00\u202e\ud800\u0085y'


def test_no_text_begins_another_line_or_moves_the_cursor(either: LogSettings) -> None:
    stream = io.StringIO()
    with logging_to_stderr(either, stream):
        LOG.error("%s", NASTY, extra={"request_id": NASTY, "model": NASTY, "milliseconds": {NASTY: 1}})
        RequestLog(either).write(NASTY, face="rest", status=500, total_ns=0, path=NASTY, client=NASTY)
    lines = stream.getvalue().split("\n")
    assert len(lines) == 3
    assert stream.getvalue().replace("\n", "").isprintable()
    stream.getvalue().encode()
    if either.format == "json":
        assert json.loads(lines[0])["model"] == NASTY


def test_an_error_message_begins_no_line_of_its_own() -> None:
    stream = io.StringIO()
    with logging_to_stderr(TEXT, stream):
        try:
            raise RuntimeError(NASTY)
        except RuntimeError:
            LOG.exception("failed")
    first, *others, end = stream.getvalue().split("\n")
    assert first.endswith("failed")
    assert end == ""
    assert others
    assert all(line.startswith("    | ") and line.isprintable() for line in others)


@given(st.text(alphabet=st.characters(categories=None)))
def test_any_text_comes_through_json_as_it_was(text: str) -> None:
    stream = io.StringIO()
    with logging_to_stderr(JSON, stream):
        LOG.info("%s", text)
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue())["event"] == text[:2000]


def test_long_texts_are_cut(stream: io.StringIO) -> None:
    LOG.info("x" * 10**6, extra={"path": "y" * 10**6})
    assert len(stream.getvalue()) < 3000


def test_libraries_take_the_same_way(stream: io.StringIO) -> None:
    async def fail() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "a task was lost"})

    asyncio.run(fail())
    logging.getLogger("some.library").info("too much to tell")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("an input holds NaN", UserWarning, stacklevel=1)
    lost, warned = written(stream)
    assert (lost["logger"], lost["event"]) == ("asyncio", "a task was lost")
    assert warned["logger"] == "py.warnings"
    assert "an input holds NaN" in warned["event"]


def test_logging_is_afterwards_as_it_was_before() -> None:
    root, own = logging.getLogger(), logging.getLogger("edgepack")
    before = (root.handlers[:], root.level, own.level)
    with logging_to_stderr(LogSettings(level="debug"), io.StringIO()):
        assert LOG.isEnabledFor(logging.DEBUG)
    assert (root.handlers[:], root.level, own.level) == before


@pytest.mark.parametrize("header", ["a", "7f1c:/+=@-._Z", "x" * 128])
def test_sane_ids_of_clients_are_kept(header: str) -> None:
    assert request_id(header) == header


@pytest.mark.parametrize(
    "header", [None, "", "x" * 129, "a b", "a\n", "a\x00", 'a"', "a<script>", "数", "a;b", "a\u2028"], ids=repr
)
def test_other_ids_are_made_anew(header: str | None) -> None:
    made = request_id(header)
    assert made != header
    assert request_id(made) == made


def test_new_ids_are_never_the_same() -> None:
    assert len({request_id(None) for _ in range(1000)}) == 1000


_FORK = """
import os
from edgepack.runtime.serve.request_log import request_id
mine, child = request_id(None), os.fork()
if child == 0:
    print(request_id(None), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(mine)
"""


def test_a_forked_process_makes_ids_of_its_own(child: Child) -> None:
    first, second = child(_FORK).stdout.split()
    assert first.partition("-")[0] != second.partition("-")[0]


def test_the_documented_lines_have_the_documented_fields() -> None:
    text = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    table = text.partition("| field | meaning |")[2].partition("\n\n")[0]
    told = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert told == {"time", "level", "logger", "event", "trace", *FIELDS}
    for line in text.partition("## Logs")[2].partition("```json\n")[2].partition("```")[0].splitlines():
        assert json.loads(line).keys() <= told
