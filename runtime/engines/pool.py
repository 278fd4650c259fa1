"""Things of which one call uses one at a time: made when they are wanted, waited for when there are enough."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from edgepack.runtime.engines.base import closed
from edgepack.runtime.errors import EngineError

Thing = TypeVar("Thing")


class Pool(Generic[Thing]):
    """Hands each thing to one thread at a time; there is no lock on the way where one is idle.

    A user takes from `idle`, asks `another` where that is empty, gives back to `idle`, and calls `wake` where that is
    `wanted`:

        try:
            thing = pool.idle.pop()
        except IndexError:
            thing = pool.another()
        try:
            ...
        finally:
            pool.idle.append(thing)
            if pool.wanted:
                pool.wake()

    The last one given back is the first one taken, so that one thread alone keeps to one of them.
    """

    def __init__(self, first: Thing, make: Callable[[], Thing], most: int) -> None:
        """Start with one thing; `make` makes more, until there are `most`."""
        self.idle = deque([first])
        self.wanted = False  # somebody waits, and nobody of those was woken who has not looked yet
        self._waiting = 0
        self._make, self._most, self._made, self._is_closed = make, most, 1, False
        self._changed = threading.Condition()

    def another(self) -> Thing:
        """A new one, or where there are enough the next that is given back.

        Raises:
            EngineError: The pool was closed.
        """
        with self._changed:
            if self._is_closed or self._made >= self._most:
                return self._next()
            self._made += 1
            make = self._make
        try:
            return make()
        except BaseException as error:
            with self._changed:
                self._made -= 1
                self._changed.notify_all()
                if not isinstance(error, EngineError) or not self._made:
                    raise
                self._most = self._made  # there is memory for this many, and for no more
                return self._next()

    def wake(self) -> None:
        """Let one of those who wait look again."""
        with self._changed:
            self.wanted = False
            self._changed.notify()

    def close(self, end: Callable[[Thing], None]) -> None:
        """End every thing, those in use when they are given back; nobody is handed one after."""
        with self._changed:
            self._is_closed, self._make = True, closed
            self._changed.notify_all()
            while self._made:
                self.wanted = True
                try:
                    end(self.idle.pop())
                    self._made -= 1
                except IndexError:
                    self._changed.wait()

    def _next(self) -> Thing:
        """The next idle one; the condition is held, and let go of while there is none."""
        self._waiting += 1
        try:
            while not self._is_closed:
                self.wanted = True  # before looking: who gives one back after this look sees it, and wakes
                try:
                    return self.idle.pop()
                except IndexError:
                    self._changed.wait()
            closed()
        finally:
            self._waiting -= 1
            self.wanted = self._waiting > 0
            if self.wanted and self.idle:  # given back while the one that was woken had not looked yet
                self._changed.notify()
