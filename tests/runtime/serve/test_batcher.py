"""The line at work in an event loop: the model is a gate that opens when the test says so."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import DeadlineError, EngineError, NotReadyError, OverloadedError
from edgepack.runtime.serve.batcher import ALWAYS, Batcher, Outcome
from edgepack.runtime.serve.together import Feeds
from edgepack.runtime.serve.tuning import Plan
from edgepack.runtime.tensor import Array


class Gate:
    """Gives twice what comes, when it is open; refuses what holds 13."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.gate, self.ran, self.at_once, self._running = threading.Event(), list[list[float]](), 0, 0
        self.threads: set[str] = set()
        if is_open:
            self.gate.set()

    def __call__(self, feeds: Feeds) -> dict[str, Array]:
        self._running += 1
        self.at_once = max(self.at_once, self._running)
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(20)
        self._running -= 1
        self.ran.append(feeds["x"][:, 0].tolist())
        if (feeds["x"] == 13).any():
            raise EngineError("13 is too many")
        return {"y": feeds["x"] * 2}


def x(*rows: float, width: int = 2) -> Feeds:
    return {"x": np.repeat(np.array(rows, np.float32)[:, None], width, axis=1)}


@asynccontextmanager
async def line(gate: Gate, plan: Plan | None = None, **changes: Any) -> AsyncIterator[Batcher]:
    batcher = Batcher(gate, plan or Plan(max_rows=4, part_rows=4), **changes)
    try:
        yield batcher
    finally:
        gate.gate.set()
        await batcher.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test in an event loop of its own."""

    async def limited() -> None:
        await asyncio.wait_for(test(), 20)

    asyncio.run(limited())


def ask(batcher: Batcher, feeds: Feeds, **how: Any) -> "asyncio.Task[Outcome]":
    return asyncio.get_running_loop().create_task(batcher.infer(feeds, len(feeds["x"]), **how))


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)


def test_those_that_come_in_one_turn_share_a_run() -> None:
    async def test() -> None:
        gate = Gate(is_open=True)
        async with line(gate) as batcher:
            found = await asyncio.gather(*(ask(batcher, x(row)) for row in (1, 2, 3)))
        assert gate.ran == [[1, 2, 3]]
        assert [outputs["y"].tolist() for outputs, _ in found] == [[[2, 2]], [[4, 4]], [[6, 6]]]
        assert [(spent.rows, spent.batch_rows) for _, spent in found] == [(1, 3)] * 3
        assert all(spent.infer_ns > 0 and spent.queue_ns > 0 for _, spent in found)

    run(test)


def test_those_that_come_while_it_runs_share_the_next() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate) as batcher:
            first = ask(batcher, x(1))
            await until(lambda: bool(gate.threads))
            others = [ask(batcher, x(row)) for row in (2, 3, 4, 5, 6)]
            await asyncio.sleep(0)
            assert batcher.waiting_rows == 5
            gate.gate.set()
            await asyncio.gather(first, *others)
        assert gate.ran == [[1], [2, 3, 4, 5], [6]]

    run(test)


def test_as_many_run_at_once_as_there_are_lanes() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate, Plan(lanes=2)) as batcher:
            asked = [ask(batcher, x(row)) for row in range(5)]
            await until(lambda: gate.at_once == 2)
            gate.gate.set()
            await asyncio.gather(*asked)
        assert gate.at_once == 2

    run(test)


def test_the_event_loop_goes_on_while_a_long_run_runs() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate) as batcher:
            asked = ask(batcher, x(1))
            await until(lambda: bool(gate.threads))
            assert not asked.done()
            gate.gate.set()
            await asked
        assert threading.main_thread().name not in gate.threads

    run(test)


def test_a_short_batch_runs_on_the_event_loop_and_a_longer_one_does_not() -> None:
    async def test() -> None:
        gate = Gate(is_open=True)
        async with line(gate, Plan(max_rows=4, part_rows=4, short_size=4)) as batcher:
            await asyncio.gather(ask(batcher, x(1)), ask(batcher, x(2)))
            assert gate.threads == {threading.current_thread().name}
            await asyncio.gather(*(ask(batcher, x(row)) for row in range(3)))
            assert len(gate.threads) == 2

    run(test)


def test_a_bad_request_does_not_spoil_its_neighbours() -> None:
    async def test() -> None:
        gate = Gate(is_open=True)
        async with line(gate) as batcher:
            good, bad, other = await asyncio.gather(
                *(ask(batcher, x(row)) for row in (1, 13, 2)), return_exceptions=True
            )
        assert isinstance(bad, EngineError)
        assert not isinstance(good, BaseException)
        assert not isinstance(other, BaseException)
        assert good[0]["y"].tolist() == [[2, 2]]
        assert other[0]["y"].tolist() == [[4, 4]]

    run(test)


def test_other_shapes_and_those_that_do_not_share_run_by_themselves() -> None:
    async def test() -> None:
        gate = Gate(is_open=True)
        async with line(gate) as batcher:
            asked = [
                ask(batcher, x(1)),
                ask(batcher, x(2, width=3)),
                ask(batcher, x(3)),
                ask(batcher, x(4), shares=False),
            ]
            found = await asyncio.gather(*asked)
        assert sorted(gate.ran) == [[1, 3], [2], [4]]
        assert [outputs["y"].shape for outputs, _ in found] == [(1, 2), (1, 3), (1, 2), (1, 2)]

    run(test)


def test_many_rows_run_in_parts_by_themselves() -> None:
    async def test() -> None:
        gate = Gate(is_open=True)
        async with line(gate) as batcher:
            (outputs, spent), _ = await asyncio.gather(ask(batcher, x(*range(10))), ask(batcher, x(50)))
        assert gate.ran == [[0, 1, 2, 3], [50], [4, 5, 6, 7], [8, 9]]  # who came behind waits for one part
        assert outputs["y"][:, 0].tolist() == [2 * row for row in range(10)]
        assert (spent.rows, spent.batch_rows) == (10, 10)

    run(test)


def test_a_few_rows_never_wait_for_all_the_rows_of_another() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate, queue_rows=8) as batcher:
            many = ask(batcher, x(*range(100, 200)))
            await until(lambda: bool(gate.threads))
            few = [ask(batcher, x(-1, -2, -3)) for _ in range(2)]
            gate.gate.set()
            await asyncio.gather(*few)
            assert not many.done()
            assert len((await many)[0]["y"]) == 100
        assert max(map(len, gate.ran)) == 4

    run(test)


def test_rows_of_one_request_that_are_left_do_not_fill_the_line() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate, queue_rows=8) as batcher:
            asked = [ask(batcher, x(0))]
            await until(lambda: bool(gate.threads))
            asked.append(ask(batcher, x(*range(100, 200))))
            await asyncio.sleep(0)
            assert batcher.waiting_rows == 100
            asked.append(ask(batcher, x(2, 3, 4)))
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError):  # a second one of many rows
                await batcher.infer(x(*range(20, 70)), 50)
            gate.gate.set()
            await asyncio.gather(*asked)

    run(test)


def test_while_a_thread_runs_a_short_run_waits_in_the_line_and_not_on_the_event_loop() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate, Plan(max_rows=4, part_rows=4, lanes=2, short_size=4)) as batcher:
            long = ask(batcher, x(1, 2, 3))
            await until(lambda: bool(gate.threads))
            short = ask(batcher, x(4))
            await asyncio.sleep(0.01)  # the event loop goes on
            gate.gate.set()
            await asyncio.gather(long, short)
        assert threading.main_thread().name not in gate.threads

    run(test)


@pytest.mark.parametrize("ends", ["deadline", "gone", "closed"])
def test_one_of_many_rows_that_nobody_waits_for_any_more_ends_with_its_part(ends: str) -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate) as batcher:
            deadline = time.monotonic() + 0.02 if ends == "deadline" else None
            asked = ask(batcher, x(*range(100, 200)), deadline=deadline)
            await until(lambda: bool(gate.threads))
            if ends == "gone":
                asked.cancel()
            await asyncio.sleep(0.03)
            closed = asyncio.ensure_future(batcher.close(0.0)) if ends == "closed" else None
            await asyncio.sleep(0)
            gate.gate.set()
            wanted = {"deadline": DeadlineError, "gone": asyncio.CancelledError, "closed": NotReadyError}[ends]
            with pytest.raises(wanted, match="had run all rows" if ends == "deadline" else None):
                await asked
            if closed:
                await closed
        assert gate.ran == [[100, 101, 102, 103]]

    run(test)


def test_behind_many_requests_one_that_would_wait_long_is_refused() -> None:
    async def test() -> None:
        gate = Gate()
        plan = Plan(row_us=20_000)
        async with line(gate, plan, queue_s=0.1) as batcher:
            asked = [ask(batcher, x(0))]
            await until(lambda: bool(gate.threads))
            asked += [ask(batcher, x(100 + row)) for row in range(ALWAYS)]  # so many may wait however long that takes
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError, match="would let this wait for 160 ms, and 100 ms is the most") as told:
                await batcher.infer(x(1), 1)
            assert told.value.retry_after_s == pytest.approx(0.16)
            gate.gate.set()
            await asyncio.gather(*asked)

    run(test)


def test_behind_many_requests_one_that_waits_a_moment_is_taken() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate, Plan(row_us=10), queue_s=0.1) as batcher:
            asked = [ask(batcher, x(100 + row)) for row in range(3 * ALWAYS)]
            await asyncio.sleep(0)
            gate.gate.set()
            await asyncio.gather(*asked)

    run(test)


def test_what_waits_is_told_when_it_changes() -> None:
    async def test() -> None:
        gate, told = Gate(), list[int]()
        async with line(gate, Plan()) as batcher:
            batcher.on_wait = told.append
            asked = [ask(batcher, x(0))]
            await until(lambda: bool(gate.threads))
            assert told == []  # it ran at once
            asked += [ask(batcher, x(1)), ask(batcher, x(2, 3))]
            await asyncio.sleep(0)
            assert told[-1] == 3
            asked.pop(1).cancel()
            await asyncio.sleep(0)
            assert told[-1] == 2
            gate.gate.set()
            await asyncio.gather(*asked)
        assert told[-1] == 0

    run(test)


def test_priority_goes_first() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate, Plan()) as batcher:
            asked = [ask(batcher, x(0))]
            await until(lambda: bool(gate.threads))
            asked += [ask(batcher, x(row), priority=priority) for row, priority in ((1, 0), (2, 5), (3, 0), (4, 5))]
            await asyncio.sleep(0)
            gate.gate.set()
            await asyncio.gather(*asked)
        assert gate.ran == [[0], [2], [4], [1], [3]]

    run(test)


def test_a_full_line_refuses_at_once_and_says_when_to_come_again() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate, Plan(row_us=100_000), queue_rows=3) as batcher:
            asked = [ask(batcher, x(0))]
            await until(lambda: bool(gate.threads))
            asked += [ask(batcher, x(row)) for row in (1, 2, 3)]
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError, match="3 rows waiting, and takes 3 at most") as refused:
                await batcher.infer(x(4), 1)
            assert 0.2 < refused.value.retry_after_s < 60
            gate.gate.set()
            await asyncio.gather(*asked)
            await batcher.infer(x(5), 1)  # there is room again

    run(test)


def test_one_that_is_larger_than_the_line_runs_where_nothing_waits() -> None:
    async def test() -> None:
        gate = Gate(is_open=True)
        async with line(gate, queue_rows=3) as batcher:
            outputs, _ = await batcher.infer(x(*range(9)), 9)
        assert len(outputs["y"]) == 9

    run(test)


def test_who_waits_past_the_deadline_is_told_in_time_and_never_computed() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate) as batcher:
            running = ask(batcher, x(1))
            await until(lambda: bool(gate.threads))
            late = ask(batcher, x(2), deadline=time.monotonic() + 0.02)
            with pytest.raises(DeadlineError, match="nothing was computed"):
                await late
            assert batcher.waiting_rows == 0
            gate.gate.set()
            await running
            with pytest.raises(DeadlineError):
                await batcher.infer(x(3), 1, deadline=time.monotonic() - 1)
        assert gate.ran == [[1]]

    run(test)


def test_who_runs_when_the_deadline_passes_is_answered() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate) as batcher:
            asked = ask(batcher, x(1), deadline=time.monotonic() + 0.05)
            await until(lambda: bool(gate.threads))
            await asyncio.sleep(0.1)
            gate.gate.set()
            assert (await asked)[0]["y"].tolist() == [[2, 2]]

    run(test)


def test_a_client_that_is_gone_is_not_computed() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate) as batcher:
            asked = [ask(batcher, x(1))]
            await until(lambda: bool(gate.threads))
            gone = ask(batcher, x(2))
            asked.append(ask(batcher, x(3)))
            await asyncio.sleep(0)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            assert batcher.waiting_rows == 1
            gate.gate.set()
            await asyncio.gather(*asked)
        assert gate.ran == [[1], [3]]

    run(test)


def test_a_client_that_goes_while_it_runs_disturbs_nobody() -> None:
    async def test() -> None:
        gate = Gate()
        async with line(gate) as batcher:
            gone, stays = ask(batcher, x(1)), ask(batcher, x(2))
            await until(lambda: bool(gate.threads))
            gone.cancel()
            gate.gate.set()
            assert (await stays)[0]["y"].tolist() == [[4, 4]]

    run(test)


def test_who_comes_first_waits_for_company_as_long_as_that_is_allowed() -> None:
    async def test() -> None:
        gate = Gate(is_open=True)
        async with line(gate, delay_s=0.05) as batcher:
            first = ask(batcher, x(1))
            await asyncio.sleep(0.005)
            await asyncio.gather(first, ask(batcher, x(2)))
        assert gate.ran == [[1, 2]]

    run(test)


def test_a_batch_that_is_full_waits_no_longer() -> None:
    async def test() -> None:
        gate = Gate(is_open=True)
        async with line(gate, delay_s=15.0) as batcher:
            first = ask(batcher, x(1))
            await asyncio.sleep(0.005)
            await asyncio.gather(first, ask(batcher, x(2, 3, 4)))
        assert gate.ran == [[1, 2, 3, 4]]

    run(test)


def test_closing_answers_what_waits_and_takes_nothing_more() -> None:
    async def test() -> None:
        gate = Gate()
        batcher = Batcher(gate, Plan())
        asked = [ask(batcher, x(row)) for row in range(3)]
        await until(lambda: bool(gate.threads))
        closed = asyncio.get_running_loop().create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(NotReadyError, match="is being closed"):
            await batcher.infer(x(9), 1)
        gate.gate.set()
        await closed
        assert [(await one)[0]["y"][0, 0] for one in asked] == [0, 2, 4]
        await batcher.close()

    run(test)


@pytest.mark.parametrize("drain_s", [0.0, 0.02], ids=["at-once", "after-a-time"])
def test_closing_refuses_what_still_waits_and_lets_end_what_runs(drain_s: float) -> None:
    async def test() -> None:
        gate = Gate()
        batcher = Batcher(gate, Plan())
        running, waiting = ask(batcher, x(1)), ask(batcher, x(2))
        await until(lambda: bool(gate.threads))
        closed = [asyncio.get_running_loop().create_task(batcher.close(drain_s)) for _ in range(2)]
        with pytest.raises(NotReadyError):
            await waiting
        assert not any(one.done() for one in closed)
        gate.gate.set()
        await asyncio.gather(*closed)
        assert (await running)[0]["y"].tolist() == [[2, 2]]
        assert gate.ran == [[1]]

    run(test)
