"""Tables: rows of numbers, each with a number or a class to be told from it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.runtime.errors import DataError, MissingExtraError
from edgepack.runtime.tensor import Array
from edgepack.train.data import Data, Samples, stratified
from edgepack.train.datasets.columns import read_columns

__all__ = ["Table", "load_shipped", "load_table_file", "split"]

_TEST_SHARE = 0.25
_SPLIT_SEED = 5_000  # fixed: whatever the seed of a training, nobody trains on the rows of the test
_FEWEST = 100  # rows of a user's file


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What the columns of a table are."""

    name: str
    columns: tuple[str, ...]
    target: str
    """What is to be told; the last column of a file."""
    classes: int = 0
    """Targets are class numbers below this; 0 where they are numbers of any size."""
    sha256: str
    """Of the rows that scikit-learn ships, then their targets, as float64."""


def load_shipped(table: Table, load: Callable[[], tuple[Array, Array]]) -> Data:
    """A table that scikit-learn ships, split.

    Args:
        table: What it is.
        load: Imports scikit-learn, and gives the rows and their targets.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        DataError: The installed scikit-learn ships other rows.
    """
    try:
        rows, targets = load()
    except ImportError as error:
        raise MissingExtraError(f"scikit-learn, which carries {table.name},", "train") from error
    both = (np.ascontiguousarray(rows, np.float64), np.ascontiguousarray(targets, np.float64))
    sha256 = hashlib.sha256(both[0].tobytes() + both[1].tobytes()).hexdigest()
    if sha256 != table.sha256:
        raise DataError(
            f"{table.name} of the installed scikit-learn has the digest {sha256[:12]}…, not {table.sha256[:12]}…; "
            "install a release that was tested: pip install 'scikit-learn>=1.4,<2'"
        )
    return split(table, f"sklearn-{table.name}", sha256, *both)


def load_table_file(table: Table, path: Path) -> Data:
    """A CSV file of the user with the same columns, and the target beside them, split.

    Raises:
        MissingFileError: There is no such file.
        DataError: It is no such file, a cell holds no number or no class, or it has too few rows.
    """
    cells = read_columns(path, (*table.columns, table.target))
    rows, targets = cells[:, :-1], cells[:, -1]
    if len(rows) < _FEWEST:
        raise DataError(f"{path} has {len(rows)} rows; at least {_FEWEST} are needed to train and test with: take more")
    wrong = targets[~np.isin(targets, np.arange(table.classes))] if table.classes else targets[:0]
    if wrong.size:
        raise DataError(
            f"{path} has {wrong[0]:g} in column {table.target!r}; whole numbers from 0 to {table.classes - 1} are taken"
        )
    return split(table, path.name, hashlib.sha256(path.read_bytes()).hexdigest(), rows, targets)


def split(table: Table, name: str, sha256: str, rows: Array, targets: Array) -> Data:
    """A quarter of the rows to test with, the same ones always; classes keep their shares.

    Returns:
        Rows `(samples, columns)`, float32; labels `(samples,)`, int64 for classes and float32 for numbers.
    """
    rng = np.random.default_rng(_SPLIT_SEED)
    count = round(_TEST_SHARE * len(rows))
    kind: Any = np.int64 if table.classes else np.float32
    samples = Samples(np.asarray(rows, np.float32), np.asarray(targets, kind))
    if table.classes:
        test, train = stratified(samples.labels, count, rng)
    else:
        order = rng.permutation(len(rows))
        test, train = np.sort(order[:count]), np.sort(order[count:])
    return Data(name, sha256, samples.take(train), samples.take(test))
