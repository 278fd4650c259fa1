"""What the sync and the async client share of httpx: how it is set up, and what its answers and errors are to us."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from edgepack import __version__
from edgepack.client.calls import Call, Lost, Reply
from edgepack.runtime.errors import InputError, MissingExtraError, MissingFileError, one_line

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 30.0  # as long as a server gives a request that says nothing
RETRIES = 2
CONNECTIONS = 32

_CONNECT_S = 5.0  # a server on the same network accepts at once or is not there

Verify = bool | str | Path | ssl.SSLContext


class Address(NamedTuple):
    """Where a server is, and how it is reached."""

    url: str
    token: str | None
    verify: Verify
    connections: int

    def options(self) -> dict[str, Any]:
        """What `httpx.Client` and `httpx.AsyncClient` take.

        Raises:
            InputError: The address is none, or the token is no header.
            MissingFileError: There is no file of authorities at `verify`.
            MissingExtraError: httpx is not installed.
        """
        httpx = library()
        many = httpx.Limits(max_connections=self.connections, max_keepalive_connections=self.connections)
        return {
            "base_url": self.url, "headers": _headers(self.token), "verify": _trusted(self.url, self.verify),
            "limits": many,
        }  # fmt: skip


def checked_url(url: str) -> str:
    """The address of a server, with `http://` where no scheme was given; raises `InputError` for what is none."""
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        fits = False
    if not fits or parts.query or parts.fragment or parts.username:
        raise InputError(f"{url!r:.200} is no address of a server; it takes one as http://127.0.0.1:8080")
    return whole.rstrip("/")


def library() -> Any:
    """The module httpx, imported on first use."""
    try:
        import httpx
    except ImportError as error:
        raise MissingExtraError("httpx, which the client sends its requests with,", "client") from error
    return httpx


def request_of(call: Call) -> dict[str, Any]:
    """What the `request` of an httpx client takes."""
    timeout = library().Timeout(call.timeout_s, connect=min(call.timeout_s, _CONNECT_S))
    return {
        "method": call.method, "url": call.path, "content": call.content, "headers": dict(call.headers),
        "timeout": timeout,
    }  # fmt: skip


def reply_of(response: "httpx.Response") -> Reply:
    """An answer as the conversations take it."""
    return Reply(
        response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.content
    )


def lost_of(error: "httpx.TransportError") -> Lost:
    """Why no answer came."""
    httpx = library()
    late = isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout)
    return Lost(one_line(error) or type(error).__name__, is_late=late)


def _headers(token: str | None) -> Mapping[str, str]:
    own = {"user-agent": f"edgepack/{__version__}", "accept-encoding": "identity"}
    if token is None:
        return own
    if not (token.isascii() and token.isprintable() and token == token.strip() and token):
        raise InputError(
            "the token holds characters that no header takes, or is empty; give it as the server's file has it"
        )
    return {**own, "authorization": f"Bearer {token}"}


def _trusted(url: str, verify: Verify) -> bool | ssl.SSLContext:
    """Whose certificates are taken; without TLS, nobody waits the quarter of a second that reading them takes."""
    if isinstance(verify, (str, Path)):
        if not Path(verify).is_file():
            raise MissingFileError(verify, "file of authorities")
        return ssl.create_default_context(cafile=str(verify))
    if url.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which trusts nobody
    return verify
