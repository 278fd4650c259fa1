"""The step on rows of a table: from a dict, a line of CSV or a list to the numbers of its columns, in order."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from edgepack.runtime.errors import InputError, StepError
from edgepack.runtime.steps.numbers import csv_cells, number
from edgepack.runtime.tensor import Array, describe

_MOST_COLUMNS = 100_000
_NAMES_SHOWN = 8


def row(columns: Sequence[str]) -> Callable[[Any], Array]:
    """Return a function that gives the numbers of one row, float32 `(columns,)`.

    Args:
        columns: Their names, in the order the model takes them.
    """
    names = column_names(columns)

    def read(sample: Any) -> Array:
        if isinstance(sample, Mapping):
            values = _by_name(sample, names)
        elif isinstance(sample, str):
            values = _of_line(sample)
        else:
            values = _in_order(sample, names)
        if len(values) != len(names):
            raise StepError(
                f"a row has {_counted(names)}; this one {len(values):,} values (separated by commas, where it is text)"
            )
        return np.array(
            [number(value, f"column {name!r}") for name, value in zip(names, values, strict=True)], np.float32
        )

    return read


def column_names(columns: Any) -> tuple[str, ...]:
    """The option `columns`, checked."""
    fits = isinstance(columns, (list, tuple)) and all(isinstance(name, str) and name.strip() for name in columns)
    if not (fits and 0 < len(set(columns)) == len(columns) <= _MOST_COLUMNS):
        raise ValueError(f"columns is a list of names, each once, 1 to {_MOST_COLUMNS:,} of them")
    return tuple(columns)


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first of them, where there are many."""
    more = ", …" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(f"{name:.60}" for name in islice(names, _NAMES_SHOWN)) + more


def _counted(names: Sequence[str]) -> str:
    return f"{len(names):,} column{'s' if len(names) > 1 else ''} ({listed(names)})"


def _by_name(sample: Mapping[Any, Any], names: Sequence[str]) -> list[Any]:
    missing = [name for name in names if name not in sample]
    wanted = frozenset(names)
    unknown = [str(name) for name in sample if name not in wanted]
    if missing or unknown:
        told = (("misses", missing), ("has unknown", unknown))
        reasons = [f"{what} {listed(found)}" for what, found in told if found]
        raise InputError(f"a row has {_counted(names)}; this one {' and '.join(reasons)}")
    return [sample[name] for name in names]


def _of_line(text: str) -> list[str]:
    records = [cells for _, cells in islice(csv_cells(text.encode("utf-8", "replace"), "the row"), 2)]
    if len(records) != 1:
        raise InputError(
            f"a row is one line of CSV; this text holds {'several' if records else 'none'}: give several rows as a list"
        )
    return records[0]


def _in_order(sample: Any, names: Sequence[str]) -> list[Any]:
    """Values of a list or an array; one number is a row where there is one column."""
    if isinstance(sample, (list, tuple)):
        return list(sample)
    array = np.asarray(sample)
    if array.shape == () and array.dtype.kind in "biuf":
        if len(names) == 1:
            return [array[()]]
        raise InputError(
            f"a row has {_counted(names)}, and {array[()]!s:.20} is one number: a list is a batch of rows, so put one "
            "row into a list of its own ([[1, 2, …]]), or give a dict, an array or a line of CSV"
        )
    if array.ndim != 1 or array.dtype.kind not in "biufUO":
        kind = describe(array.shape, str(array.dtype)) if isinstance(sample, np.ndarray) else type(sample).__name__
        raise InputError(
            f"a row of {_counted(names)} comes as a dict, a list or an array of them, or a line of CSV; this is {kind}"
            + (": give several rows as a list" if array.ndim == 2 else "")
        )
    return list(array)
