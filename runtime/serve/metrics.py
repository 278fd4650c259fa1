"""What is counted while models are served."""

from edgepack.runtime.serve.messages import Spent


class Metrics:
    """Counts of this process."""

    def answered(self, model: str, version: str, face: str, spent: Spent, response_bytes: int) -> None:
        """A request was answered; `face` is `rest` or `grpc`."""

    def failed(self, model: str, version: str, face: str, error: str) -> None:
        """A request was refused or failed with an error of this kind (the name of its class)."""

    def loaded(self, model: str, version: str, *, variant: str, engine: str, provider: str, load_s: float) -> None:
        """A version is ready."""

    def unloaded(self, model: str, version: str) -> None:
        """A version is gone."""

    def load_failed(self, model: str, version: str, *, golden: bool) -> None:
        """A version was not taken; `golden` where it answered its golden samples wrongly here."""

    def fell_back(self, model: str, version: str) -> None:
        """A version runs on less than the best that was asked for."""

    def queued(self, model: str, version: str, rows: int) -> None:
        """So many rows wait now."""

    def exposition(self) -> bytes:
        """All counts of all workers in Prometheus's text format."""
        return b""
