"""Results of `session.predict` for people and for JSON: labels with scores, numbers with units, arrays, files."""

from pathlib import Path
from typing import Any

import numpy as np

from edgepack.runtime.steps.outputs import Score, Value


def plain(result: Any) -> Any:
    """A result as JSON can hold it."""
    if isinstance(result, np.ndarray):
        return result.tolist()
    if isinstance(result, dict):
        return {name: plain(value) for name, value in result.items()}
    if isinstance(result, (Score, Value)):
        return result._asdict()
    if isinstance(result, list):
        return [plain(one) for one in result]
    return str(result) if isinstance(result, Path) else result


def line(result: Any) -> str:
    """A result on one line; what a terminal would obey rather than show is left out of the names a pack brings."""
    return "".join(character if character.isprintable() else "\ufffd" for character in _written(result))


def _written(result: Any) -> str:
    if isinstance(result, np.ndarray):
        return np.array2string(result, threshold=20, precision=4).replace("\n", " ")
    if isinstance(result, dict):
        return "; ".join(f"{name} {_written(value)}" for name, value in result.items())
    if isinstance(result, Score):
        return f"{result.label} ({result.score:.1%})"
    return ", ".join(map(_written, result)) if isinstance(result, list) else str(result)
