"""One way to run a model: which file, in which engine, on which provider, with how many threads."""

from collections.abc import Mapping

import msgspec


class Way(msgspec.Struct, frozen=True):
    """One way to run a model on a device."""

    variant: str
    engine: str
    provider: str
    """The engine's own name."""
    threads: int = 1
    reduced: bool = False
    options: Mapping[str, str] = {}

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.variant} on {self.engine} ({self.provider}, {threads})"
