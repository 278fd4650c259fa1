"""What `edgepack convert --max-drop` comes to beside NNCF's `quantize_with_accuracy_control`, on the same ONNX file.

`python -m edgepack.benchmarks.rival_nncf --python VENV/bin/python` prints a table, or with `--json` one JSON document.
NNCF lives in an environment of its own (`pip install nncf==3.4.0 onnx onnxruntime`), of which the interpreter is named.
It is given edgepack's float32 ONNX file, the same calibration samples, the same samples to be judged on and the same
budget. Then both files are looked at on samples that neither saw, and timed in ONNX Runtime: one row, one thread, one
process, rounds interleaved.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgepack.benchmarks.hard_net import MAX_DROP, Data, accuracy, convert, read_data, train_net
from edgepack.benchmarks.overhead import BY_HAND
from edgepack.benchmarks.script import print_results, show_results
from edgepack.runtime.errors import ConvertError, InputError
from edgepack.runtime.pack import Pack
from edgepack.runtime.tensor import Array
from edgepack.runtime.timing import measure

_RECIPES = ("digits", "digits-mobile")
_ROUNDS, _LAPS = 60, 30

_NNCF = """
import sys

import nncf
import numpy
import onnx
import onnxruntime

given, written, samples, max_drop = sys.argv[1:]
arrays = numpy.load(samples)
image, labels = arrays["judged"], arrays["labels"]
model = onnx.load(given)
name = model.graph.input[0].name


def validate(candidate, items):
    items = list(items)
    session = onnxruntime.InferenceSession(candidate.SerializeToString(), providers=["CPUExecutionProvider"])
    scores = session.run(None, {name: numpy.stack([one for one, _ in items])})[0]
    right = [float(row.argmax() == label) for row, (_, label) in zip(scores, items)]
    return float(numpy.mean(right)), right


rows = [{name: arrays["calibration"][row : row + 1]} for row in range(len(arrays["calibration"]))]
judged = list(zip(image, labels))
quantized = nncf.quantize_with_accuracy_control(
    model,
    calibration_dataset=nncf.Dataset(rows),
    validation_dataset=nncf.Dataset(judged, lambda one: {name: one[0][None]}),
    validation_fn=validate,
    max_drop=float(max_drop),
    drop_type=nncf.DropType.ABSOLUTE,
    subset_size=len(rows),
)
onnx.save(quantized, written)
"""


class Rivals(msgspec.Struct, frozen=True):
    """One net: accuracies on samples that nobody saw, latencies as medians of the rounds' medians."""

    net: str
    float32: float
    edgepack: float
    nncf: float
    float32_us: float
    edgepack_us: float
    nncf_us: float
    edgepack_over_nncf: float
    """The median of the rounds' own ratios of latency."""
    edgepack_bytes: int
    nncf_bytes: int
    edgepack_seconds: float
    """All of the command: converting, proving, and holding the budget; also the float32 file."""
    nncf_seconds: float
    options: dict[str, Any]


def measure_rivals(python: Path, hard_net: Path | None = None) -> tuple[Rivals, ...]:
    """Quantize each net with both, and compare.

    Args:
        python: The interpreter of the environment that NNCF is in.
        hard_net: Where the net of `hard_net` is, or is written after training; None keeps nothing.

    Raises:
        InputError: There is no such interpreter.
        ConvertError: One of the two gave no file.
    """
    if not python.exists():
        raise InputError(f"there is no {python}; name the interpreter of an environment with nncf, onnx, onnxruntime")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [_compare(recipe, *_trained(recipe, folder), folder, python) for recipe in _RECIPES]
        train, data = read_data()
        model = hard_net or folder / "hard.keras"
        if not model.exists():
            train_net(train).save(model)
        found.append(_compare("hard", model, data, folder, python))
    return tuple(found)


def _trained(recipe: str, folder: Path) -> tuple[Path, Data]:
    """A recipe's model, and its test samples: one half to be judged on, one that nobody sees."""
    model = folder / f"{recipe}.keras"
    _run([sys.executable, "-m", "edgepack", "train", recipe, "-o", str(model)], f"{recipe} was not trained")
    with np.load(model.with_name(f"{recipe}.calibration.npz")) as arrays:
        calibration = {"image": arrays["image"]}
    with np.load(model.with_name(f"{recipe}.evaluation.npz")) as arrays:
        judged, unseen = ({name: arrays[name][half::2] for name in ("image", "digit")} for half in (0, 1))
    return model, Data(calibration, judged, unseen)


def _compare(net: str, model: Path, data: Data, folder: Path, python: Path) -> Rivals:
    start = time.monotonic()
    report = convert(model, folder, data, "--target", "onnx")
    own_seconds = time.monotonic() - start
    with Pack(folder / "hard.edgepack") as pack:
        files = {variant.precision: pack.read(variant.file) for variant in pack.manifest.variants}
        options = {variant.precision: variant.options for variant in pack.manifest.variants}
    if "int8" not in files:
        raise ConvertError(f"no int8 file of {net} came out right: {report['results'][-1]['reasons']}")
    start = time.monotonic()
    files["nncf"] = _rival(files["float32"], data, folder, python)
    seconds = time.monotonic() - start
    times = _timed(files, data.unseen["image"][:1])
    scores = {name: accuracy(_scores(file, data.unseen["image"]), data.unseen["digit"]) for name, file in files.items()}
    return Rivals(
        net=net,
        float32=scores["float32"],
        edgepack=scores["int8"],
        nncf=scores["nncf"],
        float32_us=statistics.median(times["float32"]),
        edgepack_us=statistics.median(times["int8"]),
        nncf_us=statistics.median(times["nncf"]),
        edgepack_over_nncf=statistics.median(a / b for a, b in zip(times["int8"], times["nncf"], strict=True)),
        edgepack_bytes=len(files["int8"]),
        nncf_bytes=len(files["nncf"]),
        edgepack_seconds=own_seconds,
        nncf_seconds=seconds,
        options=options["int8"],
    )


def _rival(float32: bytes, data: Data, folder: Path, python: Path) -> bytes:
    """What NNCF makes of the file."""
    given, written, samples = folder / "float32.onnx", folder / "nncf.onnx", folder / "samples.npz"
    given.write_bytes(float32)
    np.savez(
        samples,
        calibration=data.calibration["image"],
        judged=data.evaluation["image"],
        labels=data.evaluation["digit"],
    )
    command = [str(python), "-c", _NNCF, str(given), str(written), str(samples), str(MAX_DROP)]
    _run(command, "NNCF gave no file")
    return written.read_bytes()


def _timed(files: Mapping[str, bytes], row: Array) -> dict[str, list[float]]:
    """Medians of each round, in microseconds, by name of the file."""
    calls = {name: BY_HAND["onnx"](data, {"image": row}) for name, data in files.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            times[name].append(measure(call, warmup=5, repeat=_LAPS).p50_us)
    return times


def _scores(data: bytes, images: Array) -> Array:
    found: Any = BY_HAND["onnx"](data, {"image": images})()
    return np.asarray(found[0])


def _run(command: list[str], failing: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConvertError(f"{failing}: {done.stderr.strip()[-2000:]}")


def main(arguments: list[str]) -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m edgepack.benchmarks.rival_nncf")
    parser.add_argument("--python", type=Path, required=True, help="the interpreter of an environment with NNCF")
    parser.add_argument("--model", type=Path, help="where the trained hard net is kept")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    asked = parser.parse_args(arguments)
    return (print_results if asked.json else show_results)(partial(measure_rivals, asked.python, asked.model))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
