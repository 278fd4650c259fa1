"""What a training knows after an epoch, in one file: enough to go on as if nothing had happened.

Weights and the optimizer's state, seeds of random layers, the generator that orders and distorts samples, the history
and the best weights so far. The file is replaced as a whole after each epoch, and holds arrays and JSON alone.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.runtime.arrays import read_arrays
from edgepack.runtime.errors import DataError, InputError, MissingFileError, OutputError
from edgepack.runtime.tensor import Array
from edgepack.runtime.writing import write_bytes
from edgepack.train.fitting import Epoch, Fit

__all__ = ["Checkpoint"]

_FACTS = "facts"


class Checkpoint:
    """The file of one training.

    Attributes:
        path: Where it lies.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, resume: bool, force: bool = False) -> None:
        """Take the place and what must be the same for a training to go on.

        Args:
            path: Where the file is or will be.
            settings: Recipe, seed, data, versions and so on: plain values by name.
            resume: Whether to go on where the file left off.
            force: Whether a file of a training that was not finished may be written over.

        Raises:
            MissingFileError: There is nothing to resume.
            OutputError: A training was interrupted here, and neither is asked for.
        """
        self.path, self._settings, self._resume = path, _plain(settings), resume
        if resume and not path.exists():
            raise MissingFileError(path, "checkpoint")
        if path.exists() and not (resume or force):
            raise OutputError(
                f"{path} is of a training that was interrupted; go on with it with --resume (resume=True), or begin "
                "anew with --force (force=True)"
            )

    def restore(self, model: Any, rng: np.random.Generator) -> Fit | None:
        """Bring a compiled model and the generator to where they were; None where the training begins.

        Raises:
            DataError: The file is damaged.
            InputError: It is of a training with other settings.
        """
        if not self._resume:
            return None
        arrays = read_arrays(self.path, "checkpoint")
        facts = self._facts(arrays)
        variables = _variables(model)
        states = _numbered(arrays, "state")
        best = _numbered(arrays, "best")
        if len(states) != len(variables) or any(
            one.shape != tuple(variable.shape) for one, variable in zip(states, variables, strict=True)
        ):
            raise DataError(f"{self.path} does not hold the state of this model; begin anew with --force")
        for variable, value in zip(variables, states, strict=True):
            variable.assign(value)
        rng.bit_generator.state = facts["rng"]
        return Fit(tuple(Epoch(**one) for one in facts["history"]), facts["best_epoch"], best)

    def save(self, model: Any, rng: np.random.Generator, fitted: Fit) -> None:
        """Write what is known now; raises `OutputError` where the disk refuses."""
        facts = {
            "settings": self._settings,
            "rng": rng.bit_generator.state,
            "history": [asdict(epoch) for epoch in fitted.history],
            "best_epoch": fitted.best_epoch,
        }
        arrays = {f"state{index}": np.asarray(variable) for index, variable in enumerate(_variables(model))}
        arrays |= {f"best{index}": array for index, array in enumerate(fitted.weights)}
        buffer = io.BytesIO()
        np.savez(buffer, **{_FACTS: np.frombuffer(json.dumps(facts).encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
        write_bytes(self.path, buffer.getvalue())

    def remove(self) -> None:
        """Take the file away: the training is over."""
        self.path.unlink(missing_ok=True)

    def _facts(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = json.loads(arrays[_FACTS].tobytes())
            settings = facts["settings"]
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{self.path} is no checkpoint of a training; begin anew with --force") from error
        other = [
            f"{name} was {settings.get(name)!r} and is {value!r} now"
            for name, value in self._settings.items()
            if settings.get(name) != value
        ]
        if other:
            raise InputError(f"{self.path} is of another training: {'; '.join(other)}; give the same, or --force")
        return facts


def _variables(model: Any) -> list[Any]:
    """All that changes while fitting: weights, seeds of random layers, and the optimizer's own."""
    return [*model.variables, *model.optimizer.variables]


def _numbered(arrays: Mapping[str, Array], name: str) -> list[Array]:
    found: list[Array] = []
    while (key := f"{name}{len(found)}") in arrays:
        found.append(arrays[key])
    return found


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as they come back from JSON."""
    found: dict[str, Any] = json.loads(json.dumps(settings))
    return found
