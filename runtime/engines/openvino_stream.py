"""One sequence of runs through a file that keeps state: each goes on where the last one ended."""

import threading
from collections.abc import Mapping, Sequence

from edgepack.runtime.engines.base import Engine
from edgepack.runtime.engines.openvino_lane import Lane, failure
from edgepack.runtime.tensor import Array


class OpenvinoStream:
    """An engine with an infer request of its own that remembers. Calls from several threads take turns."""

    def __init__(self, engine: Engine, lane: Lane) -> None:
        """Take the engine whose file it is, for what that tells of it, and a request that nobody has run."""
        self.name, self.inputs, self.outputs = engine.name, engine.inputs, engine.outputs
        self.provider, self.placement, self.metadata = engine.provider, engine.placement, engine.metadata
        self._lane, self._turn = lane, threading.Lock()

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once, from where the last run ended; the arrays belong to the caller."""
        with self._turn:
            try:
                return self._lane.run(feeds)
            except Exception as error:
                raise failure(error) from error

    def run_into(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """The same into arrays of the caller's, which are of the outputs' shapes and dtypes, in the file's order."""
        with self._turn:
            try:
                self._lane.run_into(feeds, outputs)
            except Exception as error:
                raise failure(error) from error

    def reset(self) -> None:
        """Forget: the next run is a first one."""
        with self._turn:
            self._lane.forget()

    def close(self) -> None:
        """Give the memory back; a run that is under way ends first. A second call does nothing."""
        with self._turn:
            self._lane.close()
