"""What recurrent layers gain: files of `edgepack convert` against Keras's own ONNX export of the same weights.

`python -m edgepack.benchmarks.recurrent` converts a bidirectional GRU(32) and an LSTM(64) on 40 steps of 13 numbers,
runs all files in one process, rounds interleaved, and prints one JSON document.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgepack.benchmarks.overhead import BY_HAND
from edgepack.benchmarks.script import print_results
from edgepack.quiet import import_keras, quiet
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.tensor import Array
from edgepack.runtime.timing import measure

_STEPS, _FEATURES = 40, 13
_FURTHEST = 1e-5  # float32, 40 steps: files further apart than this do not compute the same


class Recurrent(msgspec.Struct, frozen=True):
    """One layer: medians of the rounds' medians, one row, one thread, the engines called by hand."""

    layer: str
    keras_onnx_us: float
    onnx_us: float
    tflite_us: float
    onnx_speedup: float
    """How many times faster than Keras's ONNX file: the median of the rounds' own ratios."""
    tflite_speedup: float
    """The same for the TFLite file, in its own engine."""
    largest_difference: float
    """Between the outputs of the three files."""


# what is measured -> the layer, made from `keras.layers`
_LAYERS: dict[str, Callable[[Any], Any]] = {
    "Bidirectional(GRU(32))": lambda layers: layers.Bidirectional(layers.GRU(32)),
    "LSTM(64)": lambda layers: layers.LSTM(64),
}


def measure_recurrent(*, rounds: int = 60, laps: int = 50) -> tuple[Recurrent, ...]:
    """Time each layer as Keras's ONNX file, as ours, and as our TFLite file.

    Args:
        rounds: How often the files take turns.
        laps: Calls in a turn, after five that are not counted.

    Raises:
        MissingExtraError: TensorFlow or Keras is not installed.
        ConvertError: A file was not written, or files of one layer give different numbers.
    """
    return tuple(_compare(name, rounds, laps) for name in _LAYERS)


def _compare(name: str, rounds: int, laps: int) -> Recurrent:
    with tempfile.TemporaryDirectory() as folder:
        files = _files(name, Path(folder))
    row = {"x": np.random.default_rng(0).normal(size=(1, _STEPS, _FEATURES)).astype(np.float32)}
    calls = {which: BY_HAND[kind](data, row) for which, (kind, data) in files.items()}
    times: dict[str, list[float]] = {which: [] for which in calls}
    for _ in range(rounds):
        for which, call in calls.items():
            times[which].append(measure(call, warmup=5, repeat=laps).p50_us)
    return Recurrent(
        layer=name,
        keras_onnx_us=statistics.median(times["keras"]),
        onnx_us=statistics.median(times["onnx"]),
        tflite_us=statistics.median(times["tflite"]),
        onnx_speedup=_ratio(times, "onnx"),
        tflite_speedup=_ratio(times, "tflite"),
        largest_difference=_difference(name, calls),
    )


def _files(name: str, folder: Path) -> dict[str, tuple[str, bytes]]:
    """Every file of one layer, with its format; Keras's own is the first."""
    keras = import_keras("builds the layers", "convert")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((_STEPS, _FEATURES), name="x"), _LAYERS[name](keras.layers)])
    model.save(folder / "model.keras")
    with quiet():
        model(np.zeros((1, _STEPS, _FEATURES), np.float32))  # Keras exports what was called
        model.export(folder / "keras.onnx", format="onnx", verbose=False)
    for written in ("ours.onnx", "ours.tflite"):
        command = [
            sys.executable,
            "-m",
            "edgepack",
            "convert",
            str(folder / "model.keras"),
            "-o",
            str(folder / written),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConvertError(f"{name} was not converted: {done.stderr.strip()}")
    return {
        "keras": ("onnx", (folder / "keras.onnx").read_bytes()),
        "onnx": ("onnx", (folder / "ours.onnx").read_bytes()),
        "tflite": ("tflite", (folder / "ours.tflite").read_bytes()),
    }


def _ratio(times: Mapping[str, list[float]], which: str) -> float:
    return statistics.median(keras / own for keras, own in zip(times["keras"], times[which], strict=True))


def _difference(name: str, calls: Mapping[str, Callable[[], Any]]) -> float:
    """How far the outputs of the files are from each other."""
    outputs: list[Array] = [np.asarray(call()[0]) for call in calls.values()]
    furthest = max(float(np.abs(outputs[0] - other).max()) for other in outputs[1:])
    if not furthest <= _FURTHEST:
        raise ConvertError(f"the files of {name} give different numbers, {furthest:g} apart: nothing was compared")
    return furthest


def main(arguments: list[str]) -> int:
    """Measure, and print what was found."""
    if arguments:
        sys.stderr.write("usage: python -m edgepack.benchmarks.recurrent\n")
        return 2
    return print_results(measure_recurrent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
