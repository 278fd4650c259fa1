"""The HTTP face itself: what it answers beside tensors, whom it refuses, how it bears slow and gone clients."""

import gzip
import json
import logging
import socket
import time
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from edgepack.runtime.errors import DeniedError, NotReadyError, OverloadedError
from edgepack.runtime.serve.arrivals import Coming
from edgepack.runtime.serve.messages import InferAnswer, InferRequest
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.settings import Settings
from tests.runtime.serve.http_running import Echo, Running, running

INFER = "/v2/models/echo/infer"
ONE = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.5]}]}


def spoken(server: Running, text: bytes, *, wait_s: float = 5.0) -> bytes:
    """What the server says to some bytes on a connection, until it closes it or says nothing more."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait_s) as one:
        one.sendall(text)
        found = b""
        while piece := one.recv(65536):
            found += piece
            if b"\r\n\r\n" in found and b"}" in found:
                break
        return found


@pytest.mark.parametrize(
    ("path", "told"),
    [("/v2/health/live", {"live": True}), ("/v2/health/ready", {"ready": True}),
     ("/v2/models/mlp/ready", {"name": "mlp", "ready": True}), ("/v2/statistics", [])],
)  # fmt: skip
def test_plain_questions_have_plain_answers(server: Running, path: str, told: Any) -> None:
    answer = server.ask("GET", path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    if told:
        assert answer.json() == told


def test_metrics_are_text_for_prometheus(server: Running) -> None:
    answer = server.ask("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")


def test_the_path_of_a_model_is_read_as_people_write_it(server: Running) -> None:
    assert server.ask("GET", "/v2/models/mlp/").json()["name"] == "mlp"
    assert "'a b'" in server.ask("GET", "/v2/models/a%20b").json()["error"]


@pytest.mark.parametrize(
    "path", ["/v3", "/v2/models", "/v2/models//infer", "/page/../../etc/passwd", "/v2/models/" + "x" * 3000]
)
def test_nothing_is_at_another_path(server: Running, path: str) -> None:
    answer = server.ask("GET", path)
    assert answer.status_code == 404
    assert "/openapi.json" in answer.json()["error"]


def test_head_is_get_without_a_body(server: Running) -> None:
    answer, whole = server.ask("HEAD", "/v2"), server.ask("GET", "/v2")
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-length"] == whole.headers["content-length"]


def test_another_method_is_told_those_there_are(server: Running) -> None:
    answer = server.ask("DELETE", "/v2/models/mlp/infer")
    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")
    asked = server.ask("OPTIONS", "/v2")
    assert (asked.status_code, asked.headers["allow"]) == (204, "GET, HEAD, OPTIONS")


def test_every_answer_has_an_id_and_says_what_browsers_may_do(server: Running) -> None:
    for path in ("/v2", "/nothing", "/v2/models/nothing"):
        first, second = server.ask("GET", path).headers, server.ask("GET", path).headers
        assert first["x-request-id"] != second["x-request-id"]
        assert first["x-content-type-options"] == "nosniff"
        assert first["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "access-control-allow-origin" not in first


@pytest.mark.parametrize(
    ("given", "is_kept"), [("my-id.7", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ('"<x>', False)]
)
def test_a_sane_id_of_the_client_is_kept(server: Running, given: str, is_kept: bool) -> None:
    assert (server.ask("GET", "/v2", headers={"x-request-id": given}).headers["x-request-id"] == given) is is_kept


def test_a_body_that_is_too_large_is_refused_before_it_is_read(echo: Running) -> None:
    answer = echo.ask("POST", INFER, content=b"x" * 100_001)
    assert answer.status_code == 413
    assert "100,000" in answer.json()["error"]
    head = f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n".encode()
    assert b" 413 " in spoken(echo, head)


def test_a_body_of_no_told_length_is_refused_when_it_grows_too_large(echo: Running) -> None:
    def pieces(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b" " * 1_000

    body = json.dumps(ONE).encode()
    assert echo.ask("POST", INFER, content=iter([body[:20], body[20:]])).status_code == 200
    assert echo.ask("POST", INFER, content=pieces(101)).status_code == 413


def test_many_large_bodies_at_once_are_refused_before_they_fill_the_memory(echo: Running) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 90000\r\n\r\n".encode()
    waiting = [socket.create_connection(("127.0.0.1", echo.port)) for _ in range(4)]
    for one in waiting:
        one.sendall(head)
    time.sleep(0.1)
    said = spoken(echo, head)
    assert b" 429 " in said
    assert b"retry-after: 1" in said
    for one in waiting:
        one.close()
    time.sleep(0.2)
    assert echo.ask("POST", INFER, content=b" " * 90_000).status_code == 400


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_small_body_that_unpacks_to_much_is_refused(echo: Running, pack: Any) -> None:
    kind = "gzip" if pack is gzip.compress else "deflate"
    answer = echo.ask("POST", INFER, content=pack(b" " * 50_000_000), headers={"content-encoding": kind})
    assert answer.status_code == 413
    assert "unpacks to more than 100,000 bytes" in answer.json()["error"]


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [("gzip", b"not packed", 400), ("gzip", gzip.compress(b"{}")[:-3], 400), ("gzip", gzip.compress(b"{}") + b"x", 400),
     ("br", b"{}", 415)],
    ids=["not-packed", "cut-off", "something-behind", "another-way"],
)  # fmt: skip
def test_a_body_that_is_packed_wrongly_is_refused(echo: Running, encoding: str, body: bytes, status: int) -> None:
    assert echo.ask("POST", INFER, content=body, headers={"content-encoding": encoding}).status_code == status


def test_answers_are_packed_only_where_that_saves_something(echo: Running) -> None:
    assert "content-encoding" not in echo.ask("POST", INFER, json=ONE).headers
    many = {"inputs": [{"name": "x", "shape": [900], "datatype": "FP32", "data": [1.5] * 900}]}
    answer = echo.ask("POST", INFER, json=many, headers={"accept-encoding": "gzip;q=0.5, br"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["outputs"][0]["data"] == [1.5] * 900
    for accepted in ("identity", "gzip;q=0", "br"):
        assert (
            "content-encoding" not in echo.ask("POST", INFER, json=many, headers={"accept-encoding": accepted}).headers
        )


@pytest.mark.parametrize("length", ["x", "-1", "9" * 30, "1.5", ""])
def test_a_header_length_that_is_no_number_is_refused(echo: Running, length: str) -> None:
    answer = echo.ask(
        "POST", INFER, content=json.dumps(ONE), headers=[(b"inference-header-content-length", length.encode())]
    )
    assert answer.status_code == 400


def test_a_body_that_comes_too_slowly_is_given_up(echo: Running) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n".encode()
    start = time.monotonic()
    said = spoken(echo, head + b"abc")
    assert b" 408 " in said
    assert b"connection: close" in said.lower()
    assert time.monotonic() - start < 4
    assert echo.ask("POST", INFER, json=ONE).status_code == 200


def test_what_a_client_waits_for_may_take_longer_than_its_body(echo: Running) -> None:
    assert isinstance(echo.plane, Echo)
    echo.plane.delay_s = 0.8  # a body must come within 0.5 s
    assert echo.ask("POST", INFER, json=ONE).status_code == 200


def test_a_client_that_has_gone_away_is_not_computed(echo: Running) -> None:
    assert isinstance(echo.plane, Echo)
    echo.plane.delay_s = 1.0
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(echo.url + INFER, json=ONE, timeout=0.3)
    time.sleep(1.2)
    assert echo.plane.computed == 0
    assert echo.app.in_flight == 0
    assert echo.ask("POST", INFER, json=ONE).status_code == 200


def test_a_client_that_goes_away_in_the_middle_of_its_body_leaves_nothing(echo: Running) -> None:
    with socket.create_connection(("127.0.0.1", echo.port)) as one:
        one.sendall(f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nabc".encode())
        time.sleep(0.1)
        assert echo.app.in_flight == 1
    time.sleep(0.2)
    assert echo.app.in_flight == 0


class Strict:
    """A guard of one token for reading and one for all, which is busy on request."""

    def check(self, kind: str, token: str | None, address: str) -> None:
        assert address == "127.0.0.1"
        if token == "busy":
            raise OverloadedError("the rate is spent; come again", retry_after_s=2.2)
        if kind == "open" or token == "admin" or (kind == "read" and token == "read"):
            return
        raise DeniedError("a token is needed", is_known=token == "read")


class Full(Echo):
    """A plane whose models take nothing more."""

    def admit(self, name: str, version: str = "", *, lag_s: float = 0.0) -> Coming | None:
        raise OverloadedError("too many wait; come again", retry_after_s=2.2)


@pytest.mark.parametrize("call", ["infer", "predict"])
@pytest.mark.parametrize("size", [10, 50_000, 3_000_000])
def test_a_model_that_is_full_refuses_before_it_reads_and_the_connection_stays(call: str, size: int) -> None:
    with (
        running(Settings(models="nowhere"), make_plane=Full) as server,
        httpx.Client(base_url=server.url, timeout=20) as client,
    ):
        for _ in range(3):
            answer = client.post(f"/v2/models/echo/{call}", content=b"x" * size)  # no JSON at all, and nobody sees it
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
            assert "connection" not in answer.headers
        assert server.app._place.flights._left_bytes == 4 * 64 * 2**20


def test_a_client_that_waits_for_a_word_before_its_body_is_refused_without_it() -> None:
    with running(Settings(models="nowhere"), make_plane=Full) as server:
        head = (
            b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\nexpect: 100-continue\r\n\r\n"
            % INFER.encode()
        )
        told = spoken(server, head)
    assert told.startswith(b"HTTP/1.1 429 ")
    assert b"connection: close" in told.lower()


class Failing(Plane):
    """A plane that fails in every way."""

    async def infer(self, request: InferRequest) -> InferAnswer:
        if request.model == "late":
            raise NotReadyError("it is loading")
        raise ZeroDivisionError("/secret/path")


@pytest.fixture(scope="module")
def strict() -> Iterator[Running]:
    settings = Settings(models="nowhere", cors_origins=("https://listed.example",))
    with running(settings, make_plane=Failing, guard=Strict()) as found:
        yield found


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/v2/health/live", None, 200), ("GET", "/v2", None, 401), ("GET", "/v2", "Bearer wrong", 401),
        ("GET", "/v2", "Basic read", 401), ("GET", "/v2", "bearer read", 200), ("GET", "/v2", "Bearer admin", 200),
        ("GET", "/metrics", None, 401), ("GET", "/openapi.json", None, 401), ("GET", "/", None, 200),
        ("POST", "/v2/repository/models/x/load", "Bearer read", 403),
        ("POST", "/v2/repository/models/x/load", "Bearer admin", 404),
        ("GET", "/v2", "Bearer busy", 429),
    ],
)  # fmt: skip
def test_the_guard_is_asked_first(strict: Running, method: str, path: str, token: str | None, status: int) -> None:
    answer = strict.ask(method, path, headers={} if token is None else {"authorization": token})
    assert answer.status_code == status
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    assert answer.headers.get("retry-after") == ("3" if status == 429 else None)


def test_a_fault_of_ours_is_told_without_its_inside(strict: Running, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"authorization": "Bearer read", "x-request-id": "find-me"}
    with caplog.at_level(logging.INFO, "edgepack.serve"):
        answer = strict.ask("POST", INFER, json=ONE, headers=headers)
        assert strict.ask("GET", "/v2/health/live").status_code == 200  # the line of the log comes behind the reply
    assert answer.status_code == 500
    assert answer.json() == {"error": "the server failed at this request; its log says why"}
    told = {record.name: record for record in caplog.records}
    assert told["edgepack.serve.http"].request_id == "find-me"
    assert "/secret/path" in told["edgepack.serve.http"].exc_text
    access = told["edgepack.serve.access"]
    assert (access.request_id, access.status, access.face, access.path) == ("find-me", 500, "rest", INFER)


def test_a_model_that_is_not_ready_says_when_to_come_again(strict: Running) -> None:
    answer = strict.ask("POST", "/v2/models/late/infer", json=ONE, headers={"authorization": "Bearer read"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_pages_of_other_origins_may_not_ask(strict: Running) -> None:
    headers = {"authorization": "Bearer admin", "origin": "https://other.example"}
    answer = strict.ask("POST", "/v2/repository/index", headers=headers)
    assert answer.status_code == 403
    assert "cors_origins" in answer.json()["error"]
    assert "access-control-allow-origin" not in answer.headers
    own = {**headers, "origin": strict.url}
    assert strict.ask("POST", "/v2/repository/index", headers=own).status_code == 200
    asked = strict.ask("OPTIONS", INFER, headers={**headers, "access-control-request-method": "POST"})
    assert "access-control-allow-methods" not in asked.headers


def test_pages_of_listed_origins_may_ask(strict: Running) -> None:
    headers = {"authorization": "Bearer admin", "origin": "https://listed.example"}
    answer = strict.ask("POST", "/v2/repository/index", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://listed.example"
    asked = strict.ask("OPTIONS", INFER, headers={**headers, "access-control-request-method": "POST"})
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-methods"] == "POST"
    assert "authorization" in asked.headers["access-control-allow-headers"]
    assert asked.headers["access-control-allow-origin"] == "https://listed.example"


def test_the_page_has_its_own_policy_and_no_path_leaves_it(strict: Running) -> None:
    answer = strict.ask("GET", "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert len(answer.headers.get_list("content-security-policy")) == 1
    for path in ("/page/%2e%2e/page.py", "/page/", "/page/..%2fpage.py"):
        assert strict.ask("GET", path).status_code == 404
