"""The port: a socket that listens, and the HTTP server on it."""

import asyncio
import contextlib
import errno
import socket
from typing import TYPE_CHECKING

from edgepack.runtime.errors import InputError, ServeError, one_line
from edgepack.runtime.serve.http_connection import App, Connection, Owner
from edgepack.runtime.serve.settings import Settings

if TYPE_CHECKING:
    import ssl

BACKLOG = 1024
_FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_WAIT_S, _SHORT_S = 0.5, 0.02
_MOST_TIMES = 3  # connections beyond the limit are told so; beyond this many limits they wait to be accepted


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


def tls_context(settings: Settings) -> "ssl.SSLContext | None":
    """What TLS is spoken with; None where no certificate is given. Raises `InputError` where it cannot be used."""
    if not (settings.tls_cert and settings.tls_key):
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InputError(
            f"certificate {settings.tls_cert} and key {settings.tls_key} cannot be used: {one_line(error)}; they are "
            "PEM files that belong together, the key without a password"
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")  # OpenSSL would ask at the terminal


def address(settings: Settings, listener: socket.socket) -> str:
    """The address of the server as a browser takes it."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class HttpServer:
    """HTTP on a socket that listens already, in the event loop that runs.

    Args:
        app: Answers one exchange.
        settings: Of them, certificate, key and limits.
        listener: Given away: it is closed when the server stops. Several processes may accept from one: the one that
            has time takes the next connection.
    """

    def __init__(self, app: App, settings: Settings, listener: socket.socket) -> None:
        self._app, self._listener, self._limits = app, listener, settings.limits
        self._tls = tls_context(settings)
        self._shaking: set[asyncio.Task[None]] = set()

    def start(self) -> "asyncio.Task[None]":
        """Begin to accept; the task ends with `stop`, or where the server fails."""
        self._owner = Owner(self._limits.read_timeout_s)
        self._running = asyncio.get_running_loop().create_task(self._accept())
        return self._running

    async def stop(self) -> None:
        """Accept no more, and return when the last request has its answer; idle connections are closed."""
        self._running.cancel()
        await asyncio.wait([self._running])
        self._listener.close()
        await self._owner.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # too many open files; or a client that was gone at once
                if error.errno in _FULL:
                    await asyncio.sleep(_WAIT_S)
                continue
            shaking = loop.create_task(self._take(client))
            self._shaking.add(shaking)
            shaking.add_done_callback(self._shaking.discard)
            while len(self._owner) + len(self._shaking) >= _MOST_TIMES * self._limits.connections:
                await asyncio.sleep(_SHORT_S)

    async def _take(self, client: socket.socket) -> None:
        """Make a connection of a client; one that does not come to speak TLS is none."""
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connection, client, ssl=self._tls,
                ssl_handshake_timeout=self._limits.read_timeout_s if self._tls else None,
            )  # fmt: skip

    def _connection(self) -> Connection:
        return Connection(self._app, self._owner, is_over=len(self._owner) >= self._limits.connections)
