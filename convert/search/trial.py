"""One trial: a candidate is written, opened in a process of its own, proved, and timed beside float32."""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from edgepack.convert.prove import Proof, Question, prove
from edgepack.convert.search.candidates import Candidate
from edgepack.convert.search.race import File, Timer, race, ratio, time_interleaved
from edgepack.convert.search.store import Store
from edgepack.convert.search.tried import Tried, finite
from edgepack.convert.writers import Writer
from edgepack.runtime import engines
from edgepack.runtime.choose import noise
from edgepack.runtime.errors import EdgepackError, one_line
from edgepack.runtime.tensor import Array
from edgepack.runtime.trials import Opened, try_once
from edgepack.runtime.ways import Way

_BEHIND = 1.5  # times float32: who is slower is not timed again

Probe = Callable[[Path, Way], Opened]


@dataclass(frozen=True, slots=True)
class Laboratory:
    """What every trial is made with."""

    question: Question
    store: Store
    threads: int = 1
    timer: Timer = time_interleaved
    probe: Probe = try_once
    """Opens a file in a process of its own; one that takes it down never comes into this one."""
    clock: Callable[[], float] = time.monotonic

    @property
    def row(self) -> dict[str, Array]:
        """The row that is timed."""
        return {name: array[:1] for name, array in self.question.samples.inputs.items()}


def carry_out(
    candidate: Candidate,
    variant: str,
    writer: Writer,
    float32: bytes,
    done: Iterable[Tried],
    laboratory: Laboratory,
    mends: str = "",
) -> tuple[Tried, Proof | None]:
    """Try one candidate; whatever goes wrong is a reason.

    Args:
        candidate: What is tried.
        variant: The name of its file.
        writer: Writes the files of its format.
        float32: The file of that format it is timed beside; its own where it is that one.
        done: Trials before it: the same file is not proved twice.
        laboratory: What it is made with.
        mends: The trial that it gives precision back to.

    Returns:
        What it came to, and the proof without its session; None where nothing was proved.
    """
    start = laboratory.clock()
    tried = Tried(
        variant=variant, format=candidate.target, precision=candidate.scheme.precision.name,
        options=candidate.scheme.options.said(), mends=mends,
    )  # fmt: skip
    proof = None
    try:
        data = writer(candidate.scheme)
        tried = _with(tried, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        tried, proof = _examine(tried, data, candidate, float32, done, laboratory)
    except EdgepackError as error:
        tried = _with(tried, reasons=(*tried.reasons, str(error)))
    except Exception as error:  # noqa: BLE001 - quantizers and engines raise anything; the others go on
        tried = _with(tried, reasons=(*tried.reasons, f"{type(error).__name__}: {one_line(error)}"))
    return _with(tried, seconds=laboratory.clock() - start), proof


def _examine(
    tried: Tried, data: bytes, candidate: Candidate, float32: bytes, done: Iterable[Tried], laboratory: Laboratory
) -> tuple[Tried, Proof | None]:
    twin = next((one for one in done if one.sha256 == tried.sha256 and one.format == tried.format), None)
    if twin is not None:
        return _with(tried, reasons=(f"it is the same file as {twin.variant}",)), None
    path = laboratory.store.keep(tried.variant, tried.format, data)
    engine = engines.for_format(tried.format)[0]
    opened = laboratory.probe(path, Way(tried.variant, engine, engines.own_cpu(engine), laboratory.threads))
    if opened.died:
        return _with(tried, reasons=(opened.reason,)), None
    # The figures hold for every budget: what may be lost is judged at the end.
    found = prove(tried.format, data, candidate.scheme.precision, replace(laboratory.question, max_drop=None))
    runs = found.session is not None
    if found.session is not None:
        found.session.close()
    proof = replace(found, session=None)
    tried = _with(
        tried, reasons=found.reasons, parity=finite(found.parity), metric=found.metric, undelegated=found.undelegated
    )
    return (_timed(tried, data, float32, laboratory) if runs else tried), proof


def _timed(tried: Tried, data: bytes, float32: bytes, laboratory: Laboratory) -> Tried:
    """The trial with its latency over float32's: a quick look first, and a longer one where it is not far behind."""
    if tried.precision == "float32":
        return _with(tried, of_float32=1.0)
    base = "float32"
    files = {base: File(tried.format, float32), tried.variant: File(tried.format, data)}
    timed = partial(race, files, laboratory.row, laboratory.timer, threads=laboratory.threads, rounds=3)
    rounds = timed(seconds=0.05)
    if ratio(rounds, tried.variant, base) < _BEHIND:
        rounds = timed(openings=2, seconds=0.1)
    return _with(tried, of_float32=ratio(rounds, tried.variant, base), noise=noise(rounds[tried.variant]))


def _with(tried: Tried, **changes: object) -> Tried:
    return msgspec.structs.replace(tried, **changes)
