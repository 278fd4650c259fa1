"""The gRPC face: Open Inference Protocol v2, health and reflection on one port."""

import os
from pathlib import Path
from typing import Any

from edgepack.runtime.errors import InputError, MissingExtraError, MissingFileError, one_line
from edgepack.runtime.serve.grpc_calls import Calls, Guard
from edgepack.runtime.serve.grpc_health import Health, add_reflection
from edgepack.runtime.serve.grpc_service import Service
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.settings import Settings


class GrpcFace:
    """A gRPC server in the event loop that starts it.

    Args:
        plane: What answers.
        settings: Limits, certificate and key, and whether several workers share the port.
        guard: Who may do what.
        metrics: Counts what is answered and what fails.
    """

    def __init__(self, plane: Plane, settings: Settings, guard: Guard, metrics: Metrics) -> None:
        self._plane, self._settings = plane, settings
        self._calls = Calls(guard, metrics)
        self._service = Service(plane, settings, self._calls, metrics)
        self._health: Health | None = None
        self._server: Any = None

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port; 0 takes any that is free.

        Raises:
            MissingExtraError: grpcio, or its health or reflection, is not installed.
            MissingFileError: There is no certificate or key where the settings say.
            InputError: The address cannot be listened on, or the certificate and key cannot be used.
        """
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # errors are raised: what it would print beside is no news
        try:
            import grpc
            import grpc_health  # noqa: F401 - what is missing shows here, not at a call
            import grpc_reflection  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("grpcio with grpcio-health-checking and grpcio-reflection", "serve") from error
        limits = self._settings.limits
        server = grpc.aio.server(options=_options(self._settings), maximum_concurrent_rpcs=limits.connections)
        server.add_generic_rpc_handlers((self._service.handlers(),))
        self._health = Health(self._plane, self._calls)
        self._health.add_to(server)
        add_reflection(server, self._calls)
        bound = _listen(server, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", self._settings)
        await server.start()
        self._server = server
        return bound

    async def stop(self, grace_s: float) -> None:
        """Take no new call, let those that run end for `grace_s` seconds at most, and close; does so once."""
        server, self._server = self._server, None
        if server is None:
            return
        if self._health:
            self._health.stop()
        self._service.streams.stop()
        await server.stop(grace_s)


def _options(settings: Settings) -> list[tuple[str, int]]:
    limits = settings.limits
    return [
        ("grpc.max_receive_message_length", limits.body_bytes),
        ("grpc.max_send_message_length", -1),  # an answer is as large as its model makes it
        ("grpc.max_metadata_size", 16 * 2**10),
        ("grpc.max_concurrent_streams", limits.connections),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", round(limits.read_timeout_s * 1e3)),
        # A client that vanished without a word is noticed after a minute and a half; one that pings more often than
        # every ten seconds is sent away.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        # Alone, a second server on the same port would take half of the calls without a word.
        ("grpc.so_reuseport", int(settings.workers > 1)),
    ]


def _listen(server: Any, address: str, settings: Settings) -> int:
    credentials = _credentials(settings)
    try:
        bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise InputError(
            f"gRPC cannot listen on {address}: {_why(error)}name another --grpc-port, or see that certificate and key "
            "fit one another"
        ) from error
    return int(bound)


def _why(error: RuntimeError) -> str:
    """What the library says, where it is more than that it failed and how to be told more."""
    said = one_line(error)
    return "" if "GRPC_VERBOSITY" in said else f"{said}; "


def _credentials(settings: Settings) -> Any:
    if not (settings.tls_cert and settings.tls_key):
        return None
    import grpc

    return grpc.ssl_server_credentials([(_file(settings.tls_key), _file(settings.tls_cert))])


def _file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise MissingFileError(path, "certificate or key") from error
