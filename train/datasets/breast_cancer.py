"""569 tumours of the breast, measured on pictures of their cells, and whether they were malignant (Wisconsin, 1995)."""

from itertools import product
from pathlib import Path

from edgepack.runtime.tensor import Array
from edgepack.train.data import Data
from edgepack.train.datasets.tables import Table, load_shipped, load_table_file

__all__ = ["TABLE", "load"]

_MEASURED = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points", "symmetry",
    "fractal dimension",
)  # fmt: skip
# Of the cells on a picture: the mean, its standard error, and the mean of the three largest.
_KINDS = ("mean {}", "{} error", "worst {}")

TABLE = Table(
    name="breast-cancer",
    columns=tuple(kind.format(one) for kind, one in product(_KINDS, _MEASURED)),
    target="malignant",
    classes=2,
    sha256="21db8f5b2f651acd015475d14aceaf793c1db8657ac12b95b623ad6eee0cb8ad",
)


def load(path: Path | None = None) -> Data:
    """The tumours that scikit-learn ships, or those in a CSV file of the same columns; 1 is malignant."""
    return load_shipped(TABLE, _shipped) if path is None else load_table_file(TABLE, path)


def _shipped() -> tuple[Array, Array]:
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    return found.data, 1 - found.target  # there, 1 is benign
