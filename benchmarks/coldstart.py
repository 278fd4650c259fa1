"""What starting costs: a whole process that loads a pack and answers once, against the shortest script by hand.

`python -m edgepack.benchmarks.coldstart PACK` prints one JSON document. Both sides use the same engine and one thread,
in processes that take turns; memory is the largest resident size the system saw. Bytecode is compiled, as pip leaves
it.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from edgepack.benchmarks.script import print_results
from edgepack.runtime.errors import EdgepackError, InputError
from edgepack.runtime.manifest import FORMATS
from edgepack.runtime.pack import Pack

_OURS = """
import sys, numpy
import edgepack
path, variant, rows = sys.argv[1:]
session = edgepack.load(path, variant=variant, threads=1)
print(next(iter(session.run(numpy.load(rows)).values())).shape)
"""
_ONNX = """
import sys, numpy, onnxruntime
path, _, rows = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
print(session.run(None, {session.get_inputs()[0].name: numpy.load(rows)})[0].shape)
"""
_TFLITE = """
import sys, numpy
from ai_edge_litert.interpreter import Interpreter
path, _, rows = sys.argv[1:]
interpreter = Interpreter(path, num_threads=1)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], numpy.load(rows))
interpreter.invoke()
print(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).shape)
"""
_BY_HAND = {"onnx": _ONNX, "tflite": _TFLITE}


class Start(msgspec.Struct, frozen=True):
    """One variant: medians over the rounds."""

    variant: str
    session_ms: float
    by_hand_ms: float
    time_ratio: float
    """The median of the rounds' own ratios."""
    session_mb: float
    by_hand_mb: float
    memory_ratio: float


class Starts(msgspec.Struct, frozen=True):
    """Everything that starting costs."""

    import_ms: float
    """What `import edgepack` adds to `import numpy`."""
    variants: tuple[Start, ...]


def measure_starts(pack: Path, *, rounds: int = 15) -> Starts:
    """Start processes in turn.

    Args:
        pack: A pack of a model with one input, with golden samples.
        rounds: How often the sides take turns.

    Raises:
        InputError: It holds no golden samples, or has several inputs.
        EdgepackError: A process failed.
    """
    with Pack(pack) as opened, tempfile.TemporaryDirectory() as name:
        manifest, folder = opened.manifest, Path(name)
        if not manifest.goldens or len(manifest.inputs) != 1:
            raise InputError(f"{pack} needs golden samples of one input; build the pack again")
        (rows,) = opened.golden(manifest.goldens[0])[0].values()
        np.save(folder / "rows.npy", rows[:1])
        found = []
        for variant in manifest.variants:
            bare = folder / f"bare{FORMATS[variant.format]}"
            bare.write_bytes(opened.read(variant.file))
            found.append(_compare(pack, bare, variant.name, variant.format, folder / "rows.npy", rounds))
        return Starts(_import_ms(rounds), tuple(found))


def _compare(pack: Path, bare: Path, variant: str, file_format: str, rows: Path, rounds: int) -> Start:
    ours, theirs = [], []
    for number in range(rounds + 1):
        one = _process(_OURS, str(pack), variant, str(rows))
        other = _process(_BY_HAND[file_format], str(bare), variant, str(rows))
        if number:  # the first round fills the disk's cache
            ours.append(one)
            theirs.append(other)
    pairs = list(zip(ours, theirs, strict=True))
    return Start(
        variant, statistics.median(one[0] for one in ours), statistics.median(one[0] for one in theirs),
        statistics.median(one[0] / other[0] for one, other in pairs), statistics.median(one[1] for one in ours),
        statistics.median(one[1] for one in theirs), statistics.median(one[1] / other[1] for one, other in pairs),
    )  # fmt: skip


def _import_ms(rounds: int) -> float:
    with_it, without = [], []
    for _ in range(rounds):
        with_it.append(_process("import numpy, edgepack")[0])
        without.append(_process("import numpy")[0])
    return statistics.median(one - other for one, other in zip(with_it, without, strict=True))


def _process(script: str, *arguments: str) -> tuple[float, float]:
    """Milliseconds and megabytes of a process from its start to its end."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise EdgepackError(f"a process failed with exit code {process.returncode}: {script.strip()[:60]} …")
    return took * 1e3, usage.ru_maxrss / 1e3


def main(arguments: list[str]) -> int:
    """Measure the pack named on the command line."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m edgepack.benchmarks.coldstart PACK\n")
        return 2
    return print_results(partial(measure_starts, Path(arguments[0])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
