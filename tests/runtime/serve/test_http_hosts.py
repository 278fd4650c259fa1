"""Whom a server that only this machine reaches answers: no page that lets its own name lead here."""

from collections.abc import Iterator

import pytest

from edgepack.runtime.serve.http_hosts import Hosts
from edgepack.runtime.serve.http_wire import RefusedError
from edgepack.runtime.serve.settings import Settings
from tests.runtime.serve.http_running import Running, running

OWN = (
    "localhost", "localhost:8080", "LOCALHOST:1", "localhost.", "127.0.0.1", "127.0.0.1:8080", "127.9.9.9:80",
    "[::1]", "[::1]:8080",
)  # fmt: skip
OTHER = (
    "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example:80", "192.168.1.7:8080",
    "evil.example:", "[2001:db8::1]:80", "", ":80", "localhost@evil.example", "xlocalhost", "[localhost", "0.0.0.0:80",
)  # fmt: skip


@pytest.mark.parametrize("host", OWN)
def test_its_own_names_are_answered(host: str) -> None:
    hosts = Hosts(Settings(models="nowhere"))
    hosts.check(host)
    hosts.check(host)


@pytest.mark.parametrize("host", OTHER)
def test_other_names_are_refused(host: str) -> None:
    for own in ("127.0.0.1", "localhost", "::1"):
        with pytest.raises(RefusedError, match="this server answers to localhost") as raised:
            Hosts(Settings(models="nowhere", host=own)).check(host)
        assert raised.value.status == 421
        assert "\n" not in str(raised.value)


def test_the_address_that_it_was_told_to_listen_on_is_its_own() -> None:
    Hosts(Settings(models="nowhere", host="127.0.0.7")).check("127.0.0.7:80")
    Hosts(Settings(models="nowhere", host="::1")).check("[::1]:80")


def test_what_names_no_host_is_no_page() -> None:
    Hosts(Settings(models="nowhere")).check(None)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(models="nowhere", host="0.0.0.0", insecure=True), Settings(models="nowhere", insecure=True),
        Settings(models="nowhere", token_file="tokens.toml"), Settings(models="nowhere", tls_cert="c", tls_key="k"),
    ],
    ids=["every-address", "insecure", "tokens", "tls"],
)  # fmt: skip
def test_any_name_is_answered_where_something_else_keeps_strangers_out_or_they_are_let_in(settings: Settings) -> None:
    for host in OWN + OTHER:
        Hosts(settings).check(host)


def test_many_names_are_not_kept() -> None:
    hosts = Hosts(Settings(models="nowhere"))
    for number in range(1_000):
        hosts.check(f"127.0.0.{number % 256}:{number + 1}")
    assert len(hosts._known) < 100


@pytest.fixture(scope="module")
def local() -> Iterator[Running]:
    with running(Settings(models="nowhere")) as found:
        yield found


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2/health/live"), ("GET", "/"), ("GET", "/metrics"), ("POST", "/v2/models/x/infer"),
     ("POST", "/v2/repository/models/x/unload"), ("OPTIONS", "/v2")],
)  # fmt: skip
def test_nothing_is_told_to_a_page_that_rebinds_its_name(local: Running, method: str, path: str) -> None:
    answer = local.ask(method, path, headers={"host": "evil.example:8080", "origin": "http://evil.example:8080"})
    assert answer.status_code == 421
    assert "--token-file" in answer.json()["error"]
    assert local.ask(method, path, headers={"host": "localhost:8080"}).status_code != 421
