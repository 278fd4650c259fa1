"""Many runs: rows in batches, runs that build on each other, and the threads that all sessions share."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.runtime.device import usable_cores
from edgepack.runtime.errors import EngineError, InputError
from edgepack.runtime.tensor import Array, TensorSpec

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Run = Callable[[Mapping[str, Any]], dict[str, Array]]


@functools.cache
def threads() -> "ThreadPoolExecutor":
    """Threads for runs that nobody waits for, as many as there are cores; they are started when they are needed."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(usable_cores(), thread_name_prefix="edgepack")


class Stream:
    """Runs that build on each other. Make one with `session.stream()`, and close it."""

    def __init__(
        self,
        run: Run,
        reset: Callable[[], None],
        close: Callable[[], None],
        named: Callable[[Any], Mapping[str, Any]],
        predicted: Callable[[Run, Any], Any],
    ) -> None:
        self._run, self._reset, self._close, self._named, self._predicted = run, reset, close, named, predicted

    def run(self, inputs: Any) -> dict[str, Array]:
        """Run the next piece; arguments, result and errors as those of `Session.run`.

        Raises:
            EngineError: The stream was closed.
        """
        return self._run(self._named(inputs))

    def __call__(self, inputs: Any) -> Array | dict[str, Array]:
        """Run the next piece: an array where there is one output, else a dict by name."""
        results = self.run(inputs)
        return next(iter(results.values())) if len(results) == 1 else results

    def predict(self, sample: Any) -> Any:
        """Run the next piece as a raw sample through the pack's own steps; result and errors as `Session.predict`.

        A list is that many streams side by side, the same ones in each call.
        """
        return self._predicted(self._run, sample)

    def reset(self) -> None:
        """Begin anew, as if nothing had run."""
        self._reset()

    def close(self) -> None:
        """End the stream and give its memory back; a second call does nothing."""
        close, self._close = self._close, _nothing
        self._run = _ended
        close()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _nothing() -> None:
    return None


def _ended(_: Mapping[str, Any]) -> dict[str, Array]:
    raise EngineError("this stream was closed; begin another: session.stream()")


def in_batches(run: Run, specs: Sequence[TensorSpec], rows: Iterable[Any], size: int) -> Iterator[Any]:
    """Run single rows some at a time; no more than `size` of them are held."""
    held: list[Mapping[str, Array]] = []
    for given in rows:
        row = _row(specs, given)
        if held and (len(held) == size or _shapes(row) != _shapes(held[0])):
            yield from _answers(run, held)
            held = []
        held.append(row)
    if held:
        yield from _answers(run, held)


def _row(specs: Sequence[TensorSpec], given: Any) -> Mapping[str, Array]:
    """One row as arrays by name."""
    if not isinstance(given, Mapping):
        if len(specs) != 1:
            names = ", ".join(repr(spec.name) for spec in specs)
            raise InputError(f"got one array a row; the model takes {len(specs)} inputs ({names}): give dicts by name")
        given = {specs[0].name: given}
    return {name: np.asarray(value) for name, value in given.items()}


def _shapes(row: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in row.items()}


def _answers(run: Run, held: Sequence[Mapping[str, Array]]) -> Iterator[Any]:
    results = run({name: np.stack([row[name] for row in held]) for name in held[0]})
    for index in range(len(held)):
        row = {name: array[index] for name, array in results.items()}
        yield next(iter(row.values())) if len(row) == 1 else row
