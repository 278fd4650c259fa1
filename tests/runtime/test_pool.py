"""The pool: one thing for one thread, more when they are wanted, none after the end."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from edgepack.runtime.engines.pool import Pool
from edgepack.runtime.errors import EngineError


class Thing(float):
    """A number that can be told when it is gone, as an interpreter can."""


@contextmanager
def using(pool: Pool[Thing]) -> Iterator[Thing]:
    idle = pool.idle
    try:
        thing = idle.pop()
    except IndexError:
        thing = pool.another()
    try:
        yield thing
    finally:
        idle.append(thing)
        if pool.wanted:
            pool.wake()


def counting(most: int) -> tuple[Pool[Thing], list[int]]:
    made = [0]

    def make() -> Thing:
        made.append(len(made))
        return Thing(made[-1])

    return Pool(Thing(0), make, most), made


def test_one_user_keeps_to_one_thing() -> None:
    pool, made = counting(4)
    for _ in range(3):
        with using(pool) as thing:
            assert thing == 0
    assert made == [0]


def test_more_are_made_when_they_are_wanted() -> None:
    pool, made = counting(3)
    with using(pool) as one, using(pool) as other, using(pool) as third:
        assert {one, other, third} == {0, 1, 2}
    assert made == [0, 1, 2]


def test_beyond_the_most_a_user_waits_for_one_that_is_given_back() -> None:
    pool, made = counting(1)
    got: list[float] = []

    def wait() -> None:
        with using(pool) as thing:
            got.append(thing)

    with using(pool):
        waiter = threading.Thread(target=wait)
        waiter.start()
        waiter.join(0.05)
        assert not got
    waiter.join(10)
    assert got == [0] == made


def test_no_two_threads_have_the_same_thing() -> None:
    pool, made = counting(2)
    in_use: set[float] = set()

    def work(_: int) -> None:
        for _ in range(2_000):
            with using(pool) as thing:
                assert thing not in in_use
                in_use.add(thing)
                in_use.remove(thing)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert made in ([0], [0, 1])


def test_where_no_more_can_be_made_those_there_are_do() -> None:
    tries = 0

    def refuse() -> Thing:
        nonlocal tries
        tries += 1
        raise EngineError("no memory")

    pool = Pool(Thing(0), refuse, 4)

    def work(_: int) -> float:
        with using(pool) as thing:
            threading.Event().wait(0.02)
            return thing

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(8))) == [0] * 8
    assert 1 <= tries <= 3


def test_the_end_waits_for_those_in_use() -> None:
    pool, _ = counting(2)
    ended: list[float] = []
    with using(pool):
        with using(pool):
            closer = threading.Thread(target=pool.close, args=(ended.append,))
            closer.start()
            closer.join(0.05)
            assert not ended
        closer.join(0.05)
        assert len(ended) == 1
    closer.join(10)
    assert sorted(ended) == [0, 1]


def test_who_waits_at_the_end_and_who_comes_after_is_told() -> None:
    pool, _ = counting(1)
    told: list[str] = []

    def wait() -> None:
        try:
            pool.another()
        except EngineError as error:
            told.append(str(error))

    with using(pool):
        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        while pool._waiting < 3:
            pass
        closer = threading.Thread(target=pool.close, args=(lambda _: None,))
        closer.start()
        for thread in threads:
            thread.join(10)
    closer.join(10)
    assert told == ["this session was closed; load the file again"] * 3
    with pytest.raises(EngineError, match="was closed"):
        pool.another()


def test_a_second_end_does_nothing() -> None:
    pool, _ = counting(1)
    ended: list[float] = []
    pool.close(ended.append)
    pool.close(ended.append)
    assert ended == [0]


@pytest.mark.parametrize("most", [1, 2])
def test_what_is_lost_in_use_is_made_anew(most: int) -> None:
    pool, made = counting(most)
    for _ in range(3):
        pool.idle.pop()  # and Ctrl-C comes before it has a name
        with using(pool) as thing:
            assert thing == made[-1]
        del thing
    assert made == [0, 1, 2, 3]


def test_the_end_does_not_wait_for_what_was_lost() -> None:
    pool, _ = counting(2)
    ended: list[float] = []
    pool.idle.pop()
    closer = threading.Thread(target=pool.close, args=(ended.append,), daemon=True)
    closer.start()
    closer.join(10)
    assert not closer.is_alive()
    assert not ended


def test_who_waits_is_given_another_where_the_only_one_was_lost() -> None:
    pool, _ = counting(1)
    got: list[float] = []
    held = [pool.idle.pop()]
    waiter = threading.Thread(target=lambda: got.append(pool.another()), daemon=True)
    waiter.start()
    waiter.join(0.05)
    assert not got
    held.clear()
    waiter.join(10)
    assert got == [1]
