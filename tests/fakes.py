"""Stand-ins at the seams: an engine made of a numpy function, and a clock that only moves when told."""

from collections.abc import Callable, Mapping, Sequence

from edgepack.runtime.engines.base import EngineName
from edgepack.runtime.tensor import Array, TensorSpec


class FakeEngine:
    """An engine that runs a numpy function; it keeps what it was fed."""

    name = EngineName("fake", "Fake engine 1.0")
    provider = "cpu"
    placement: Mapping[str, int] = {"Fake": 1}
    metadata: Mapping[str, str] = {}

    def __init__(
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        function: Callable[[Mapping[str, Array]], Sequence[Array]],
    ) -> None:
        self.inputs, self.outputs, self._function = tuple(inputs), tuple(outputs), function
        self.fed: list[dict[str, Array]] = []
        self.closed = 0

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        self.fed.append(dict(feeds))
        return self._function(feeds)

    def close(self) -> None:
        self.closed += 1


class FakeClock:
    """Nanoseconds that grow by `step_ns` at each look."""

    def __init__(self, step_ns: int = 1_000) -> None:
        self.now_ns, self._step_ns = 0, step_ns

    def __call__(self) -> int:
        self.now_ns += self._step_ns
        return self.now_ns


def spec(name: str, *shape: int | None, dtype: str = "float32") -> TensorSpec:
    """A spec on one line: `spec("x", None, 4)`."""
    return TensorSpec(name, shape, dtype)
