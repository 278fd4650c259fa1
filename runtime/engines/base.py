"""The seam every engine fills: what goes in, what comes out, where it runs, and one call."""

from collections.abc import Mapping, Sequence
from typing import NoReturn, Protocol

from edgepack.runtime.errors import EngineError
from edgepack.runtime.tensor import Array, TensorSpec


class EngineName(str):
    """The name of an engine (`"onnx"`, `"litert"`) that also knows the library behind it.

    It compares and prints as the plain name; `description` says which library in which version really runs, with a
    note where that one is known to be slower.
    """

    __slots__ = ("description",)

    description: str

    def __new__(cls, name: str, description: str) -> "EngineName":
        """Make the name; `description` is for people."""
        made = super().__new__(cls, name)
        made.description = description
        return made


def closed(*_: object) -> NoReturn:
    """Stands in for the calls of an engine that was closed."""
    raise EngineError("this session was closed; load the file again")


class Engine(Protocol):
    """A file opened for execution. Each implementation honours all of this."""

    @property
    def name(self) -> EngineName:
        """Which engine this is, and the library behind it."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The file's own inputs, with the sizes the file fixes."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The file's own outputs, in the order `run` gives them."""

    @property
    def provider(self) -> str:
        """Where it runs, read back from the library: `cpu`, `gpu` or `npu`."""

    @property
    def placement(self) -> Mapping[str, int]:
        """How many operators run on each of the library's own providers."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says of itself, text by name. Anybody may have written it."""

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once; the arrays that come back belong to the caller.

        Args:
            feeds: One array for each input, of its dtype and of a shape the file takes, contiguous or not.
        """

    def close(self) -> None:
        """Give the memory back; no `run` after it."""
