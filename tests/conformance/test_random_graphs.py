"""Bar 6: random small graphs convert right or are refused clearly."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed, settings

from edgepack.convert.judging import BROKEN, REFUSED, RIGHT, judge
from tests.conformance.graphs import Graph, graphs

pytestmark = [
    # Keras layers draw the seeds of their initializers when they are made; their weights are set by our own seed.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
    # Layers without masks in between two that have them: Keras says so, and the judge wants the same numbers anyway.
    pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning"),
]

_SETTINGS = {
    "deadline": None,
    "database": None,  # with the fixed seed: the same graphs on every machine
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.generate],  # what fails is told as a script at once: making it smaller takes as long as the rest
}


def _run(count: int, first_seed: int, most: int) -> None:
    """Every graph is right or clearly refused in both formats, and few are refused."""
    counts: Counter[str] = Counter()
    refused: list[str] = []

    @seed(first_seed)
    @settings(max_examples=count, **_SETTINGS)
    @given(graphs(most=most))
    def each(graph: Graph) -> None:
        for file_format in ("tflite", "onnx"):
            with TemporaryDirectory() as folder:
                facts = judge(graph, file_format, Path(folder))
            assume(facts["verdict"] != BROKEN)  # Keras itself cannot run some masks
            story = f"{file_format}: {facts['verdict']}: {facts.get('reason', '')}\n\n{graph.code()}\n"
            assert facts["verdict"] in {RIGHT, REFUSED}, story  # the script in it makes the model that fails
            assert facts["verdict"] == RIGHT or len(facts["reason"]) > 20, story
            counts[facts["verdict"]] += 1
            refused.extend([story] * (facts["verdict"] == REFUSED))

    each()
    assert counts[RIGHT] >= 0.97 * counts.total(), "\n".join([str(counts), *refused])


def test_ten_random_graphs() -> None:
    _run(10, first_seed=10, most=8)


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_five_hundred_random_graphs() -> None:
    _run(500, first_seed=500, most=14)
