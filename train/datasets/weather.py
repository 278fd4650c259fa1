"""The weather of Seattle, day by day from 2012 to 2015, that vega_datasets ships: windows of days, and what follows.

Windows are split by time: what the last year was like is looked at when the training is over, and nothing of it is
known before.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgepack.runtime.errors import DataError, MissingExtraError
from edgepack.runtime.tensor import Array
from edgepack.train.data import Data, Samples
from edgepack.train.datasets.columns import read_columns

__all__ = ["AHEAD", "COLUMNS", "PAST", "load", "windows"]

COLUMNS = ("temp_max", "temp_min", "precipitation", "wind")
PAST = 28
"""Days that are known."""
AHEAD = 7
"""Days that are forecast."""

_SHA256 = "62f0609f787158128aa2bd102967173a4953122dd4f872bf1d502cae1037df0b"
_TEST_DAYS = 365
_FEWEST_DAYS = 2 * _TEST_DAYS


def load(path: Path | None = None) -> Data:
    """Windows of the weather of Seattle, or of another town's in a CSV file of the same columns, a day a row.

    Returns:
        The weather of 28 days `(samples, 28, 4)`, float32, and the highest temperature of each of the seven days after
        them `(samples, 7)`. Those to test with forecast days of the last 365; they may begin in days before.

    Raises:
        MissingFileError: There is no such file.
        MissingExtraError: vega_datasets is not installed.
        DataError: The file is damaged, has other columns, or too few days.
    """
    path, name = (path, path.name) if path else (_shipped(), "vega-seattle-weather")
    days = read_columns(path, COLUMNS)
    if len(days) < _FEWEST_DAYS:
        raise DataError(f"{path} has {len(days)} days; the last {_TEST_DAYS} test, and as many must come before them")
    values, labels = windows(days)
    first = len(days) - _TEST_DAYS - PAST  # the window whose forecast begins with the first day of the test
    train, test = slice(0, first - AHEAD + 1), slice(first, None)
    return Data(
        name, hashlib.sha256(path.read_bytes()).hexdigest(), Samples(values[train], labels[train]),
        Samples(values[test], labels[test]),
    )  # fmt: skip


def windows(days: Array) -> tuple[Array, Array]:
    """Every stretch of 28 days and the temperatures of the seven after it, the oldest first.

    Args:
        days: `(days, 4)`, the columns as `COLUMNS` has them.
    """
    stretches = np.lib.stride_tricks.sliding_window_view(days, PAST + AHEAD, axis=0).swapaxes(1, 2)
    return np.ascontiguousarray(stretches[:, :PAST]), np.ascontiguousarray(stretches[:, PAST:, 0])


def _shipped() -> Path:
    """The file inside the package, checked; the package itself would import pandas."""
    spec = find_spec("vega_datasets")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("vega_datasets, which carries the weather,", "train")
    path = Path(spec.submodule_search_locations[0], "_data", "seattle-weather.csv")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "none"
    if sha256 != _SHA256:
        raise DataError(
            f"the weather of the installed vega_datasets has the digest {sha256[:12]}…, not {_SHA256[:12]}…; install "
            "the release that was tested: pip install vega-datasets==0.9.0"
        )
    return path
