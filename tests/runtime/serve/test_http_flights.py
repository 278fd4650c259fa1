"""Requests in flight: which of those whose bodies are read count as waiting for their model."""

import asyncio

import pytest

from edgepack.runtime.serve.arrivals import Arrivals
from edgepack.runtime.serve.http_flights import Flight


@pytest.mark.parametrize(
    ("age_s", "lag_s", "counts"),
    [(0.01, 0.0, True), (0.2, 0.0, False), (0.2, 0.1, True)],
    ids=["new", "slow-client", "late-event-loop"],
)
def test_a_slow_client_keeps_nobody_waiting(age_s: float, lag_s: float, counts: bool) -> None:
    async def story() -> None:
        task = asyncio.current_task()
        assert task is not None
        arrivals, flight = Arrivals(), Flight(None, task, 0.0)
        flight.coming = arrivals.begin()
        flight.sweep(age_s, 30.0, lag_s)
        assert arrivals.count == counts
        flight.end()
        assert arrivals.count == 0

    asyncio.run(story())
