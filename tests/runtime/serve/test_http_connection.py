"""HTTP/1.1 on the wire: what a client may send, in which pieces, and what it is told of what it may not."""

import socket
import time
from collections.abc import Iterator

import pytest

from edgepack.runtime.serve.settings import Limits, Settings
from tests.runtime.serve.http_running import Echo, Running, running

LIVE = b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
BODY = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[2]}]}'
INFER = b"POST /v2/models/any/infer HTTP/1.1\r\nhost: localhost\r\n"


@pytest.fixture(scope="module")
def wire() -> Iterator[Running]:
    with running(Settings(models="nowhere", limits=Limits(read_timeout_s=1.0)), make_plane=Echo) as found:
        yield found


class Wire:
    """A connection that is spoken to in bytes."""

    def __init__(self, server: Running) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        self._came = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._socket.sendall(piece)
            time.sleep(0.02)  # so that it comes by itself

    def hear(self) -> tuple[bytes, bytes]:
        """The next reply: its head in lower case, and its body."""
        while b"\r\n\r\n" not in self._came:
            self._receive()
        head, _, self._came = self._came.partition(b"\r\n\r\n")
        head = head.lower()
        size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(self._came) < size:
            self._receive()
        body, self._came = self._came[:size], self._came[size:]
        return head, body

    def wait(self) -> None:
        """Until the next reply begins; nothing of it is read."""
        self._socket.recv(1, socket.MSG_PEEK)

    def has_ended(self) -> bool:
        try:
            return self._socket.recv(1000) == b""
        except ConnectionError:
            return True

    def flood(self) -> None:
        """Send for longer than anybody listens."""
        end = time.monotonic() + 8
        while time.monotonic() < end:
            self._socket.sendall(b"x" * 1_000_000)

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        assert data, f"the connection ended after {self._came[-100:]!r}"
        self._came += data


def test_one_connection_answers_one_request_after_the_other(wire: Running) -> None:
    with Wire(wire) as client:
        for _ in range(3):
            client.say(LIVE)
            head, body = client.hear()
            assert head.startswith(b"http/1.1 200 ok")
            assert b"connection:" not in head
            assert b"\r\ndate: " in head
            assert body == b'{"live":true}'


def test_requests_sent_ahead_are_answered_in_their_order(wire: Running) -> None:
    infer = INFER + b"x-request-id: second\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
    with Wire(wire) as client:
        client.say(LIVE + infer + LIVE.replace(b"live", b"nothing"))
        assert client.hear()[0].startswith(b"http/1.1 200")
        assert b"x-request-id: second" in client.hear()[0]
        assert client.hear()[0].startswith(b"http/1.1 404")


def test_a_request_may_come_byte_by_byte(wire: Running) -> None:
    with Wire(wire) as client:
        client.say(*(LIVE[at : at + 1] for at in range(len(LIVE))))
        assert client.hear()[0].startswith(b"http/1.1 200")


def test_a_body_may_come_in_chunks(wire: Running) -> None:
    with Wire(wire) as client:
        client.say(INFER + b"transfer-encoding: chunked\r\n\r\n", b"5\r\n" + BODY[:5] + b"\r\n",
                   b"%x\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n", b"0\r\n\r\n")  # fmt: skip
        assert client.hear()[0].startswith(b"http/1.1 200")
        client.say(LIVE)
        assert client.hear()[0].startswith(b"http/1.1 200")


def test_a_client_that_waits_for_a_word_has_it_before_it_sends_its_body(wire: Running) -> None:
    with Wire(wire) as client:
        client.say(INFER + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(BODY))
        assert client.hear()[0] == b"http/1.1 100 continue"
        client.say(BODY)
        assert client.hear()[0].startswith(b"http/1.1 200")


def test_the_head_of_a_page_comes_without_its_body(wire: Running) -> None:
    with Wire(wire) as client:
        client.say(b"HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n" + LIVE)
        while b"\r\n\r\n" not in client._came:
            client._receive()
        head, _, rest = client._came.partition(b"\r\n\r\n")
        client._came = rest
        assert int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) > 0
        assert client.hear()[0].startswith(b"http/1.1 200")


@pytest.mark.parametrize(
    ("line", "stays"),
    [(b"HTTP/1.0\r\n", False), (b"HTTP/1.0\r\nconnection: keep-alive\r\n", True),
     (b"HTTP/1.1\r\nconnection: close\r\n", False)],
    ids=["old", "old-kept", "closed"],
)  # fmt: skip
def test_a_connection_stays_as_the_client_asks(wire: Running, line: bytes, stays: bool) -> None:
    with Wire(wire) as client:
        client.say(b"GET /v2/health/live " + line + b"host: localhost\r\n\r\n")
        head, _ = client.hear()
        assert (b"connection: close" in head) is not stays
        if stays:
            client.say(LIVE)
            client.hear()
        else:
            assert client.has_ended()


@pytest.mark.parametrize(
    "data",
    [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00", LIVE.replace(b"host", b"ho st"),
     INFER + b"content-length: 5\r\ncontent-length: 6\r\n\r\n12345",
     INFER + b"content-length: -5\r\n\r\n", INFER + b"transfer-encoding: chunked\r\n\r\nzz\r\n"],
    ids=["nonsense", "tls", "space", "two-lengths", "negative", "chunk"],
)  # fmt: skip
def test_what_is_no_http_is_refused_and_the_connection_ends(wire: Running, data: bytes) -> None:
    with Wire(wire) as client:
        client.say(data)
        head, body = client.hear()
        assert head.startswith(b"http/1.1 400")
        assert b"connection: close" in head
        assert b'{"error": "this is no request of HTTP/1.1' in body
        assert client.has_ended()


def test_another_protocol_that_is_offered_is_passed_over(wire: Running) -> None:
    with Wire(wire) as client:
        client.say(LIVE[:-2] + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n")
        assert client.hear()[0].startswith(b"http/1.1 200")


def test_a_body_that_nobody_reads_does_not_fill_the_memory(wire: Running) -> None:
    with Wire(wire) as client:
        client.say(b"POST /nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000000\r\n\r\n")
        head, _ = client.hear()
        assert head.startswith(b"http/1.1 404")
        assert b"connection: close" in head
        with pytest.raises(OSError, match=r"Broken pipe|reset|timed out"):
            client.flood()


def large(numbers: int) -> bytes:
    """A request that is answered with as many numbers."""
    row = ",".join(["1.5"] * numbers).encode()
    body = b'{"inputs":[{"name":"x","shape":[%d],"datatype":"FP32","data":[%s]}]}' % (numbers, row)
    return INFER + b"content-length: %d\r\n\r\n" % len(body) + body


def test_a_client_that_reads_slowly_has_all_of_its_reply(wire: Running) -> None:
    with Wire(wire) as client:
        client.say(large(4_000_000))
        for _ in range(12):  # longer than a client may say nothing
            time.sleep(0.2)
            for _ in range(16):
                client._receive()
        head, answer = client.hear()
        assert head.startswith(b"http/1.1 200")
        assert answer.count(b"1.5") == 4_000_000


def test_a_client_that_reads_nothing_of_its_reply_is_cut_off(wire: Running) -> None:
    with Wire(wire) as client:
        client.say(large(8_000_000))
        client.wait()
        time.sleep(4)
        with pytest.raises((AssertionError, ConnectionError)):
            client.hear()


def test_a_connection_that_says_nothing_is_closed(wire: Running) -> None:
    with Wire(wire) as client:
        assert client.has_ended()


def test_an_address_as_proxies_send_it_and_one_with_signs_are_read(wire: Running) -> None:
    with Wire(wire) as client:
        client.say(LIVE.replace(b"/v2", b"http://localhost/v2"), LIVE.replace(b"/live", b"/%6cive?x=1"))
        assert client.hear()[0].startswith(b"http/1.1 200")
        assert client.hear()[0].startswith(b"http/1.1 200")
