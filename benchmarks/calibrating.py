"""What calibrating costs: memory on many large samples, a method at a time, and how far histograms are from exact.

`python -m edgepack.benchmarks.calibrating` prints one JSON document; `--samples 2000` is the full run, `--out FILE`
writes it too. Memory is measured in a process of its own for each format and method: the peak of what is resident
while the samples stream through, over what was before. The error is that of every tensor's range against the same
method on all values, which are kept and sorted for that; it runs on a smaller net.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from edgepack.runtime.device import this_device
from edgepack.runtime.errors import EdgepackError
from edgepack.runtime.writing import write_bytes

METHODS = ("minmax", "percentile", "entropy", "mse")
FORMATS = ("onnx", "tflite")

_MAKE = """
import sys, zipfile
import keras, numpy as np
folder, size, samples = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
keras.utils.set_random_seed(0)
keras.applications.MobileNetV2((size, size, 3), alpha=float(sys.argv[4]), weights=None).save(folder + "/model.keras")
rng = np.random.default_rng(0)
with zipfile.ZipFile(folder + "/samples.npz", "w") as archive, archive.open("x.npy", "w", force_zip64=True) as file:
    shape = (samples, size, size, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for _ in range(samples):
        rough = np.kron(rng.random((size // 16, size // 16, 3)), np.ones((16, 16, 1)))
        file.write((rough * rng.random() + rng.random((size, size, 3)) * 0.2).astype("<f4").tobytes())
"""

_OPEN = """
import json, sys, time
from types import SimpleNamespace
import edgepack
from edgepack.convert.precisions import PRECISIONS
from edgepack.convert.calibrate import observe, open_stream
from edgepack.convert.quantizer import prepared
folder, file_format, method = sys.argv[1:4]
with edgepack.load(f"{folder}/model.{file_format}", threads=1) as session:
    source = SimpleNamespace(inputs=session.inputs, outputs=session.outputs)  # all that samples are held against
with open(f"{folder}/model.{file_format}", "rb") as file:
    data = file.read()
if file_format == "onnx":
    import onnx, onnxruntime
    data = prepared(onnx.load_from_string(data)).SerializeToString()
stream = open_stream(folder + "/samples.npz", source, most=1_000_000)
"""

_MEMORY = (
    _OPEN
    + """
def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

observe(file_format, data, open_stream(folder + "/samples.npz", source, most=1), 1)  # what is loaded at first use
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak begins anew
before = status("VmRSS:")
start = time.perf_counter()
count = stream.count
read = time.perf_counter() - start
statistics = observe(file_format, data, stream, 1)
observed = time.perf_counter() - start - read
ranges = statistics.ranges(method)
made = time.perf_counter() - start - read - observed
print(json.dumps({
    "added_bytes": status("VmHWM:") - before, "samples": count, "tensors": len(ranges), "survey_seconds": read,
    "observe_seconds": observed, "ranges_seconds": made,
}))
"""
)

_ERROR = (
    _OPEN
    + """
import math
import numpy as np
from edgepack.convert.calibrate import methods
from edgepack.convert.inside import open_inside

def percentile(values, symmetric):
    cut = 1 - methods.PERCENTILE / 100
    if symmetric:
        return (float(np.quantile(abs(values), 1 - cut)),) * 2
    return tuple(map(float, np.quantile(values, [cut / 2, 1 - cut / 2])))

def divergence(reference, bins, levels):
    wanted = reference[:bins].copy()
    wanted[-1] += reference[bins:].sum()
    given = np.zeros(bins)
    for level in range(levels):
        part = slice(level * bins // levels, (level + 1) * bins // levels)
        filled = reference[part] > 0
        if filled.any():
            given[part][filled] = reference[part].sum() / filled.sum()
    if wanted[-1] and not given[-1]:
        return math.inf
    where = wanted > 0
    p, q = wanted[where] / wanted.sum(), given[where] / given.sum()
    return float((p * np.log(p / q)).sum())

def entropy(values, symmetric):
    low, high = float(values.min()), float(values.max())
    if np.count_nonzero(values) < methods.KL_FEWEST:
        return (max(-low, high),) * 2 if symmetric else (low, high)
    largest = max(-low, high)
    width = 2.0 ** math.ceil(math.log2(largest / methods.KL_BINS))
    if int(largest / width) + 1 > methods.KL_BINS:
        width *= 2
    count = int(largest / width) + 1
    reference = np.histogram(abs(values), count, (0, count * width))[0].astype(float)
    reference[0] = reference[1]
    levels = 256 if not symmetric and (low >= 0 or high <= 0) else 128
    tried = [*range(levels, count + 1, 8), count]
    found = [divergence(reference, bins, levels) for bins in tried]
    best = int(np.argmin(found))
    end = width * tried[best] if best < len(tried) - 1 else largest
    return (min(end, largest),) * 2 if symmetric else (max(low, -end), min(high, end))

def mse(values, symmetric):
    low, high = float(values.min()), float(values.max())
    zeros = int((values == 0).sum())
    ordered = np.sort((abs(values) if symmetric else values).astype(np.float64))
    sums = [np.concatenate([[0.0], np.cumsum(ordered**power)]) for power in (1, 2)]
    def above(ends):
        at = np.searchsorted(ordered, ends, side="right")
        count = len(ordered) - at
        return sums[1][-1] - sums[1][at] - 2 * ends * (sums[0][-1] - sums[0][at]) + ends**2 * count, count
    def below(ends):
        at = np.searchsorted(ordered, ends, side="left")
        return sums[1][at] - 2 * ends * sums[0][at] + ends**2 * at, at
    highs = np.linspace(0, ordered[-1] if symmetric else max(high, 0), 1001)
    clipped, count = above(highs)
    if symmetric:
        errors = clipped + (2 * highs / 254) ** 2 / 12 * (len(ordered) - zeros - count)
        return (float(highs[np.argmin(errors[1:]) + 1]),) * 2
    lows = np.linspace(0, min(low, 0), 1001)
    lower, count_lower = below(lows)
    inside = np.maximum(len(ordered) - zeros - count[None] - count_lower[:, None], 0)
    errors = clipped[None] + lower[:, None] + ((highs[None] - lows[:, None]) / 255) ** 2 / 12 * inside
    i, j = np.unravel_index(np.argmin(errors), errors.shape)
    return max(low, float(lows[i])), min(high, float(highs[j]))

EXACT = {"percentile": percentile, "entropy": entropy, "mse": mse,
         "minmax": lambda values, symmetric: (max(-float(values.min()), float(values.max())),) * 2 if symmetric
         else (float(values.min()), float(values.max()))}

statistics = observe(file_format, data, stream, 1)
kept = {}
inside = open_inside(file_format, data, floats=True)
for batch in stream.batches(1):
    for name, array in (*batch.items(), *inside.run(batch)):
        if name in statistics.histograms:
            kept.setdefault(name, []).append(np.array(array).ravel())
found = {}
for symmetric in (False, True):
    worst = (0.0, "")
    ranges = statistics.ranges(method, symmetric=symmetric)
    for name, parts in kept.items():
        values = np.concatenate(parts)
        span = float(values.max()) - float(values.min())
        if not span:
            continue
        exact, got = EXACT[method](values, symmetric), ranges[name]
        error = max(abs(exact[0] - (got[1] if symmetric else got[0])), abs(exact[1] - got[1])) / span
        worst = max(worst, (error, name))
    found["symmetric" if symmetric else "asymmetric"] = {"worst_share_of_range": worst[0], "tensor": worst[1]}
print(json.dumps({"samples": stream.count, "tensors": len(kept), **found}))
"""
)


def measure(samples: int, exact_samples: int) -> dict[str, Any]:
    """Measure memory on MobileNetV2 at 224 × 224, and the error on a third of it at 96 × 96.

    Args:
        samples: How many samples of 224 × 224 × 3 float32 are calibrated on.
        exact_samples: How many samples of 96 × 96 × 3 ranges are held against the exact ones on.

    Raises:
        EdgepackError: A process failed; the message has what it printed last.
    """
    with tempfile.TemporaryDirectory() as name:
        _prepare(name, 224, samples, "1.0")
        memory = _each(_MEMORY, name)
    with tempfile.TemporaryDirectory() as name:
        _prepare(name, 96, exact_samples, "0.35")
        errors = _each(_ERROR, name)
    return {"device": this_device().cpu, "model": "MobileNetV2, random weights", "memory": memory, "errors": errors}


def _prepare(folder: str, size: int, samples: int, alpha: str) -> None:
    """The model, its float32 files and the samples."""
    _run(["-c", _MAKE, folder, str(size), str(samples), alpha])
    for file_format in FORMATS:
        _run(["-m", "edgepack", "convert", f"{folder}/model.keras", "-o", f"{folder}/model.{file_format}"])


def _each(script: str, folder: str) -> list[dict[str, Any]]:
    """What a script says of each format and method, in a process of its own."""
    return [
        {"format": one, "method": method, **json.loads(_run(["-c", script, folder, one, method]).splitlines()[-1])}
        for one in FORMATS
        for method in METHODS
    ]


def _run(command: list[str]) -> str:
    done = subprocess.run([sys.executable, "-P", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgepackError(f"{command[0]} {command[1][:40]!r} failed: {done.stderr[-600:]}")
    return done.stdout


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--exact-samples", type=int, default=48)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found = msgspec.json.format(msgspec.json.encode(measure(asked.samples, asked.exact_samples)), indent=2) + b"\n"
    if asked.out:
        write_bytes(asked.out, found)
    sys.stdout.write(found.decode())


if __name__ == "__main__":
    main()
