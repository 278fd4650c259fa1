"""One sequence of runs through a TFLite file that keeps state: each goes on where the last one ended."""

import threading
from collections.abc import Mapping, Sequence

from edgepack.runtime.engines.base import Engine, closed
from edgepack.runtime.engines.litert_lane import Lane
from edgepack.runtime.errors import EngineError, one_line
from edgepack.runtime.tensor import Array


class LitertStream:
    """An engine with an interpreter of its own that remembers. Calls from several threads take turns."""

    def __init__(self, engine: Engine, lane: Lane) -> None:
        """Take the engine whose file it is, for what that tells of it, and an interpreter that nobody has run."""
        self.name, self.inputs, self.outputs = engine.name, engine.inputs, engine.outputs
        self.provider, self.placement, self.metadata = engine.provider, engine.placement, engine.metadata
        self._lane: Lane | None = lane
        self._turn = threading.Lock()

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once, from where the last run ended; the arrays belong to the caller."""
        with self._turn:
            try:
                return self._open.run(feeds)
            except (ValueError, RuntimeError) as error:
                raise self._failure(error) from error

    def run_into(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """The same into arrays of the caller's, which are of the outputs' shapes and dtypes, in the file's order."""
        with self._turn:
            try:
                self._open.run_into(feeds, outputs)
            except (ValueError, RuntimeError, TypeError) as error:
                raise self._failure(error) from error

    def reset(self) -> None:
        """Forget: the next run is a first one."""
        with self._turn:
            self._open.forget()

    def close(self) -> None:
        """Give the memory back; a run that is under way ends first. A second call does nothing."""
        with self._turn:
            if self._lane:
                self._lane.close()
            self._lane = None

    @property
    def _open(self) -> Lane:
        if self._lane is None:
            closed()
        return self._lane

    def _failure(self, error: Exception) -> EngineError:
        if isinstance(error, EngineError):
            return error
        return EngineError(f"{self.name.description} failed on these inputs: {one_line(error)}")
