"""What converting costs: `edgepack convert`, proof included, against Keras's own two exports of the same model.

`python -m edgepack.benchmarks.converting` prints one JSON document. Each side runs in a process of its own that also
loads the model from its file; rounds are interleaved. Memory is the peak of the process and of those it starts,
pages that several of them share counted once (PSS).
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgepack.runtime.device import this_device
from edgepack.runtime.errors import EdgepackError, MissingExtraError

_MAKE = """
import sys, keras
keras.utils.set_random_seed(0)
getattr(keras.applications, sys.argv[1])(weights=None).save(sys.argv[2])
"""
_KERAS = """
import sys, keras
model = keras.models.load_model(sys.argv[1], compile=False)
model.export(sys.argv[2] + "/keras.tflite", format="litert")
model.export(sys.argv[2] + "/keras.onnx", format="onnx")
"""
_POLL_SECONDS = 0.05


class Cost(msgspec.Struct, frozen=True):
    """What one side took: medians over the rounds."""

    seconds: float
    peak_bytes: int


class Comparison(msgspec.Struct, frozen=True):
    """The two sides of one model."""

    model: str
    device: str
    rounds: int
    keras: Cost
    edgepack: Cost
    time_ratio: float
    """The median of the rounds' own ratios."""
    memory_ratio: float


def compare(application: str = "MobileNetV2", *, rounds: int = 3) -> Comparison:
    """Time and peak memory of converting one model of `keras.applications` to both float32 files.

    Args:
        application: Its name; the weights are random.
        rounds: How often the two take turns.

    Raises:
        MissingExtraError: psutil is not installed.
        EdgepackError: A side failed; the message has what it printed last.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.keras"
        _measured([sys.executable, "-c", _MAKE, application, str(model)])
        keras, ours = [], []
        for _ in range(rounds):
            keras.append(_measured([sys.executable, "-c", _KERAS, str(model), name]))
            command = ["-m", "edgepack", "convert", str(model), "-o", str(folder / "ours.edgepack"), "--force"]
            ours.append(_measured([sys.executable, *command]))
    return Comparison(
        application, this_device().cpu, rounds, _median(keras), _median(ours),
        statistics.median(one.seconds / other.seconds for one, other in zip(ours, keras, strict=True)),
        statistics.median(one.peak_bytes / other.peak_bytes for one, other in zip(ours, keras, strict=True)),
    )  # fmt: skip


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(one.seconds for one in costs), int(statistics.median(one.peak_bytes for one in costs))
    )


def _measured(command: list[str]) -> Cost:
    """Run a command to its end and watch the memory of its processes."""
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process:
            peak = 0
            while process.poll() is None:
                peak = max(peak, _memory(process.pid))
                time.sleep(_POLL_SECONDS)
        seconds = time.perf_counter() - began
        if process.returncode:
            log.seek(0)
            raise EdgepackError(f"{' '.join(command[:4])} failed: {log.read().decode(errors='replace')[-400:]}")
    return Cost(seconds, peak)


def _memory(pid: int) -> int:
    """The bytes that a process and those it started hold now."""
    try:
        import psutil
    except ModuleNotFoundError as error:
        raise MissingExtraError("psutil, which reads the memory of processes,", "bench") from error
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        for one in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                total += one.memory_full_info().pss
    return total


def main(arguments: Sequence[str]) -> int:
    """Measure one model of `keras.applications`; its name and the number of rounds may be given."""
    application, rounds = (*arguments, *("MobileNetV2", "3")[len(arguments) :])[:2]
    if len(arguments) > 2 or not rounds.isdigit() or not int(rounds):
        sys.stderr.write("usage: python -m edgepack.benchmarks.converting [MODEL] [ROUNDS]\n")
        return 2
    try:
        found = compare(application, rounds=int(rounds))
    except EdgepackError as error:
        sys.stderr.write(f"edgepack: {error}\n")
        return 1
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
