"""Many clients at once, of every kind: none is answered wrongly, none is lost, and nothing is left behind."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from edgepack.runtime.errors import DeadlineError, EngineError, InputError, OverloadedError
from edgepack.runtime.loading import load
from edgepack.runtime.manifest import Manifest
from edgepack.runtime.serve.served import Served
from edgepack.runtime.serve.settings import BatchSettings, ModelSettings
from edgepack.runtime.serve.together import Feeds
from edgepack.runtime.serve.tuning import Plan
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array
from tests.fakes import FakeEngine, spec

CLIENTS, REQUESTS = 32, 30
PLANS = {
    "threads": Plan(max_rows=8, part_rows=8, lanes=2),
    "loop": Plan(max_rows=8, part_rows=8, lanes=2, short_size=200),
    "alone": Plan(lanes=2),
    "direct": Plan(short_size=200),
}


def free_sizes() -> Session:
    """A model that takes samples of any size; it refuses what holds 13."""

    def run(feeds: Mapping[str, Array]) -> Sequence[Array]:
        time.sleep(0.0005)
        if (feeds["x"] == 13).any():
            raise EngineError("13 is too many")
        return [feeds["x"] * 2, feeds["x"].sum(axis=(1, 2), keepdims=False)[:, None]]

    inputs = (spec("x", None, None, None),)
    outputs = (spec("double", None, None, None), spec("sum", None, 1))
    return Session(FakeEngine(inputs, outputs, run), "fake", manifest=Manifest(1, "fake", inputs, outputs, ()))


async def client(model: Served, reference: Session, number: int, told: Counter[str]) -> None:
    """Ask again and again, and hold every answer against the reference."""
    rng = np.random.default_rng(number)
    for _ in range(REQUESTS):
        feeds = _made_up(reference, rng)
        bad = "x" in feeds and feeds["x"].ndim == 3 and rng.random() < 0.05
        if bad:
            feeds["x"].flat[0] = 13
        deadline = time.monotonic() + (0.001 if rng.random() < 0.05 else 20)
        asked = asyncio.ensure_future(
            model.infer(model.checked(feeds), deadline=deadline, priority=int(rng.integers(-1, 2)))
        )
        if rng.random() < 0.1:
            await asyncio.sleep(float(rng.random()) * 0.002)
            asked.cancel()
        try:
            outputs, spent = await asked
        except OverloadedError as error:
            told["overloaded"] += 0 < error.retry_after_s <= 60
        except DeadlineError:
            told["late"] += 1
        except asyncio.CancelledError:
            told["gone"] += 1
        except InputError:
            assert bad
            told["refused"] += 1
        else:
            assert not bad
            _compare(outputs, reference.run_checked(feeds))
            told["shared" if spent.batch_rows > spent.rows else "answered"] += 1


def _made_up(session: Session, rng: np.random.Generator) -> Feeds:
    """A request of a few rows, of one of three sizes where sizes are free; now and then one of many rows."""
    rows = int(rng.integers(9, 30)) if rng.random() < 0.05 else int(rng.integers(1, 4))
    size = int(rng.integers(2, 5))
    return {
        one.name: rng.random([size if at is None else at for at in (rows, *one.shape[1:])]).astype(np.float32)
        for one in session.inputs
    }


def _compare(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        np.testing.assert_allclose(found[name], array, atol=1e-5)  # float32: sums in another order


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("kind", ["free-sizes", "mlp-onnx", "mlp-tflite", "pair-onnx"])
def test_no_answer_is_wrong_or_lost(kind: str, plan: Plan, mlp_pack: Path, pair_pack: Path) -> None:
    pack = pair_pack if kind == "pair-onnx" else mlp_pack
    session, reference = (
        free_sizes() if kind == "free-sizes" else load(pack, variant=f"{kind.split('-')[1]}-float32") for _ in range(2)
    )
    sample = _made_up(reference, np.random.default_rng(0))
    told: Counter[str] = Counter()

    async def stress() -> None:
        settings = ModelSettings(batch=BatchSettings(queue_rows=24))
        model = Served(kind, "1", session, settings, plan, sample)
        await asyncio.gather(*(client(model, reference, number, told) for number in range(CLIENTS)))
        assert model.waiting_rows == 0
        await model.close()

    asyncio.run(asyncio.wait_for(stress(), 50))
    reference.close()
    assert told.total() == CLIENTS * REQUESTS
    assert told["answered"] + told["shared"] > 0
    if kind == "free-sizes" and plan is not PLANS["direct"]:
        assert min(told["overloaded"], told["gone"], told["refused"]) > 0
        assert bool(told["shared"]) == (plan.max_rows > 1)
