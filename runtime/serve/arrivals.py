"""Requests on their way to a model: counted from before their bodies are read, so that too many are refused unread."""

import time

from edgepack.runtime.serve.waiting import MEMORY

_FACE_S = 1e-4  # what a request costs the event loop beside its tensors


class Arrivals:
    """The requests of one model whose bodies are read, and what each costs the event loop.

    Attributes:
        count: How many there are; one whose body comes slowly is none, as it keeps nobody waiting.
    """

    def __init__(self) -> None:
        self.count = 0
        self._decode_s = self._run_s = 0.0

    @property
    def wait_s(self) -> float:
        """How long the event loop is expected to be busy with those that are here."""
        return self.count * (_FACE_S + self._decode_s + self._run_s)

    def begin(self) -> "Coming":
        """One more."""
        self.count += 1
        return Coming(self)

    def decoded(self, took_s: float) -> None:
        """So long the event loop read the tensors of a request."""
        self._decode_s += (1 - MEMORY) * (took_s - self._decode_s)

    def ran(self, took_s: float) -> None:
        """So long it ran one."""
        self._run_s += (1 - MEMORY) * (took_s - self._run_s)


class Coming:
    """One request on its way. Call `end` when it is there, at the latest when it fails."""

    __slots__ = ("_arrivals", "_is_counted", "_read_s")

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals, self._is_counted, self._read_s = arrivals, True, 0.0

    def read(self) -> None:
        """Its body is there; what follows until `end` is the event loop's work."""
        self._read_s = time.perf_counter()

    def leave(self) -> None:
        """Count it no longer: its body comes slowly, or it is there."""
        if self._is_counted:
            self._is_counted = False
            self._arrivals.count -= 1

    def pass_on(self) -> None:
        """It is there, and what follows is no work of the event loop."""
        self.leave()
        self._read_s = 0.0

    def end(self) -> None:
        """It is there, or failed."""
        self.leave()
        if self._read_s:
            self._arrivals.decoded(time.perf_counter() - self._read_s)
            self._read_s = 0.0
