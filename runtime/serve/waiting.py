"""What waits for a model: by priority, in groups that can share a run, within limits of rows and time.

Nothing here runs, sleeps or looks at a clock: times come with each call, so that every order of events can be tried.
"""

import heapq
import sys
from collections.abc import Hashable, Iterator
from typing import Any

from edgepack.runtime.serve.together import Answer, Feeds, joined
from edgepack.runtime.tensor import Array

MEMORY = 0.8  # what the last run leaves of what was known of the speed


class Item:
    """One request that waits.

    Attributes:
        feeds: Its tensors, checked; every one with `rows` leading where the model takes rows.
        rows: How many rows they hold.
        group: Requests of one group may share a run; None runs alone.
        deadline: When its answer is worth nothing any more; None is never.
        arrived: When it came.
        answer: Where its answer is put, whatever the caller makes of it.
        turn: How many rows it runs when it is next: one of many rows has several turns, and others theirs in between.
        left: How many of its rows have not run yet.
        ran_s: How long its turns took.
    """

    __slots__ = (
        "_parts", "answer", "arrived", "deadline", "due", "feeds", "group", "left", "order", "ran_s", "rows", "turn",
    )  # fmt: skip

    def __init__(
        self, feeds: Feeds, rows: int, group: Hashable | None, arrived: float, deadline: float | None, priority: int,
        answer: Any = None,
    ) -> None:  # fmt: skip
        self.feeds, self.rows, self.group, self.arrived, self.deadline = feeds, rows, group, arrived, deadline
        self.order, self.due, self.answer = (-priority, 0), arrived, answer
        self.turn, self.left, self.ran_s = rows, rows, 0.0
        self._parts: list[dict[str, Array]] = []

    def __lt__(self, other: "Item") -> bool:
        return self.order < other.order

    def is_late(self, now: float) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and self.deadline <= now

    def next_feeds(self) -> Feeds:
        """The tensors of its next turn."""
        if self.turn == self.rows:
            return self.feeds
        start = self.rows - self.left
        return {name: array[start : start + self.turn] for name, array in self.feeds.items()}

    def add(self, found: Answer) -> Answer | None:
        """Take what came of a turn; returns the whole answer, or None where rows are left."""
        if isinstance(found, Exception):
            return found
        self.left -= self.turn
        if not self.left and not self._parts:
            return found
        self._parts.append(found)
        return None if self.left else joined(self._parts)


class Waiting:
    """The requests that wait for one model.

    Args:
        max_rows: Rows that share a run at most; a request of more runs alone.
        delay_s: How long a request waits for company before its run is due.
        part_rows: Rows of one turn at most; what a request has beyond them goes to the end of the line again.
    """

    def __init__(self, max_rows: int, delay_s: float = 0.0, part_rows: int = sys.maxsize) -> None:
        self._max_rows, self._delay_s, self._part_rows = max_rows, delay_s, max(part_rows, max_rows)
        self._groups: dict[Hashable | None, list[Item]] = {}
        self._came = 0
        self.rows = 0
        """How many rows wait."""
        self.next_rows = 0
        """How many of them run before one that comes now: of each request one turn."""
        self.requests = 0
        """How many requests wait."""

    def __iter__(self) -> Iterator[Item]:
        return (item for group in self._groups.values() for item in group)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def push(self, item: Item) -> None:
        """Let a request wait; among those of its priority it is the last."""
        self._came += 1
        item.order = (item.order[0], self._came)
        item.turn = item.left if item.group is None else min(item.left, self._part_rows)
        if item.group is not None and item.rows < self._max_rows:
            patience = self._delay_s
            if item.deadline is not None:  # who has little time must not spend it on waiting for company
                patience = min(patience, (item.deadline - item.arrived) / 2)
            item.due = item.arrived + patience
        heapq.heappush(self._groups.setdefault(item.group, []), item)
        self._count(item, 1)

    def drop(self, item: Item) -> bool:
        """Let a request wait no longer; False where it does not wait."""
        group = self._groups.get(item.group, [])
        if item not in group:
            return False
        group.remove(item)
        heapq.heapify(group)
        self._count(item, -1)
        if not group:
            del self._groups[item.group]
        return True

    def take(self, now: float) -> list[Item]:
        """Take the next run's requests: the first by priority and age whose run is due, and what can share it.

        Returns:
            Turns of at most `max_rows` rows, or the turn of one request; nothing where no run is due yet. What has rows
            left after its turn is to be pushed again. Requests that came too late to be computed are left to `late`,
            which is to be called first.
        """
        due = [group for group in self._groups.values() if self._is_due(group, now)]
        if not due:
            return []
        group = min(due, key=lambda items: items[0])
        batch = [heapq.heappop(group)]
        rows = batch[0].turn
        while group and batch[0].group is not None and rows + group[0].turn <= self._max_rows:
            rows += group[0].turn
            batch.append(heapq.heappop(group))
        if not group:
            del self._groups[batch[0].group]
        for item in batch:
            self._count(item, -1)
        return batch

    def late(self, now: float) -> list[Item]:
        """Take out the requests whose deadline has passed."""
        found = [item for item in self if item.is_late(now)]
        for item in found:
            self.drop(item)
        return found

    def next_due(self) -> float | None:
        """When the next run is due; None where nothing waits."""
        return min((item.due for item in self), default=None)

    def _count(self, item: Item, times: int) -> None:
        self.rows += times * item.left
        self.next_rows += times * item.turn
        self.requests += times

    def _is_due(self, group: list[Item], now: float) -> bool:
        if not self._delay_s:
            return True
        return sum(item.rows for item in group) >= self._max_rows or min(item.due for item in group) <= now
