"""Every engine and file that must give the same answers: a new engine is tested by one line of `WAYS`."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import edgepack
from edgepack.runtime import engines
from tests.zoo.packs import ZOO


@dataclass(frozen=True)
class Way:
    """One way to run a model of the zoo."""

    model: str
    file: str
    engine: str

    def open(self, threads: int = 1) -> edgepack.Session:
        if self.engine not in engines.available():
            pytest.skip(f"engine {self.engine!r} is not installed")
        return edgepack.load(ZOO / self.file, engine=self.engine, threads=threads)


WAYS = (
    Way("mlp", "mlp.onnx", "onnx"),
    Way("mlp", "mlp_batch4.onnx", "onnx"),
    Way("mlp", "mlp.tflite", "litert"),
    Way("mlp", "mlp_free.tflite", "litert"),
    Way("pair", "pair.onnx", "onnx"),
    Way("pair", "pair.tflite", "litert"),
    *(Way("mlp", f"mlp{end}", "openvino") for end in (".onnx", "_batch4.onnx", ".tflite", "_free.tflite")),
    *(Way("pair", f"pair{end}", "openvino") for end in (".onnx", ".tflite")),
)


@pytest.fixture(params=WAYS, ids=lambda way: f"{way.engine}-{way.file}")
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.fixture(params=[way for way in WAYS if way.model == "mlp"], ids=lambda way: f"{way.engine}-{way.file}")
def mlp(request: pytest.FixtureRequest) -> Iterator[edgepack.Session]:
    """A session of one input `x` and one output `y`, in every engine and batch."""
    with request.param.open() as session:
        yield session
