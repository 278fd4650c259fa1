"""What waits for a model: by priority, in groups that can share a run, within limits of rows and time.

Nothing here runs, sleeps or looks at a clock: times come with each call, so that every order of events can be tried.
"""

import heapq
from collections.abc import Hashable, Iterator
from typing import Any

from edgepack.runtime.tensor import Array

Feeds = dict[str, Array]


class Item:
    """One request that waits.

    Attributes:
        feeds: Its tensors, checked; every one with `rows` leading where the model takes rows.
        rows: How many rows they hold.
        group: Requests of one group may share a run; None runs alone.
        deadline: When its answer is worth nothing any more; None is never.
        arrived: When it came.
        answer: Where its answer is put, whatever the caller makes of it.
    """

    __slots__ = ("answer", "arrived", "deadline", "due", "feeds", "group", "order", "rows")

    def __init__(
        self, feeds: Feeds, rows: int, group: Hashable | None, arrived: float, deadline: float | None, priority: int,
        answer: Any = None,
    ) -> None:  # fmt: skip
        self.feeds, self.rows, self.group, self.arrived, self.deadline = feeds, rows, group, arrived, deadline
        self.order, self.due, self.answer = (-priority, 0), arrived, answer

    def __lt__(self, other: "Item") -> bool:
        return self.order < other.order

    def is_late(self, now: float) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and self.deadline <= now


class Waiting:
    """The requests that wait for one model.

    Args:
        max_rows: Rows that share a run at most; a request of more runs alone.
        delay_s: How long a request waits for company before its run is due.
    """

    def __init__(self, max_rows: int, delay_s: float = 0.0) -> None:
        self._max_rows, self._delay_s = max_rows, delay_s
        self._groups: dict[Hashable | None, list[Item]] = {}
        self._came = 0
        self.rows = 0
        """How many rows wait."""

    def __iter__(self) -> Iterator[Item]:
        return (item for group in self._groups.values() for item in group)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def push(self, item: Item) -> None:
        """Let a request wait; among those of its priority it is the last."""
        self._came += 1
        item.order = (item.order[0], self._came)
        if item.group is not None and item.rows < self._max_rows:
            patience = self._delay_s
            if item.deadline is not None:  # who has little time must not spend it on waiting for company
                patience = min(patience, (item.deadline - item.arrived) / 2)
            item.due = item.arrived + patience
        heapq.heappush(self._groups.setdefault(item.group, []), item)
        self.rows += item.rows

    def drop(self, item: Item) -> bool:
        """Let a request wait no longer; False where it does not wait."""
        group = self._groups.get(item.group, [])
        if item not in group:
            return False
        group.remove(item)
        heapq.heapify(group)
        self.rows -= item.rows
        if not group:
            del self._groups[item.group]
        return True

    def take(self, now: float) -> list[Item]:
        """Take the next run's requests: the first by priority and age whose run is due, and what can share it.

        Returns:
            At most `max_rows` rows, or one request of more; nothing where no run is due yet. Requests that came too
            late to be computed are left to `late`, which is to be called first.
        """
        due = [group for group in self._groups.values() if self._is_due(group, now)]
        if not due:
            return []
        group = min(due, key=lambda items: items[0])
        batch = [heapq.heappop(group)]
        rows = batch[0].rows
        while group and batch[0].group is not None and rows + group[0].rows <= self._max_rows:
            rows += group[0].rows
            batch.append(heapq.heappop(group))
        if not group:
            del self._groups[batch[0].group]
        self.rows -= rows
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

    def _is_due(self, group: list[Item], now: float) -> bool:
        if not self._delay_s:
            return True
        return sum(item.rows for item in group) >= self._max_rows or min(item.due for item in group) <= now
