"""What a server is told: one frozen value, from the command line or a TOML file, checked before anything starts."""

import msgspec

from edgepack.runtime.errors import InputError


class BatchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How requests of one model share a run."""

    max_rows: int | str = "auto"
    """Rows of a batch at most; 1 batches nothing; `auto` measures when the model is loaded whether it pays."""
    max_delay_ms: float = 0.0
    """How long a request may wait for company; 0 takes what waits already and never more."""
    queue_rows: int = 256
    """Rows that wait at most; one more is refused at once."""


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
    cors_origins: tuple[str, ...] = ()
    limits: Limits = Limits()
    default: ModelSettings = ModelSettings()
    """How models are served that have no line of their own."""
    model: dict[str, ModelSettings] = {}
    """By name."""

    def of(self, name: str) -> ModelSettings:
        """How the model `name` is served."""
        return self.model.get(name, self.default)


def check(settings: Settings) -> Settings:
    """Return settings that make sense; raises `InputError` that says which does not, and what it takes."""
    if not 0 <= settings.port <= 65535:
        raise InputError(f"port is {settings.port}; it takes 0 (any free one) to 65535")
    return settings
