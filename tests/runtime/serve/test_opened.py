"""How a model is opened for serving: with the threads that are asked for, else with those that were measured better."""

import asyncio
from pathlib import Path

import pytest

from edgepack.runtime.serve.opened import open_served, takes_one_thread
from edgepack.runtime.serve.settings import ModelSettings
from edgepack.runtime.serve.tuning import Plan


def test_short_runs_take_one_thread() -> None:
    assert takes_one_thread(Plan(short_size=10, row_us=60), Plan(short_size=10, row_us=50))


@pytest.mark.parametrize(("single_us", "full_us", "is_single"), [(3_300, 4_800, True), (5_000, 3_000, False)])
def test_longer_ones_take_what_answers_more_rows(single_us: float, full_us: float, is_single: bool) -> None:
    assert takes_one_thread(Plan(row_us=single_us), Plan(row_us=full_us)) == is_single


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_a_number_of_threads_that_is_asked_for_is_kept(mlp_pack: Path, threads: int | None) -> None:
    model = open_served(mlp_pack, "mlp", "1", ModelSettings(variant="onnx-float32", threads=threads))
    engine = model.session._engine
    found = engine._session.get_session_options().intra_op_num_threads  # type: ignore[attr-defined]
    asyncio.run(model.close())
    assert found == (threads or 1)
