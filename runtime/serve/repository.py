"""Models by name and version in a folder: what is loaded, and what answers by default."""

import asyncio
from pathlib import Path

from edgepack.runtime.errors import MissingFileError, NotServedError
from edgepack.runtime.loading import load
from edgepack.runtime.serve.messages import IndexEntry
from edgepack.runtime.serve.metrics import Metrics
from edgepack.runtime.serve.served import Served
from edgepack.runtime.serve.settings import Settings


class Repository:
    """The models of a folder. Its coroutines and methods are called in one event loop."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._served: dict[str, Served] = {}

    async def start(self) -> None:
        """Load what is there, and begin to watch the folder; raises `MissingFileError` where there is none."""
        folder = Path(self._settings.models)
        if not folder.is_dir():
            raise MissingFileError(folder, "folder of models")
        for path in sorted(folder.glob("*.edgepack")):
            settings = self._settings.of(path.stem)
            session = await asyncio.to_thread(load, path, variant=settings.variant)
            self._served[path.stem] = Served(path.stem, "1", session, settings)

    async def stop(self) -> None:
        """Drain and close everything."""
        for served in self._served.values():
            await served.close()
        self._served.clear()

    def ready(self, name: str, version: str = "") -> Served | None:
        """The version that answers, if it is loaded; None leaves the question to `fetch`.

        Args:
            name: The model.
            version: A version or a label; empty is the default: the label `stable` where it was set, else the highest.
        """
        return self._served.get(name)

    async def fetch(self, name: str, version: str = "") -> Served:
        """The version that answers, loaded first where it loads on demand.

        Raises:
            NotServedError: There is no such model, version or label; the message lists those there are.
            NotReadyError: It is not ready, and will not be by itself at once.
        """
        raise NotServedError(f"no model {name[:80]!r} is served (served: {', '.join(self._served) or 'none'})")

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions of a model that are ready, lowest first."""
        return ("1",) if name in self._served else ()

    def labels(self, name: str) -> dict[str, str]:
        """Label → version of a model."""
        return {}

    def all_ready(self) -> bool:
        """Whether every model that was there at the start answers, or is known to be bad."""
        return True

    def index(self) -> list[IndexEntry]:
        """Every version of every model, whatever its state."""
        return [IndexEntry(name, "1", "READY") for name in self._served]

    async def load(self, name: str, version: str = "") -> None:
        """Load a version, or all that the version policy says; raises `NotServedError`, or why it is bad."""

    async def unload(self, name: str, version: str = "") -> None:
        """Take a version, or all, out of traffic and give its memory back; it stays so until `load`."""

    async def rollback(self, name: str) -> str:
        """Make the last good version before the one that answers answer again; returns it.

        Raises:
            NotServedError: No such model.
            ConflictError: There is no version to go back to.
        """
        raise NotImplementedError

    async def set_label(self, name: str, label: str, version: str) -> None:
        """Let a label point to a version, which must be ready; raises `ConflictError` where it is not."""
