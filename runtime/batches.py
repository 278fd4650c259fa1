"""Answer any number of rows with a file whose batch is fixed: piece by piece, the last piece padded."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from edgepack.runtime.tensor import Array, TensorSpec

Run = Callable[[Mapping[str, Array]], Sequence[Array]]


def file_batch(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> int | None:
    """The number of rows the file takes at once, where every input and output has the same fixed leading axis.

    None stands for a file whose leading axes are free or are no common batch: its shapes are taken as they are.
    """
    leading = {spec.shape[0] if spec.shape else None for spec in (*inputs, *outputs)}
    size = leading.pop()
    return size if not leading and size else None


def with_free_batch(specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The specs with a free leading axis."""
    return tuple(msgspec.structs.replace(spec, shape=(None, *spec.shape[1:])) for spec in specs)


def run_in_pieces(run: Run, feeds: Mapping[str, Array], rows: int, size: int) -> list[Array]:
    """Run `rows` rows through a file that takes `size` at once.

    The last piece is filled up with copies of its last row, so that every value the file sees is a real one.

    Returns:
        The outputs in the file's order, each with `rows` leading.
    """
    pieces: list[Sequence[Array]] = []
    for start in range(0, rows, size):
        piece = {name: array[start : start + size] for name, array in feeds.items()}
        missing = start + size - rows
        if missing > 0:
            piece = {
                name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) for name, array in piece.items()
            }
        pieces.append(run(piece))
    return [np.concatenate(parts)[:rows] for parts in zip(*pieces, strict=True)]


def empty(outputs: Sequence[TensorSpec]) -> list[Array] | None:
    """The outputs for no rows at all, where every other size is known."""
    if any(None in spec.shape[1:] for spec in outputs):
        return None
    return [np.empty((0, *(size or 0 for size in spec.shape[1:])), spec.numpy_dtype) for spec in outputs]
