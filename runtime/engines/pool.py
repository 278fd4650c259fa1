"""Things of which one call uses one at a time: made when they are wanted, waited for when there are enough."""

import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from edgepack.runtime.engines.base import closed
from edgepack.runtime.errors import EngineError

Thing = TypeVar("Thing")


class Pool(Generic[Thing]):
    """Hands each thing to one thread at a time; there is no lock on the way where one is idle.

    A user takes from `idle`, asks `another` where that is empty, gives back to `idle`, and calls `wake` where that is
    `wanted`:

        idle = pool.idle
        try:
            thing = idle.pop()
        except IndexError:
            thing = pool.another()
        try:
            ...
        finally:
            idle.append(thing)
            if pool.wanted:
                pool.wake()

    The last one given back is the first one taken, so that one thread alone keeps to one of them.

    Ctrl-C may come between a line above and the next, and the thing is lost then: the pool counts those that live.
    """

    def __init__(self, first: Thing, make: Callable[[], Thing], most: int) -> None:
        """Start with one thing; `make` makes more, until there are `most`."""
        self.idle: deque[Thing] = deque([first])
        self.wanted = False  # somebody waits, and nobody of those was woken who has not looked yet
        self._waiting = 0
        self._make, self._most, self._making, self._is_closed = make, most, 0, False
        self._changed = threading.Condition()
        self._live: dict[int, weakref.ref[Thing]] = {}
        self._register(first)

    def another(self) -> Thing:
        """A new one, or where there are enough the next that is given back.

        Raises:
            EngineError: The pool was closed.
        """
        with self._changed:
            if self._is_closed or len(self._live) + self._making >= self._most:
                return self._next()
            self._making += 1
            make = self._make
        try:
            made = make()
            self._register(made)
        except BaseException as error:
            with self._changed:
                self._making -= 1
                self._changed.notify_all()
                if not isinstance(error, EngineError) or not self._live:
                    raise
                self._most = len(self._live)  # there is memory for this many, and for no more
                return self._next()
        with self._changed:
            self._making -= 1
        return made

    def wake(self) -> None:
        """Let one of those who wait look again."""
        with self._changed:
            self.wanted = False
            self._changed.notify()

    def close(self, end: Callable[[Thing], None]) -> None:
        """End every thing, those in use when they are given back; nobody is handed one after."""
        with self._changed:
            self._is_closed, self._make = True, closed
            idle, self.idle = self.idle, deque()  # who comes now finds nothing; else the fastest would go on for ever
            self._changed.notify_all()
            self._waiting += 1
            while self._live or self._making:
                self.wanted = True
                try:
                    thing = idle.pop()
                except IndexError:
                    self._changed.wait()
                    continue
                end(thing)
                self._live.pop(id(thing), None)
            self._waiting -= 1

    def _register(self, thing: Thing) -> None:
        with self._changed:
            self._live[id(thing)] = weakref.ref(thing, partial(_lost, weakref.ref(self), id(thing)))

    def _next(self) -> Thing:
        """The next idle one; the condition is held, and let go of while there is none."""
        self._waiting += 1
        try:
            while not self._is_closed:
                self.wanted = True  # before looking: who gives one back after this look sees it, and wakes
                try:
                    return self.idle.pop()
                except IndexError:
                    if not self._live and not self._making:  # all were lost
                        made = self._make()
                        self._register(made)
                        return made
                    self._changed.wait()
            closed()
        finally:
            self._waiting -= 1
            self.wanted = self._waiting > 0
            if self.wanted and (self.idle or self._is_closed):  # one was given back before the one woken had looked
                self._changed.notify()


def _lost(pool: "weakref.ref[Pool[Thing]]", number: int, _: object) -> None:
    """Count a thing no more that nobody holds."""
    if (found := pool()) is not None:
        with found._changed:
            found._live.pop(number, None)
            found._changed.notify_all()
