"""What a server is told: one frozen value, from the command line or a TOML file, checked before anything starts."""

import ipaddress
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from edgepack.runtime.errors import InputError, MissingFileError

_DAY_S = 86_400
_MOST_DELAY_MS = 10_000
_ORIGIN = re.compile(r"\*|https?://[\w.\-]+(:\d{1,5})?|https?://\[[0-9a-fA-F:]+\](:\d{1,5})?")


class BatchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How requests of one model share a run."""

    max_rows: int | str = "auto"
    """Rows of a batch at most; 1 batches nothing; `auto` measures when the model is loaded whether it pays."""
    max_delay_ms: float = 0.0
    """How long a request may wait for company; 0 takes what waits already and never more."""
    queue_rows: int = 256
    """Rows that wait at most; one more is refused at once. Of a request of many rows, its next turn counts."""
    queue_ms: float = 100.0
    """Where 8 requests wait already: how long another may be expected to wait; beyond it is refused at once."""
    request_rows: int = 4096
    """Rows of one request at most."""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one model is served."""

    variant: str = "auto"
    engine: str | None = None
    provider: tuple[str, ...] = ("auto",)
    threads: int | None = None
    strict: bool = False
    batch: BatchSettings = BatchSettings()
    versions: int | str | tuple[str, ...] = 1
    """The latest N, `all`, or those listed."""
    timeout_s: float = 30.0
    """The deadline of a request that names none."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client may ask for at most."""

    body_bytes: int = 64 * 2**20
    tensors: int = 64
    nesting: int = 32
    connections: int = 256
    rate_per_s: float = 0.0
    """Requests of one address each second, on average; 0 is any number."""
    read_timeout_s: float = 30.0


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written to stderr, and how."""

    requests: Literal["all", "errors", "none"] = "errors"
    """Which requests get a line: `errors` are those that fail, and those that take longer than `slow_ms`."""
    slow_ms: float = 1000.0
    level: Literal["debug", "info", "warning", "error"] = "info"
    """From which level on anything is written."""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto` is `text` where stderr is a terminal."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a folder of packs is served."""

    models: str
    """The folder: `NAME/VERSION/…`, `NAME/VERSION.edgepack`, or flat packs."""
    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int | None = None
    workers: int = 1
    token_file: str | None = None
    """TOML: `read = [...]`, `admin = [...]`."""
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure: bool = False
    watch: bool = True
    on_demand: bool = False
    """Load a model when it is first asked for, not at the start."""
    memory_mb: int | None = None
    """Least recently used idle models are unloaded beyond this."""
    drain_s: float = 20.0
    """How long requests may take to end when the server stops."""
    notice_s: float = 0.0
    """How long the server goes on to answer when it stops, while it says that it is not ready: load balancers turn."""
    cors_origins: tuple[str, ...] = ()
    limits: Limits = Limits()
    log: LogSettings = LogSettings()
    default: ModelSettings = ModelSettings()
    """How models are served that have no line of their own."""
    model: dict[str, ModelSettings] = {}
    """By name."""

    def of(self, name: str) -> ModelSettings:
        """How the model `name` is served."""
        return self.model.get(name, self.default)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check(settings: Settings) -> Settings:
    """Return settings that make sense; raises `InputError` that says which does not, and what it takes.

    Folders and files are looked at too: a `MissingFileError` tells of one that is not there.
    """
    problems = [
        *_about_numbers(settings),
        *_about_limits(settings.limits),
        *_about_access(settings),
        *_about_model("default", settings.default),
    ]
    for name, model in settings.model.items():
        problems += _about_model(f"model.{name}", model)
    if problems:
        raise InputError(problems[0])
    _look_at_files(settings)
    return settings


def _about_numbers(settings: Settings) -> Iterator[str]:
    ports = {"port": settings.port, "grpc_port": settings.grpc_port or 0}
    for name, port in ports.items():
        if not 0 <= port <= 65535:
            yield f"{name} is {port}; it takes 0 (any free one) to 65535"
    if settings.port and settings.port == settings.grpc_port:
        yield f"port and grpc_port are both {settings.port}; each face takes a port of its own"
    if settings.workers < 1:
        yield f"workers is {settings.workers}; it takes 1 or more"
    if settings.memory_mb is not None and settings.memory_mb < 1:
        yield f"memory_mb is {settings.memory_mb}; it takes 1 or more, or leave it out for no budget"
    if not 0 <= settings.log.slow_ms < math.inf:
        yield f"log.slow_ms is {settings.log.slow_ms}; it takes 0 or more"
    for name, seconds in (("drain_s", settings.drain_s), ("notice_s", settings.notice_s)):
        if not 0 <= seconds < _DAY_S:
            yield f"{name} is {seconds}; it takes 0 to {_DAY_S} seconds"


def _about_limits(limits: Limits) -> Iterator[str]:
    for name in ("body_bytes", "tensors", "nesting", "connections"):
        if getattr(limits, name) < 1:
            yield f"limits.{name} is {getattr(limits, name)}; it takes 1 or more"
    if not 0 <= limits.rate_per_s < math.inf:
        yield f"limits.rate_per_s is {limits.rate_per_s}; it takes 0 (any number) or more"
    if not 0 < limits.read_timeout_s < _DAY_S:
        yield f"limits.read_timeout_s is {limits.read_timeout_s}; it takes more than 0, up to {_DAY_S} seconds"


def _about_access(settings: Settings) -> Iterator[str]:
    if not settings.host or settings.host != settings.host.strip():
        yield f"host is {settings.host!r}; it takes an address as 127.0.0.1, or a name of this machine"
    if (settings.tls_cert is None) != (settings.tls_key is None):
        given, missing = ("tls_cert", "tls_key") if settings.tls_key is None else ("tls_key", "tls_cert")
        yield f"{given} is given without {missing}; TLS takes both"
    guarded = settings.token_file or settings.tls_cert or settings.insecure
    if not guarded and not is_loopback(settings.host):
        yield (
            f"host {settings.host} is reached from other machines, by anyone; give --token-file, or --tls-cert and "
            "--tls-key, or say --insecure"
        )
    for origin in settings.cors_origins:
        if not _ORIGIN.fullmatch(origin):
            yield f"cors_origins holds {origin!r}; it takes origins as https://example.org, or *"


def _about_batch(key: str, batch: BatchSettings) -> Iterator[str]:
    if isinstance(batch.max_rows, str) and batch.max_rows != "auto":
        yield f"{key}.batch.max_rows is {batch.max_rows!r}; it takes 1 (no batching) or more, or 'auto'"
    for name in ("max_rows", "queue_rows", "request_rows"):
        number = getattr(batch, name)
        if isinstance(number, int) and number < 1:
            yield f"{key}.batch.{name} is {number}; it takes 1 or more"
    if not 0 <= batch.queue_ms < math.inf:
        yield f"{key}.batch.queue_ms is {batch.queue_ms}; it takes 0 or more"
    if not 0 <= batch.max_delay_ms <= _MOST_DELAY_MS:
        yield f"{key}.batch.max_delay_ms is {batch.max_delay_ms}; it takes 0 to {_MOST_DELAY_MS}"


def _about_model(key: str, model: ModelSettings) -> Iterator[str]:
    yield from _about_batch(key, model.batch)
    if model.threads is not None and model.threads < 1:
        yield f"{key}.threads is {model.threads}; it takes 1 or more"
    if not 0 < model.timeout_s < _DAY_S:
        yield f"{key}.timeout_s is {model.timeout_s}; it takes more than 0, up to {_DAY_S} seconds"
    if not model.provider or not all(model.provider):
        yield f"{key}.provider is {list(model.provider)}; it takes names of providers, best first, as ['auto']"
    if isinstance(model.versions, int) and model.versions < 1:
        yield f"{key}.versions is {model.versions}; it takes 1 or more, 'all', or a list of versions"
    if isinstance(model.versions, str) and model.versions != "all":
        yield f"{key}.versions is {model.versions!r}; it takes how many of the latest, 'all', or a list of versions"


def _look_at_files(settings: Settings) -> None:
    if Path(settings.models).is_file():
        raise InputError(
            f"{settings.models} is a file; what is served is a folder: edgepack push {settings.models} --to models, "
            "then edgepack serve models"
        )
    if not Path(settings.models).is_dir():
        raise MissingFileError(settings.models, "folder of models")
    for key in ("token_file", "tls_cert", "tls_key"):
        path = getattr(settings, key)
        if path is not None and not Path(path).is_file():
            raise MissingFileError(path, f"file for {key}")
