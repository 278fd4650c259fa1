"""442 patients with diabetes, and how far the disease had come a year later (Efron and others, 2004)."""

from pathlib import Path

from edgepack.runtime.tensor import Array
from edgepack.train.data import Data
from edgepack.train.datasets.tables import Table, load_shipped, load_table_file

__all__ = ["TABLE", "load"]

TABLE = Table(
    name="diabetes",
    columns=("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
    target="progression",
    sha256="e9c1f7559552854a24dc45b41c446ce5f79f96e5da081bcce24b57492720b3f7",
)


def load(path: Path | None = None) -> Data:
    """The patients that scikit-learn ships, in raw units, or those in a CSV file of the same columns."""
    return load_shipped(TABLE, _shipped) if path is None else load_table_file(TABLE, path)


def _shipped() -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    return found.data, found.target
