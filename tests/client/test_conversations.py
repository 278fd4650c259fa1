"""When a request is sent again, and what a refusal becomes: without a socket."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from edgepack.client.calls import Call, Conversation, Done, Lost, Patience, Pause, Reply, advance, exchange
from edgepack.client.core import Core, Wish
from edgepack.runtime import errors
from edgepack.runtime.errors import (
    ConflictError,
    DeadlineError,
    DeniedError,
    InputError,
    NotReadyError,
    NotServedError,
    OverloadedError,
    PackError,
    ServeError,
    TooLargeError,
)
from edgepack.runtime.serve.messages import ModelMetadata, RawMetadata

WELL = Reply(200, {}, b"{}")
BROKEN = Lost("connection reset by peer")
CALL = Call("POST", "/v2/models/m/infer", timeout_s=5.0)
LEAST = Patience(2, jitter=lambda low, high: low)


def refused(status: int, after: str = "", message: str = "no") -> Reply:
    return Reply(status, {"retry-after": after} if after else {}, f'{{"error": "{message}"}}'.encode())


def converse(conversation: Conversation[Any], answers: Sequence[Reply | Lost]) -> tuple[list[Call], list[float], Any]:
    """What was sent and how long was waited, and the result or the error."""
    sent, waited, given = [], [], iter(answers)
    step = advance(conversation, None)
    try:
        while not isinstance(step, Done):
            if isinstance(step, Pause):
                waited.append(step.seconds)
                step = advance(conversation, None)
            else:
                sent.append(step)
                step = advance(conversation, next(given))
    except errors.EdgepackError as error:
        return sent, waited, error
    return sent, waited, step.result


def test_a_good_answer_is_asked_for_once() -> None:
    assert converse(exchange("here", CALL, LEAST), [WELL]) == ([CALL], [], WELL)


@pytest.mark.parametrize("first", [BROKEN, refused(429), refused(503)], ids=["broken", "overloaded", "not-ready"])
def test_what_was_not_computed_is_asked_for_again(first: Reply | Lost) -> None:
    assert converse(exchange("here", CALL, LEAST), [first, WELL]) == ([CALL, CALL], [0.05], WELL)


def test_the_pauses_grow_where_the_server_does_not_say_how_long() -> None:
    _, waited, error = converse(exchange("here", CALL, LEAST), [BROKEN] * 3)
    assert waited == [0.05, 0.1]
    assert type(error) is ServeError
    assert str(error) == "no answer from here: connection reset by peer; is `edgepack serve` running there?"


def test_the_server_says_how_long_to_wait() -> None:
    assert converse(exchange("here", CALL, LEAST), [refused(429, "3"), WELL])[1] == [3.0]


@pytest.mark.parametrize(
    "answers",
    [[refused(429, "11")], [refused(503, "4"), refused(503, "4")]],
    ids=["longer-than-anybody-waits", "longer-than-the-time-that-is-left"],
)
def test_a_wait_that_is_too_long_is_given_up_at_once(answers: list[Reply]) -> None:
    _, waited, error = converse(exchange("here", CALL, LEAST), answers)
    assert len(waited) == len(answers) - 1
    assert isinstance(error, (OverloadedError, NotReadyError))


@pytest.mark.parametrize("first", [refused(400), refused(500), refused(504), Lost("late", is_late=True)], ids=str)
def test_what_would_fail_again_is_not_asked_for_again(first: Reply | Lost) -> None:
    assert len(converse(exchange("here", CALL, LEAST), [first])[0]) == 1


def test_what_must_not_happen_twice_is_sent_once() -> None:
    core = Core("here", binary=True, timeout_s=1.0, patience=LEAST)
    sent, _, error = converse(core.rollback(Wish("m")), [BROKEN])
    assert [call.path for call in sent] == ["/v2/repository/models/m/rollback"]
    assert isinstance(error, ServeError)


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_priority_is_the_protocols_for_tensors_and_for_samples(asked: int) -> None:
    core = Core("here", binary=False, timeout_s=1.0, patience=Patience(0))
    wish = Wish("m", priority=asked)
    row = np.zeros((1, 2), np.float32)
    call = converse(core.infer({"x": row}, (), wish), [BROKEN])[0][0]
    assert msgspec.json.decode(call.content)["parameters"].get("priority", 0) == asked
    about = ModelMetadata("m", ("1",), "1", "", (), (), raw=(RawMetadata("t", "text", "a text"),))
    call = converse(core.predict("good", wish), [Reply(200, {}, msgspec.json.encode(about)), BROKEN])[0][1]
    assert msgspec.json.decode(call.content).get("priority", 0) == asked


@pytest.mark.parametrize("asked", [-1, 2**32, True])
def test_a_priority_that_is_none_is_refused_before_it_is_sent(asked: int) -> None:
    core = Core("here", binary=False, timeout_s=1.0, patience=LEAST)
    with pytest.raises(InputError, match="parameter priority is"):
        next(core.infer({"x": np.zeros(1)}, (), Wish("m", priority=asked)))


def test_no_retries_are_none() -> None:
    assert len(converse(exchange("here", CALL, Patience(0)), [BROKEN])[0]) == 1


def test_clients_that_were_refused_together_do_not_come_again_together() -> None:
    pauses = {Patience(1).pause_s(0, refused(429, "2")) for _ in range(20)}
    assert len(pauses) > 1
    assert all(pause is not None and 2.0 <= pause <= 2.5 for pause in pauses)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InputError), (401, DeniedError), (403, DeniedError), (404, NotServedError), (409, ConflictError),
        (413, TooLargeError), (422, PackError), (429, OverloadedError), (500, ServeError), (503, NotReadyError),
        (504, DeadlineError),
    ],
)  # fmt: skip
def test_a_status_is_the_error_that_the_server_raised(status: int, kind: type[Exception]) -> None:
    error = converse(exchange("here", CALL, Patience(0)), [refused(status, message="why it is")])[2]
    assert type(error) is kind
    assert str(error) == "why it is"


def test_an_error_keeps_what_else_the_server_said() -> None:
    overloaded = converse(exchange("here", CALL, Patience(0)), [refused(429, "7")])[2]
    assert overloaded.retry_after_s == 7.0
    unknown, forbidden = (converse(exchange("here", CALL, LEAST), [refused(status)])[2] for status in (401, 403))
    assert (unknown.is_known, forbidden.is_known) == (False, True)


@pytest.mark.parametrize("content", [b"", b"<html>Bad Gateway</html>", b"\xff", b'{"detail": 3}'])
def test_a_page_of_a_proxy_is_told_in_our_own_words(content: bytes) -> None:
    error = converse(exchange("http://here", CALL, LEAST), [Reply(502, {}, content)])[2]
    assert type(error) is ServeError
    assert str(error) == "http://here answers 502 and no reason"


@pytest.mark.parametrize(
    ("model", "version", "path"),
    [
        ("m", "", "/v2/models/m"),
        ("m", "stable", "/v2/models/m/versions/stable"),
        ("../admin", "1/../2", "/v2/models/..%2Fadmin/versions/1%2F..%2F2"),
        ("数字 ?", "", "/v2/models/%E6%95%B0%E5%AD%97%20%3F"),
    ],
)
def test_names_never_leave_their_place_in_the_path(model: str, version: str, path: str) -> None:
    core = Core("here", binary=True, timeout_s=1.0, patience=LEAST)
    assert converse(core.model(Wish(model, version)), [refused(404)])[0][0].path == path


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no answer of this protocol"), (b"[]", "no answer of this protocol"), (b"\xff\xfe", "no answer")],
)
def test_an_answer_that_is_none_is_said_to_be_none(content: bytes, message: str) -> None:
    core = Core("here", binary=True, timeout_s=1.0, patience=LEAST)
    for conversation in (core.model(Wish("m")), core.infer({}, (), Wish("m")), core.index(ready=False)):
        error = converse(conversation, [Reply(200, {}, content)])[2]
        assert type(error) is ServeError or content == b"[]"
        assert message in str(error) or content == b"[]"
