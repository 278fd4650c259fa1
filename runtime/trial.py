"""The process in which one way to run a model is tried; `trials` is its other side.

Whatever goes wrong here is an answer; whatever takes the process down is one too, for the process that started it.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import msgspec
import numpy as np

from edgepack.runtime import engines, loading, providers
from edgepack.runtime.engines.base import Look
from edgepack.runtime.errors import EdgepackError, one_line
from edgepack.runtime.pack import Pack, is_pack
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array, TensorSpec
from edgepack.runtime.trials import Measured, Opened
from edgepack.runtime.ways import Way

_FREE_SIZE = 4  # of axes that are free, the batch aside
_CLOSE = 1e-2  # of the largest element, to the engine's own CPU
_REDUCED = 1e-1


class Trying:
    """What was opened, and what it is measured on."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._inputs: dict[str, Array] = {}

    def open(self, path: str, way: Mapping[str, Any], states: Mapping[str, str]) -> Opened:
        """Open, check and run once."""
        asked = msgspec.convert(way, Way)
        before, start = _resident_bytes(), time.perf_counter_ns()
        self._session = loading.open_way(Path(path), asked, states=states)
        load_us = (time.perf_counter_ns() - start) / 1e3
        self._inputs = _inputs(self._session, Path(path))
        outputs = self._session.run(self._inputs)
        grown = _resident_bytes() - before
        look = _look(asked.engine, asked.provider)
        reason = "" if self._session.manifest else self._differs(Path(path), asked, outputs)
        return Opened(
            reason=reason, provider=self._session.provider, placement=dict(self._session.placement),
            device=look.device, software=look.software, load_us=load_us, memory_bytes=max(0, grown),
        )  # fmt: skip

    def measure(self, laps: int, seconds: float, rows: int) -> Measured:
        """Time runs of some rows each."""
        assert self._session is not None
        run = self._session.run
        inputs = {name: np.resize(array, (rows, *array.shape[1:])) for name, array in self._inputs.items()}
        run(inputs)
        ns: list[int] = []
        end = time.perf_counter_ns() + int(seconds * 1e9)
        while len(ns) < laps and (not ns or time.perf_counter_ns() < end):
            start = time.perf_counter_ns()
            run(inputs)
            ns.append(time.perf_counter_ns() - start)
        return Measured(ns=tuple(ns))

    def look(self, engine: str, provider: str) -> Look:
        """See what a provider finds to run on."""
        return _look(engine, provider)

    def _differs(self, path: Path, way: Way, outputs: Mapping[str, Array]) -> str:
        """Why an accelerator is not to be trusted with a bare file, which has no golden samples; empty else."""
        own = engines.own_cpu(way.engine)
        if way.provider == own:
            return ""
        with loading.open_way(path, msgspec.structs.replace(way, provider=own, options={}, reduced=False)) as session:
            wanted = session.run(self._inputs)
        for name, array in wanted.items():
            far = _distance(array, outputs[name])
            if not far <= (_REDUCED if way.reduced else _CLOSE):
                return f"on random inputs output {name!r} is {far:.3g} of its largest element away from the CPU's"
        return ""


def _distance(wanted: Array, found: Array) -> float:
    if wanted.dtype.kind != "f":
        return 0.0 if np.array_equal(wanted, found) else 1.0
    largest = float(np.abs(wanted).max(initial=0.0)) or 1.0
    return float(np.abs(found - wanted).max(initial=0.0)) / largest


def _look(engine: str, provider: str) -> Look:
    for offer in providers.fitting(engine, provider):
        if why := offer.missing():
            return Look(why_not=why)
        if offer.look is not None:
            return offer.look()
    return Look()


def _inputs(session: Session, path: Path) -> dict[str, Array]:
    """One real row where there are golden samples; else random numbers."""
    if is_pack(path):
        with Pack(path) as pack:
            if pack.manifest.goldens:
                inputs, _ = pack.golden(pack.manifest.goldens[0])
                return {name: array[:1] for name, array in inputs.items()}
    rng = np.random.default_rng(0)
    return {spec.name: _random(spec, rng) for spec in session.inputs}


def _random(spec: TensorSpec, rng: np.random.Generator) -> Array:
    """Small numbers of the tensor's type: they are rows of most tables, too."""
    shape = [size or (_FREE_SIZE if axis else 1) for axis, size in enumerate(spec.shape)]
    if spec.dtype == "string":
        return np.full(shape, "a", object)
    if spec.numpy_dtype.kind == "f":
        return rng.uniform(0, 1, shape).astype(spec.numpy_dtype)
    return rng.integers(0, 2, shape).astype(spec.numpy_dtype)


def _resident_bytes() -> int:
    """What this process has in memory now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer until `requests` ends."""
    trying = Trying()
    tasks: dict[str, Callable[..., Any]] = {"open": trying.open, "measure": trying.measure, "look": trying.look}
    kinds = {"open": Opened, "measure": Measured, "look": Look}
    for line in requests:
        request = json.loads(line)
        task = request.pop("do")
        try:
            answer = tasks[task](**request)
        except EdgepackError as error:
            answer = kinds[task](str(error))
        except Exception as error:  # noqa: BLE001 - drivers and engines raise anything
            answer = kinds[task](f"{type(error).__name__}: {one_line(error)}")
        answers.write(msgspec.json.encode(answer).decode() + "\n")
        answers.flush()


def main() -> int:
    """Serve the parent; what libraries print goes nowhere near the answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
