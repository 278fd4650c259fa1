"""What cannot be answered is an error that says why, of the class that the server raised."""

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.client import Client
from edgepack.runtime import errors
from edgepack.runtime.errors import (
    DeadlineError,
    DeniedError,
    InputError,
    MissingFileError,
    NotReadyError,
    NotServedError,
    OverloadedError,
    ServeError,
    StepError,
    TooLargeError,
)
from edgepack.runtime.serve.settings import Settings
from tests.conftest import Child
from tests.runtime.serve.http_running import running

ROW = np.ones((1, 4), np.float32)


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers one request after the other as it was told."""

    protocol_version = "HTTP/1.1"
    script: list[tuple[int, dict[str, str], bytes] | None]

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        told = self.script.pop(0)
        if told is None:  # the connection breaks
            self.close_connection = True
            return
        status, headers, body = told
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = answer  # noqa: N815 - names of the standard library

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - of the standard library
        pass


@pytest.fixture
def scripted() -> Iterator[tuple[str, list[Any]]]:
    """A server whose next answers are a list."""
    script: list[Any] = []
    handler = type("Handler", (Scripted,), {"script": script})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", script
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda client: client.run("nothing", {"x": ROW}), NotServedError, "nothing"),
        (lambda client: client.predict("nothing", "a"), NotServedError, "nothing"),
        (lambda client: client.model("nothing"), NotServedError, "nothing"),
        (lambda client: client.run("mlp", {"y": ROW}), InputError, "'x'"),
        (lambda client: client.run("mlp", {"x": ROW[:, :3]}), InputError, r"\(1, 3\)"),
        (lambda client: client.run("mlp", {"x": ROW.astype(int)}), InputError, "int64"),
        (lambda client: client.run("mlp", {"x": ROW.astype(complex)}), InputError, "complex128"),
        (lambda client: client.run("mlp", {"x": ROW}, outputs=["z"]), InputError, "'z'"),
        (lambda client: client.run("mlp", [[1, 2]]), InputError, "shape"),
        (lambda client: client.run("pair", ROW), InputError, "pass a dict by name"),
        (lambda client: client.predict("tiles", b"no image"), InputError, "not an image"),
        (lambda client: client.predict("tiles", "no/such/file.png"), MissingFileError, "no/such/file.png"),
        (lambda client: client.predict("tiles", np.ones((4, 4))), StepError, "uint8"),
        (lambda client: client.predict("row", {"age": 1}), InputError, "misses"),
        (lambda client: client.predict("text", 3), InputError, "is text"),
        (lambda client: client.predict("text", b"\xff\xfe"), InputError, "UTF-8"),
        (lambda client: client.predict("pair", {"a": [1.0, 2.0]}), InputError, "made of a, b"),
        (lambda client: client.predict("pair", "a"), InputError, "2 parts"),
        (lambda client: client.predict("mlp", [np.float32([1, 2, 3, np.nan])]), InputError, "NaN"),
        (lambda client: client.run("mlp", {"x": np.ones((90_000, 4), np.float32)}), TooLargeError, "bytes"),
    ],
)  # fmt: skip
def test_an_error_is_the_one_that_a_session_or_the_server_raises(
    client: Client, call: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        call(client)


def test_a_server_that_is_not_there_is_one_line_with_its_address() -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(url, retries=0) as client:
            assert not client.live()
            assert not client.ready()
            with pytest.raises(
                ServeError, match=rf"^no answer from {url}: .*refused.*; is `edgepack serve` running there\?$"
            ):
                client.predict("digits", "seven.png")


def test_a_broken_connection_is_made_again(scripted: tuple[str, list[Any]]) -> None:
    url, script = scripted
    script += [None, (200, {}, b"[]")]
    with Client(url) as client:
        assert client.models() == []
    assert script == []


def test_an_overloaded_server_is_asked_again_when_it_says(scripted: tuple[str, list[Any]]) -> None:
    url, script = scripted
    script += [(429, {"retry-after": "0"}, b'{"error": "full"}'), (200, {}, b"[]")]
    with Client(url) as client:
        assert client.models() == []
    script += [(429, {"Retry-After": "60"}, b'{"error": "the queue is full"}')]
    with Client(url) as client, pytest.raises(OverloadedError, match="the queue is full") as caught:
        client.models()
    assert caught.value.retry_after_s == 60


def test_a_server_that_is_not_ready_says_so(scripted: tuple[str, list[Any]]) -> None:
    url, script = scripted
    script += [(503, {}, b'{"error": "it is loading"}')] * 2
    with Client(url, retries=1) as client, pytest.raises(NotReadyError, match="it is loading"):
        client.model("m")


def test_an_answer_that_takes_too_long_is_a_deadline_missed() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:  # nobody answers
        url = f"http://127.0.0.1:{server.server_address[1]}"
        with Client(url, timeout_s=0.1) as client, pytest.raises(DeadlineError, match=r"did not answer within 0\.1 s"):
            client.models()


class Token:
    """A guard that knows one token to read with."""

    def check(self, kind: str, token: str | None, address: str) -> None:
        if kind != "open" and token != "right":
            raise DeniedError("a token is needed")
        if kind == "admin":
            raise DeniedError("this token may not do that", is_known=True)


def test_a_token_is_sent_and_its_lack_told(models: Path) -> None:
    with running(Settings(models=str(models)), guard=Token()) as server:
        with Client(server.url, token="right") as client:
            assert client("mlp", ROW) is not None
            with pytest.raises(DeniedError, match="may not do that") as caught:
                client.unload("mlp")
            assert caught.value.is_known
        with (
            Client(server.url, token="wrong") as client,
            pytest.raises(DeniedError, match="a token is needed") as caught,
        ):
            client.models()
        assert not caught.value.is_known


@pytest.mark.parametrize(
    "url", ["", "http://", "ftp://here", "http://here:port", "http://[::1", "http://a:1/?x=1", "http://me:pass@here"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="no address of a server"):
        Client(url)


def test_an_address_may_leave_out_what_goes_without_saying(url: str) -> None:
    with Client(url.removeprefix("http://")) as client:
        assert client.url == url
        assert client.live()
    with Client(f"{url}/") as client:
        assert client.ready()


@pytest.mark.parametrize("token", ["", "two\nlines", "clé", " blank"])
def test_a_token_that_no_header_takes_is_refused(token: str) -> None:
    with pytest.raises(InputError, match="the token"):
        Client("http://here", token=token)


def test_authorities_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="file of authorities"):
        Client("https://here", verify=tmp_path / "ca.pem")


def test_a_timeout_is_more_than_nothing() -> None:
    with pytest.raises(InputError, match="timeout_s"):
        Client("http://here", timeout_s=0)


def test_without_httpx_the_error_says_what_to_install(child: Child) -> None:
    code = "from edgepack.client import Client\nClient('http://127.0.0.1:1')"
    said = child(code, without=("httpx",)).stderr
    assert f"{errors.__name__}.MissingExtraError" in said
    assert "pip install 'edgepack[client]'" in said


def test_asking_for_an_answer_imports_no_engine_and_nothing_that_serves(child: Child, url: str) -> None:
    code = (
        "import sys, numpy\nfrom edgepack.client import Client\n"
        "with Client(sys.argv[1]) as client:\n"
        "    client('mlp', numpy.ones((1, 4), 'float32')), client.predict('row', '1,2,3,4')\n"
        "print([name for name in ('onnxruntime', 'ai_edge_litert', 'httptools', 'grpc', 'PIL') if name in sys.modules])"
    )
    done = child(code, url)
    assert done.stdout == "[]\n", done.stderr
