"""The line: who is next, who may share a run, and who has waited too long. Times are given, so nothing sleeps."""

import numpy as np

from edgepack.runtime.serve.waiting import Item, Waiting


def item(
    name: str, *, rows: int = 1, group: object = "x", at: float = 0.0, deadline: float | None = None, priority: int = 0
) -> Item:
    return Item({}, rows, group, at, deadline, priority, answer=name)


def line(*items: Item, max_rows: int = 4, delay_s: float = 0.0) -> Waiting:
    waiting = Waiting(max_rows, delay_s)
    for one in items:
        waiting.push(one)
    return waiting


def runs(waiting: Waiting, now: float = 0.0) -> list[str]:
    """Each run that is due, as the names of those in it."""
    found = []
    while batch := waiting.take(now):
        found.append("".join(one.answer for one in batch))
    return found


def test_those_of_a_group_share_a_run_in_the_order_they_came() -> None:
    assert runs(line(*(item(name) for name in "abcdef"))) == ["abcd", "ef"]


def test_those_of_other_groups_do_not() -> None:
    waiting = line(item("a"), item("b", group="y"), item("c"), item("d", group="y"))
    assert runs(waiting) == ["ac", "bd"]


def test_those_without_a_group_run_alone() -> None:
    assert runs(line(item("a", group=None), item("b", group=None))) == ["a", "b"]


def test_who_has_priority_goes_first_and_among_equals_who_came_first() -> None:
    waiting = line(item("a"), item("b", priority=1), item("c", priority=-1), item("d", priority=1), max_rows=1)
    assert runs(waiting) == ["b", "d", "a", "c"]


def test_priority_is_kept_across_groups() -> None:
    assert runs(line(item("a"), item("b", group="y", priority=5), item("c"))) == ["b", "ac"]


def test_rows_count_and_not_requests() -> None:
    assert runs(line(item("a", rows=2), item("b", rows=2), item("c", rows=2))) == ["ab", "c"]


def test_nobody_is_overtaken_by_a_smaller_one_behind() -> None:
    assert runs(line(item("a", rows=3), item("b", rows=3), item("c"))) == ["a", "bc"]


def test_one_that_is_larger_than_a_run_goes_alone() -> None:
    assert runs(line(item("a"), item("b", rows=9), item("c"))) == ["a", "b", "c"]


def test_the_rows_that_wait_are_counted() -> None:
    waiting = line(item("a", rows=3), item("b", rows=2))
    assert waiting.rows == 5
    waiting.take(0.0)
    assert waiting.rows == 2


def test_who_goes_is_no_longer_in_the_line() -> None:
    gone = item("b")
    waiting = line(item("a"), gone, item("c"))
    assert waiting.drop(gone)
    assert not waiting.drop(gone)
    assert (waiting.rows, runs(waiting)) == (2, ["ac"])
    assert not waiting


def test_the_last_of_a_group_leaves_nothing_behind() -> None:
    gone = item("a")
    waiting = line(gone)
    waiting.drop(gone)
    assert (bool(waiting), waiting.rows, waiting.next_due()) == (False, 0, None)


def test_who_waited_past_the_deadline_is_taken_out() -> None:
    waiting = line(item("a", deadline=1.0), item("b", deadline=3.0), item("c"))
    assert [one.answer for one in waiting.late(2.0)] == ["a"]
    assert runs(waiting) == ["bc"]


def test_a_run_is_due_when_its_first_has_waited_for_company() -> None:
    waiting = line(item("a", at=0.0), item("b", at=0.5), delay_s=1.0)
    assert runs(waiting, 0.9) == []
    assert waiting.next_due() == 1.0
    assert runs(waiting, 1.0) == ["ab"]


def test_a_full_run_is_due_at_once() -> None:
    waiting = line(*(item(name) for name in "abcd"), item("z", group="y"), delay_s=1.0)
    assert runs(waiting, 0.1) == ["abcd"]
    assert waiting.rows == 1


def test_one_that_fills_a_run_waits_for_nobody() -> None:
    assert runs(line(item("a", rows=4), delay_s=1.0), 0.0) == ["a"]
    assert runs(line(item("a", group=None), delay_s=1.0), 0.0) == ["a"]


def test_who_has_little_time_does_not_spend_it_waiting_for_company() -> None:
    waiting = line(item("a", at=0.0, deadline=0.5), delay_s=1.0)
    assert waiting.next_due() == 0.25


def parts(waiting: Waiting, *, late: dict[str, Item]) -> list[str]:
    """Each run as the names of those in it with their rows; `late` comes behind the first."""
    found = []
    while batch := waiting.take(0.0):
        found.append(" ".join(f"{one.answer}{one.turn}" for one in batch))
        for one in batch:
            one.add({})
            if one.left:
                waiting.push(one)
        for one in late.values():
            waiting.push(one)
        late = {}
    return found


def test_one_of_many_rows_has_a_turn_at_a_time_and_others_theirs_in_between() -> None:
    waiting = Waiting(4, 0.0, 4)
    waiting.push(item("a", rows=10))
    waiting.push(item("b", rows=2))
    assert (waiting.rows, waiting.next_rows, waiting.requests) == (12, 6, 2)
    assert parts(waiting, late={"c": item("c", rows=3)}) == ["a4", "b2", "a4", "c3", "a2"]
    assert (waiting.rows, waiting.next_rows, waiting.requests) == (0, 0, 0)


def test_the_last_rows_of_many_share_a_run() -> None:
    waiting = Waiting(4, 0.0, 4)
    waiting.push(item("a", rows=6))
    assert parts(waiting, late={"b": item("b", rows=2)}) == ["a4", "a2 b2"]


def test_one_of_many_rows_that_shares_nothing_has_all_rows_in_one_turn() -> None:
    assert parts(Waiting(4, 0.0, 4), late={}) == []
    waiting = Waiting(1, 0.0, 4)
    waiting.push(item("a", rows=9, group=None))
    assert parts(waiting, late={}) == ["a9"]


def test_the_order_is_that_of_sorting_whatever_comes() -> None:
    rng = np.random.default_rng(0)
    items = [item(str(number), priority=int(rng.integers(3)), group=None) for number in range(200)]
    waiting = line(*items)
    for gone in items[::7]:
        waiting.drop(gone)
    kept = [one for number, one in enumerate(items) if number % 7]
    wanted = sorted(kept, key=lambda one: one.order[0])
    assert runs(waiting) == [one.answer for one in wanted]
