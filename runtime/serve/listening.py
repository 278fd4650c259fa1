"""The port: a socket that listens, and the HTTP server on it."""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

from edgepack.runtime.errors import InputError, ServeError, one_line
from edgepack.runtime.serve.logs import GRANIAN
from edgepack.runtime.serve.settings import Settings

BACKLOG = 1024
_HEADER_BYTES = 64 * 2**10  # the line of the request and all headers; a body is read in such pieces


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host` and `port` (0: any free one); raises `ServeError` where it cannot."""
    where = f"port {port} of {host}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # a host that cannot be a name is told by the encoding of names
        why = one_line(getattr(error, "strerror", None) or error)
        raise ServeError(f"cannot listen on {where}: {why}; check the host") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ServeError(
            f"cannot listen on {where}: {one_line(error.strerror or error)}; name another --port, or 0 for any free one"
        ) from error
    listener.setblocking(False)
    return listener


def check_tls(settings: Settings) -> None:
    """Return if certificate and key can be used, or none are given; raises `InputError`."""
    if not (settings.tls_cert and settings.tls_key):
        return
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.tls_cert, settings.tls_key, password=_no_password
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InputError(
            f"certificate {settings.tls_cert} and key {settings.tls_key} cannot be used: {one_line(error)}; they are "
            "PEM files that belong together, the key without a password"
        ) from error


def _no_password() -> str:
    raise ValueError("the key has a password")  # OpenSSL would ask at the terminal


def address(settings: Settings, listener: socket.socket) -> str:
    """The address of the server as a browser takes it."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class HttpServer:
    """granian on a socket that listens already, in the event loop that runs.

    Args:
        app: An RSGI application.
        settings: Of them, certificate, key and limits.
        listener: Given away: it is closed when the server stops.
    """

    def __init__(self, app: Any, settings: Settings, listener: socket.socket) -> None:
        self._server = _granian(app, settings, listener)
        self._running: asyncio.Task[None] | None = None

    def start(self) -> "asyncio.Task[None]":
        """Begin to accept; the task ends with `stop`, or where the server fails."""
        self._running = asyncio.get_running_loop().create_task(self._server.serve())
        return self._running

    async def stop(self) -> None:
        """Accept no more, and return when the last request has its answer; idle connections are closed."""
        if self._running is not None:
            self._server.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(self._running)


def _granian(app: Any, settings: Settings, listener: socket.socket) -> Any:
    from granian.constants import HTTPModes
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.net import SocketHolder
    from granian.server.embed import Server

    class Listening(Server):  # type: ignore[misc] # granian is not looked into
        """granian binds a port by itself; this one takes a socket that is bound."""

        def _init_shared_socket(self) -> None:
            self._ssp, self._shd = None, SocketHolder(listener.detach(), False, BACKLOG)

    limits = settings.limits
    return Listening(
        app,
        websockets=False,
        # One protocol, one set of limits: HTTP/2 has frames, streams and windows of its own to be bounded.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=max(1, round(limits.read_timeout_s * 1000)), max_buffer_size=_HEADER_BYTES
        ),
        backpressure=limits.connections,
        log_level=LogLevels.error,  # it warns at every start that embedding is young
        log_dictconfig=GRANIAN,
        ssl_cert=Path(settings.tls_cert) if settings.tls_cert else None,
        ssl_key=Path(settings.tls_key) if settings.tls_key else None,
    )
