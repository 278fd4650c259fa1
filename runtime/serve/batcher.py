"""Dynamic batching: requests of one model wait in one line, and those that can share a run do."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from edgepack.runtime.errors import DeadlineError, NotReadyError, OverloadedError
from edgepack.runtime.serve.messages import Spent
from edgepack.runtime.serve.together import Answer, Feeds, Run, group_of, run_together
from edgepack.runtime.serve.tuning import Plan, size_of
from edgepack.runtime.serve.waiting import MEMORY, Item, Waiting
from edgepack.runtime.tensor import Array

_MOST_RETRY_S = 60.0
_LEAST_RETRY_S = 0.05
ALWAYS = 8  # requests that may wait however long that takes, within the rows of the line

Outcome = tuple[dict[str, Array], Spent]


class Batcher:
    """The line of one model and the threads that work it off. Its methods are called in one event loop.

    Args:
        run: Runs checked tensors; called from several threads.
        plan: How many rows share a run, how many runs go on at once, and which are short enough for the event loop.
        delay_s: How long a request waits for company.
        queue_rows: Rows that wait at most; of a request of many rows, those of its next turn.
        queue_s: How long a request may be expected to wait where more than 32 wait already.
        name: Of the model, for messages and threads.
        clock: Seconds, as `asyncio`'s loops count them.

    Attributes:
        on_wait: Told how many rows wait when that has changed.
    """

    def __init__(
        self, run: Run, plan: Plan, *, delay_s: float = 0.0, queue_rows: int = 256, queue_s: float = 0.1,
        name: str = "model", clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._run, self._plan, self._name, self._clock = run, plan, name, clock
        self._queue_rows, self._queue_s = queue_rows, queue_s
        self.on_wait: Callable[[int], None] | None = None
        self._told = 0
        self._waiting = Waiting(plan.max_rows, delay_s, plan.part_rows)
        self._threads = ThreadPoolExecutor(plan.lanes, thread_name_prefix=f"edgepack-{name[:40]}")
        self._running = 0
        self._row_s = plan.row_us * plan.lanes / 1e6
        self._turn: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None
        self._idle: asyncio.Event | None = None
        self._is_closed = self._is_over = False

    @property
    def is_closed(self) -> bool:
        """Whether it takes nothing more."""
        return self._is_closed

    @property
    def waiting_rows(self) -> int:
        """How many rows wait now."""
        return self._waiting.rows

    @property
    def is_running(self) -> bool:
        """Whether a thread runs the model now: a run elsewhere may have to wait for it."""
        return self._running > 0

    def check_room(self, coming: int, rows: int, wait_s: float = 0.0) -> None:
        """Raise `OverloadedError` where a request of so many rows would wait too long.

        Args:
            coming: How many requests are on their way into the line.
            rows: Of this one, as far as they are known.
            wait_s: How long it waits beside the line.
        """
        line = self._waiting
        ahead = coming + (line.next_rows if rows <= self._plan.part_rows else line.rows)
        # One that is larger than the whole line could never come in: where nothing waits, it need not wait either.
        if ahead and ahead + rows > self._queue_rows:
            raise OverloadedError(
                f"model {self._name!r} has {ahead:,} rows waiting, and takes {self._queue_rows:,} at most; come again "
                "later",
                self._retry_after_s(ahead + rows),
            )
        if coming + line.requests < ALWAYS:
            return
        wait_s += self.seconds(line.next_rows)
        if wait_s > self._queue_s:
            raise OverloadedError(
                f"model {self._name!r} would let this wait for {wait_s * 1e3:,.0f} ms, and "
                f"{self._queue_s * 1e3:,.0f} ms is the most; come again later",
                min(max(wait_s, _LEAST_RETRY_S), _MOST_RETRY_S),
            )

    def seconds(self, rows: int) -> float:
        """What so many rows take at the speed that was measured."""
        return rows * self._row_s / self._plan.lanes

    async def infer(
        self, feeds: Feeds, rows: int, *, deadline: float | None = None, priority: int = 0, shares: bool = True
    ) -> Outcome:
        """Run checked tensors in their turn.

        Args:
            feeds: The tensors.
            rows: How many rows they hold.
            deadline: When the answer is worth nothing any more, by the clock.
            priority: Higher is served first.
            shares: Whether other requests may be in the same run.

        Raises:
            OverloadedError: Too many rows wait; it says when to come again.
            DeadlineError: The deadline passed while it waited; it was not computed, or not to its end.
            NotReadyError: The model is being closed.
        """
        loop, now = asyncio.get_running_loop(), self._clock()
        self._admit(rows, deadline, now)
        group = group_of(feeds) if shares else None
        item = Item(feeds, rows, group, now, deadline, priority, loop.create_future())
        self._waiting.push(item)
        self._wake(loop)
        self._tell_waiting()
        timer = loop.call_later(deadline - now, self._expire, item) if deadline is not None else None
        try:
            outcome: Outcome = await item.answer
            return outcome
        finally:
            if timer:
                timer.cancel()
            if item.answer.cancelled() and self._waiting.drop(item):  # the client is gone
                self._tell_waiting()
                self._tell_idle()

    async def close(self, drain_s: float | None = None) -> None:
        """Take nothing more, let what waits be answered, and end the threads.

        Args:
            drain_s: How long what waits may take; what waits still then is refused. None is as long as it takes, 0
                refuses it at once. What runs is let end in any case.
        """
        self._is_closed = True
        self._idle = self._idle or asyncio.Event()
        self._tell_idle()
        if drain_s is None or drain_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), drain_s)
        self._is_over = True
        for item in list(self._waiting):
            self._waiting.drop(item)
            _fail(item, closing(self._name))
        self._tell_idle()
        await self._idle.wait()
        self._threads.shutdown(wait=False)

    def _admit(self, rows: int, deadline: float | None, now: float) -> None:
        """Refuse at once what could not be answered in time anyway."""
        if self._is_closed:
            raise closing(self._name)
        if deadline is not None and deadline <= now:
            raise too_late(self._name)
        self.check_room(0, rows)

    def _retry_after_s(self, rows: int) -> float:
        """When there may be room."""
        return min(max(self.seconds(rows), _LEAST_RETRY_S), _MOST_RETRY_S)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the line when all that came with this request is in it."""
        if self._turn is None and self._waiting and self._running < self._plan.lanes:
            if self._later:
                self._later.cancel()
                self._later = None
            self._turn = loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Start the runs that are due, as many as may go on at once."""
        self._turn = self._later = None
        loop, now = asyncio.get_running_loop(), self._clock()
        self._refuse_late(now)
        while self._running < self._plan.lanes and (batch := self._waiting.take(now)):
            feeds = [item.next_feeds() for item in batch]
            # Behind a run in a thread, one on the event loop would wait for the engine, and all others with it.
            if not self._running and self._plan.is_short(size_of(*feeds)):
                self._settle(batch, *self._answer(batch, feeds))
                break  # others of this event loop come first
            self._running += 1
            self._threads.submit(self._in_thread, loop, batch, feeds)
        if self._waiting and self._running < self._plan.lanes:
            due = self._waiting.next_due() or now
            if due > now:
                self._later = loop.call_later(due - now, self._take_turn)
            else:
                self._wake(loop)
        self._tell_waiting()
        self._tell_idle()

    def _in_thread(self, loop: asyncio.AbstractEventLoop, batch: Sequence[Item], feeds: Sequence[Feeds]) -> None:
        loop.call_soon_threadsafe(self._end_run, batch, *self._answer(batch, feeds))

    def _end_run(self, batch: Sequence[Item], answers: Sequence[Answer | None], start: float, took: float) -> None:
        self._running -= 1
        self._settle(batch, answers, start, took)
        self._wake(asyncio.get_running_loop())
        self._tell_waiting()
        self._tell_idle()

    def _answer(
        self, batch: Sequence[Item], feeds: Sequence[Feeds]
    ) -> tuple[Sequence[Answer | None], float, float]:  # fmt: skip
        """Run a batch; when it began and how long it took come along. None is no answer yet: rows are left."""
        start = self._clock()
        found = run_together(self._run, feeds, [item.turn for item in batch])
        took = self._clock() - start
        return [item.add(answer) for item, answer in zip(batch, found, strict=True)], start, took

    def _settle(self, batch: Sequence[Item], answers: Sequence[Answer | None], start: float, took: float) -> None:
        """Give each request its answer, or another turn."""
        rows = sum(item.turn for item in batch)
        self._row_s = MEMORY * self._row_s + (1 - MEMORY) * took / max(rows, 1)
        for item, answer in zip(batch, answers, strict=True):
            item.ran_s += took
            if isinstance(answer, Exception):
                _fail(item, answer)
            elif item.answer.done():
                continue  # the client is gone
            elif answer is None:
                self._let_wait_again(item, start + took)
            else:
                queue_s = start + took - item.arrived - item.ran_s
                spent = Spent(_ns(queue_s), 0, _ns(item.ran_s), 0, item.rows, max(rows, item.rows))
                item.answer.set_result((answer, spent))

    def _let_wait_again(self, item: Item, now: float) -> None:
        """Others come first; nobody holds the model with one request of very many rows."""
        if self._is_over:
            _fail(item, closing(self._name))
        elif item.is_late(now):
            _fail(item, too_late(self._name, is_begun=True))
        else:
            self._waiting.push(item)

    def _expire(self, item: Item) -> None:
        if self._waiting.drop(item):
            _fail(item, too_late(self._name, is_begun=item.left < item.rows))
            self._tell_waiting()
            self._tell_idle()

    def _refuse_late(self, now: float) -> None:
        for item in self._waiting.late(now):
            _fail(item, too_late(self._name, is_begun=item.left < item.rows))

    def _tell_waiting(self) -> None:
        rows = 0 if self._turn is not None else self._waiting.rows  # what has its turn in a moment does not wait
        if self.on_wait is not None and rows != self._told:
            self._told = rows
            self.on_wait(rows)

    def _tell_idle(self) -> None:
        if self._idle is not None and not self._running and not self._waiting:
            self._idle.set()


def _fail(item: Item, error: Exception) -> None:
    if not item.answer.done():
        item.answer.set_exception(error)


def closing(name: str) -> NotReadyError:
    """What a request is told that comes when its model goes."""
    return NotReadyError(f"model {name!r} is being closed; ask again for the version that follows it")


def too_late(name: str, *, is_begun: bool = False) -> DeadlineError:
    """What a request is told that could not be run in its time, or not all of its rows."""
    if is_begun:
        return DeadlineError(
            f"the deadline passed before model {name!r} had run all rows: allow more time, or send fewer"
        )
    return DeadlineError(f"the deadline passed before model {name!r} could run; nothing was computed: allow more time")


def _ns(seconds: float) -> int:
    return max(round(seconds * 1e9), 0)
