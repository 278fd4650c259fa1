"""The seam every engine fills: what goes in, what comes out, where it runs, and one call."""

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, Protocol

import msgspec

from edgepack.runtime.errors import EngineError
from edgepack.runtime.tensor import Array, TensorSpec


class EngineName(str):
    """The name of an engine (`"onnx"`, `"litert"`) that also knows the library behind it.

    It compares and prints as the plain name; `description` says which library in which version really runs, with a
    note where that one is known to be slower.
    """

    __slots__ = ("_describe",)

    _describe: Callable[[], str]

    def __new__(cls, name: str, describe: Callable[[], str] | str) -> "EngineName":
        """Make the name; the description is for people, and may be worked out when it is first asked for."""
        made = super().__new__(cls, name)
        made._describe = (lambda: describe) if isinstance(describe, str) else describe
        return made

    @property
    def description(self) -> str:
        """The library behind the engine, and its version."""
        return self._describe()


class Opening(msgspec.Struct, frozen=True):
    """How a file is opened: where it is to run, and what it may use there."""

    provider: str
    """The engine's own name of the one provider that is wanted."""
    threads: int = 1
    """How many threads one call may use."""
    strict: bool = False
    """Refuse the file where the provider does not take all of it."""
    reduced: bool = False
    """Let the provider compute float32 in bfloat16 or float16, where that is its way to be fast."""
    spinning: bool = True
    """Let idle threads of the engine wait busily for the next call."""
    options: Mapping[str, str] = {}
    """Options of the provider, under its own names."""


def _nothing() -> str:
    return ""


class Offer(msgspec.Struct, frozen=True):
    """A provider that an engine can run on, somewhere; whether here, the trial of it tells."""

    name: str
    """The engine's own name: `CUDAExecutionProvider`."""
    kind: str
    """`cpu`, `gpu` or `npu`."""
    missing: Callable[[], str] = _nothing
    """Why it cannot run here and how to get it, as far as that is known without loading anything; empty else."""
    look: Callable[[], "Look"] | None = None
    """Loads what it needs and tells what it found; it may take the process down."""


class Look(msgspec.Struct, frozen=True):
    """What a provider finds on this machine."""

    why_not: str = ""
    """Why it finds nothing to run on; empty where it does."""
    device: str = ""
    """What it runs on, in the words of its driver."""
    software: bool = False
    """Whether that is a program on the CPU: right, and slow."""


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
        """How many operators run on each of the library's own providers; 0 where the library does not count them."""

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
