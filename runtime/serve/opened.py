"""Opening a model for serving: proved, warm, with as many threads for a run as answer most requests."""

import os
from typing import NamedTuple

from edgepack.runtime.device import usable_cores
from edgepack.runtime.errors import EdgepackError, EngineError, InputError
from edgepack.runtime.loading import load
from edgepack.runtime.serve.served import Served, can_share
from edgepack.runtime.serve.settings import ModelSettings
from edgepack.runtime.serve.tuning import Plan, check_rows, tune
from edgepack.runtime.serve.warming import sample_of
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array

_LONG_US = 50_000.0  # of a run longer than this all cores take their part: a client alone would feel it


class Opened(NamedTuple):
    """A session, and how it is run best."""

    session: Session
    plan: Plan
    sample: dict[str, Array]
    """Tensors that are known to run; empty where nobody knows any."""


def open_served(path: str | os.PathLike[str], name: str, version: str, settings: ModelSettings) -> Served:
    """Load a model, prove it on its golden samples, warm it up and measure how it runs best. It blocks: use a thread.

    Args:
        path: A pack or a bare file.
        name: The model's name in the repository.
        version: Its version.
        settings: How it is served. Without a number of threads it is measured whether runs of one thread each answer
            as many requests as runs that take all cores; what `edgepack choose` found is kept.

    Raises:
        InputError: The settings ask for a batch of no rows.
        EdgepackError: As `edgepack.load` raises.
    """
    check_rows(settings.batch.max_rows)
    opened = _open(path, settings, settings.threads)
    if settings.threads is None and _may_take_one_thread(opened):
        opened = _faster(opened, path, settings)
    return Served(name, version, opened.session, settings, opened.plan, opened.sample)


def _open(path: str | os.PathLike[str], settings: ModelSettings, threads: int | None) -> Opened:
    session = load(
        path, variant=settings.variant, engine=settings.engine, provider=settings.provider, threads=threads,
        strict=settings.strict,
    )  # fmt: skip
    try:
        sample, is_golden = sample_of(path, session)
        try:
            plan = tune(
                session.run_checked, sample, settings.batch.max_rows, shares=can_share(session), cores=usable_cores()
            )
        except (EngineError, InputError):
            if is_golden:
                raise
            plan, sample = Plan(), {}  # nobody knows what this one takes: made-up numbers prove nothing
    except BaseException:
        session.close()
        raise
    return Opened(session, plan, sample)


def _may_take_one_thread(opened: Opened) -> bool:
    """Whether it is worth trying."""
    session, plan = opened.session, opened.plan
    is_free = session.provider == "cpu" and not session.chosen.startswith("measured on")
    return is_free and usable_cores() > 1 and bool(opened.sample) and plan.row_us * plan.lanes <= _LONG_US


def _faster(opened: Opened, path: str | os.PathLike[str], settings: ModelSettings) -> Opened:
    """The same with one thread for each run, where that answers as many requests; the other is closed."""
    try:
        single = _open(path, settings, 1)
    except EdgepackError:  # what runs stays
        return opened
    kept, left = (single, opened) if takes_one_thread(single.plan, opened.plan) else (opened, single)
    left.session.close()
    return kept


def takes_one_thread(single: Plan, full: Plan) -> bool:
    """Whether runs of one thread are the better ones for many clients.

    Short ones always are: threads that wait for each other cost them more than they give.
    """
    return single.short_size > 0 or single.row_us <= full.row_us
