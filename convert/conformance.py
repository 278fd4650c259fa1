"""The conformance sweep: convert many small models, hold each file against Keras, and write the table.

`python -m edgepack.convert.conformance --cases tests.conformance.cases --out docs/conformance.md`

Each case is judged (`judging`) in a worker process, so that a crash takes down nothing but itself.
"""

import contextlib
import faulthandler
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec

from edgepack import console
from edgepack.convert.judging import CRASH, REFUSED, RIGHT, Case, judge
from edgepack.runtime.writing import write_bytes

FORMATS = ("tflite", "onnx")
_JOBS_PER_WORKER = 150  # TensorFlow keeps some memory of every graph
_VERSIONS = ("edgepack", "keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "numpy")


class Outcome(msgspec.Struct, frozen=True):
    """What one case came to in one format."""

    case: str
    layer: str
    format: str
    verdict: str
    """`right`, `refused`, `wrong` (it loads and differs), `crash`, `no-light-engine` or `broken-case`."""
    reason: str = ""
    how: str = ""
    """`as is`, `lowered` or `lifted`, for a file that was written."""
    worst: float | None = None
    """The largest relative difference seen; None where nothing was compared, infinite for shapes and NaN."""
    seconds: float = 0.0


def sweep(
    module: str,
    *,
    only: str = "",
    workers: int = 1,
    timeout_s: float = 180.0,
    progress: Callable[[int, int, Outcome], None] | None = None,
) -> list[Outcome]:
    """Convert and judge cases in both formats.

    Args:
        module: The importable name of a module with `CASES`.
        only: A regular expression that the names of the cases must hold.
        workers: How many processes work at a time.
        timeout_s: How long one case in one format may take, in seconds; a longer one counts as a crash.
        progress: Called with the number of judgements done, the number of all, and the newest.

    Returns:
        One outcome for each case and format, in the order of the cases.
    """
    chosen = [case for case in import_module(module).CASES if re.search(only, case.id)]
    order = [(case, name) for case in chosen for name in FORMATS]
    left = deque(enumerate(order))
    found: dict[int, Outcome] = {}

    def drain() -> None:
        with contextlib.closing(_Worker(module)) as worker, contextlib.suppress(IndexError):
            while True:
                index, (case, name) = left.popleft()
                found[index] = worker.judge(case, name, timeout_s)
                if progress:
                    progress(len(found), len(order), found[index])

    threads = [threading.Thread(target=drain) for _ in range(min(workers, len(order)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        left.clear()  # after Ctrl-C the threads end with the case they are at
    return [found[index] for index in range(len(order))]


class _Worker:
    """A process that judges one case after the other, and is started anew when it dies or has done many."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: Any = None
        self._done = 0

    def judge(self, case: Case, file_format: str, timeout_s: float) -> Outcome:
        """What the case comes to; never raises for what the process does."""
        began = time.monotonic()
        try:
            self._ready()
            self._pipe.send((case.id, file_format))
            if not self._pipe.poll(timeout_s):
                raise TimeoutError(f"no answer within {timeout_s:g} s")
            facts = self._pipe.recv()
        except (EOFError, OSError, TimeoutError) as error:
            facts = {"verdict": CRASH, "reason": self._last_words(error)}
            self.close()
        self._done += 1
        return Outcome(case.id, case.layer, file_format, seconds=round(time.monotonic() - began, 2), **facts)

    def close(self) -> None:
        """End the process and what it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a group of its own
        self._process.join()
        self._process = None
        self._log.close()

    def _ready(self) -> None:
        if self._process is not None and self._done < _JOBS_PER_WORKER:
            return
        self.close()
        context = get_context("spawn")
        self._log = tempfile.NamedTemporaryFile(suffix=".log")  # noqa: SIM115 - closed by `close`
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._module, self._log.name))
        self._process.start()
        theirs.close()
        self._done = 0
        self._pipe.recv()  # it leads its group from here on

    def _last_words(self, error: Exception) -> str:
        """Why the process gave no answer: the signal that ended it and what it printed last."""
        if isinstance(error, TimeoutError):
            return str(error)
        self._process.join(10)
        code = self._process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        lines = Path(self._log.name).read_text(errors="replace").split("\n")
        said = next((line for line in reversed(lines) if re.search("fatal|check failed|error", line, re.I)), "")
        return f"the process ended with {how}: {said.strip()[:300]}"


def _serve(pipe: Any, module: str, log: str) -> None:
    """The worker: take names of cases from the pipe and answer with what they came to."""
    os.setsid()
    with open(log, "ab", buffering=0) as sink:
        for number in (1, 2):
            os.dup2(sink.fileno(), number)
    faulthandler.enable()
    pipe.send("ready")
    by_id = {case.id: case for case in import_module(module).CASES}
    while True:
        case_id, file_format = pipe.recv()
        with tempfile.TemporaryDirectory() as folder:
            pipe.send(judge(by_id[case_id], file_format, Path(folder)))
        sys.modules["keras"].backend.clear_session()  # or every case makes the next one slower


def render(outcomes: Sequence[Outcome], left_out: Mapping[str, str]) -> str:
    """The table of layers and what became of them, as Markdown.

    Args:
        outcomes: What a sweep came to.
        left_out: Public layers that the sweep does not convert, each with why.
    """
    versions = ", ".join(f"{name} {found}" for name in _VERSIONS if (found := _version(name)))
    layers: dict[str, list[Outcome]] = {}
    for one in outcomes:
        layers.setdefault(one.layer, []).append(one)
    rows = [
        f"| {layer} | {len({one.case for one in some})} | {_cell(some, 'tflite')} | {_cell(some, 'onnx')} |"
        for layer, some in sorted(layers.items())
    ]
    rest = [
        f"| `{one.case}` | {one.format} | {one.verdict} | {_escape(one.reason)} |"
        for one in outcomes
        if one.verdict != RIGHT
    ]
    lines = (
        "# Which Keras layers convert", "",
        "Written by `python -m edgepack.convert.conformance`; do not edit. Every public layer of `keras.layers`, in "
        "several configurations each, is converted to float32 files; each file is opened in its light engine and held "
        "against Keras on inputs that converting never saw, in batches of 1 and 3.", "",
        f"Versions: Python {sys.version.split()[0]}, {versions}.", "",
        *(f"- {line}" for line in summary(outcomes)), "",
        "| layer | configurations | TFLite | ONNX |", "|--|--|--|--|", *rows, "",
        "## Not converted", "",
        "| case | format | verdict | reason |", "|--|--|--|--|", *rest, "",
        "## Not swept", "",
        "| layer | why |", "|--|--|", *(f"| {name} | {_escape(why)} |" for name, why in sorted(left_out.items())), "",
    )  # fmt: skip
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """One line for each format, and one for both together."""
    lines = []
    for name in FORMATS:
        some = [one for one in outcomes if one.format == name]
        counts = Counter(one.verdict for one in some)
        others = "".join(f", {count} {verdict}" for verdict, count in counts.most_common() if verdict != RIGHT)
        lines.append(f"{name}: {_share(counts[RIGHT], len(some))} right{others}")
    right = Counter(one.case for one in outcomes if one.verdict == RIGHT)
    cases = {one.case for one in outcomes}
    return [*lines, f"both: {_share(sum(count == len(FORMATS) for count in right.values()), len(cases))} right"]


def _cell(outcomes: Iterable[Outcome], file_format: str) -> str:
    """What became of one layer in one format: `as is 3, lowered 2, refused 1`."""
    counts = Counter(
        (one.how or "as is") if one.verdict == RIGHT else one.verdict for one in outcomes if one.format == file_format
    )
    return ", ".join(f"{what} {count}" for what, count in counts.most_common())


def _share(count: int, total: int) -> str:
    return f"{count} of {total} ({100 * count / max(total, 1):.1f} %)"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def main(
    *, cases: str, out: Path | None = None, json: Path | None = None, only: str = "", workers: int = 1,
    timeout_s: float = 180.0,
) -> int:  # fmt: skip
    """Convert every case, judge the files, and write what became of them.

    Args:
        cases: The importable name of a module with CASES, such as tests.conformance.cases.
        out: Where the table is written, as Markdown.
        json: Where every outcome is written, as JSON.
        only: A regular expression that the names of the cases must hold.
        workers: How many processes work at a time.
        timeout_s: How long one case in one format may take.
    """
    sys.path.insert(0, os.getcwd())  # the cases lie beside, not inside, the package
    outcomes = sweep(cases, only=only, workers=workers, timeout_s=timeout_s, progress=_tell)
    if json:
        write_bytes(json, msgspec.json.format(msgspec.json.encode(outcomes), indent=1) + b"\n")
    if out:
        write_bytes(out, render(outcomes, getattr(import_module(cases), "NOT_SWEPT", {})).encode())
    for line in summary(outcomes):
        console.show(line)
    return 0 if all(one.verdict in {RIGHT, REFUSED} for one in outcomes) else 1


def _tell(done: int, total: int, newest: Outcome) -> None:
    """Say on stderr what is not right as soon as it is known."""
    if newest.verdict != RIGHT or done % 100 == 0:
        console.note(f"[{done}/{total}] {newest.case} {newest.format}: {newest.verdict} {newest.reason}"[:300])


if __name__ == "__main__":
    from cyclopts import run

    from edgepack.convert.conformance import main as entry  # the workers must find these classes by their real name

    sys.exit(run(entry))
