"""What choosing gains: what `choose` picks for each of eight models, against Keras's own exports in default sessions.

`python -m edgepack.benchmarks.zoo [MODEL …]` prints one JSON document. Every file runs in a process of its own; rounds
are interleaved. Keras's side is the faster of its two exports that runs at all. The random weights of all but the
digits are not trained: what is measured is time, and the budget is a signal-to-noise ratio of 20 dB.
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from edgepack.benchmarks.script import print_results
from edgepack.runtime.choices import Choice
from edgepack.runtime.choose import choose
from edgepack.runtime.errors import EdgepackError, UnknownNameError
from edgepack.runtime.timing import Timing
from edgepack.runtime.trials import Trial
from edgepack.runtime.ways import Way

MODELS = ("cnn", "depthwise", "lstm", "gru", "attention", "autoencoder", "mobilenetv2", "mlp")
_PRECISIONS = "float32,float16,dynamic_int8,int8"
_CHOOSE_SECONDS = 90.0
_ROUNDS = 4  # with each of the processes of a candidate
_PROCESSES = 3  # where a process's memory lies makes small nets faster or slower by a tenth
_ROUND_SECONDS = 0.2
_MOST_LAPS = 300

_MAKE = """
import sys, numpy as np, keras
from keras import layers as L
name, folder = sys.argv[1:]
keras.utils.set_random_seed(0)
def attention(x):
    y = L.LayerNormalization()(x + L.MultiHeadAttention(4, 16)(x, x))
    return L.Dense(10)(L.GlobalAveragePooling1D()(L.LayerNormalization()(y + L.Dense(64)(L.Dense(128, "relu")(y)))))
def depthwise(x):
    for filters, strides in ((16, 2), (32, 1), (32, 2), (64, 1), (64, 2)):
        x = L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3, strides, padding="same")(x)))
        x = L.ReLU()(L.BatchNormalization()(L.Conv2D(filters, 1)(x)))
    return L.Dense(10)(L.GlobalAveragePooling2D()(x))
def chain(*parts):
    def call(x):
        for part in parts:
            x = part(x)
        return x
    return call
cells = {
    "depthwise": ((96, 96, 3), depthwise),
    "lstm": ((40, 13), chain(L.LSTM(64), L.Dense(10))),
    "gru": ((40, 13), chain(L.Bidirectional(L.GRU(32)), L.Dense(10))),
    "attention": ((32, 64), attention),
    "autoencoder": ((784,), chain(L.Dense(64, "relu"), L.Dense(784, "sigmoid"))),
    "mlp": ((64,), chain(L.Dense(256, "relu"), L.Dense(256, "relu"), L.Dense(10))),
    "cnn": ((28, 28, 1), chain(L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D(), L.Conv2D(64, 3, activation="relu"),
                               L.MaxPooling2D(), L.Flatten(), L.Dense(64, "relu"), L.Dense(10))),
}
if name == "mobilenetv2":
    model = keras.applications.MobileNetV2(weights=None, classifier_activation=None)
else:
    shape, build = cells[name]
    given = keras.Input(shape, name="x")
    model = keras.Model(given, build(given), name=name)
rng = np.random.default_rng(0)
rows = rng.normal(0, 1, (96, *model.input_shape[1:])).astype(np.float32)
if any(isinstance(layer, L.BatchNormalization) for layer in model.layers):
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.momentum = 0.0
    model(rows[:32], training=True)
model.save(folder + "/model.keras")
np.savez(folder + "/calibration.npz", **{model.layers[0].name: rows[:64]})
np.savez(folder + "/evaluation.npz", **{model.layers[0].name: rows[64:]})
for ending, form in (("tflite", "litert"), ("onnx", "onnx")):
    try:
        model.export(f"{folder}/keras.{ending}", format=form)
    except Exception as error:
        print("keras cannot export", form, error, file=sys.stderr)
"""

# Runs a file as the documentation of its engine does, with nothing set; answers each line with laps.
_PLAIN = """
import json, sys, time, numpy as np
path = sys.argv[1]
rng = np.random.default_rng(0)
if path.endswith(".onnx"):
    import onnxruntime
    session = onnxruntime.InferenceSession(path)
    value = session.get_inputs()[0]
    feeds = {value.name: rng.normal(0, 1, [size if isinstance(size, int) else 1 for size in value.shape]).astype("f")}
    call = lambda: session.run(None, feeds)
else:
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(path)
    detail = interpreter.get_input_details()[0]
    if (shape := [max(1, size) for size in detail["shape_signature"]]) != list(detail["shape"]):
        interpreter.resize_tensor_input(detail["index"], shape)
    interpreter.allocate_tensors()
    rows, output = rng.normal(0, 1, shape).astype("f"), interpreter.get_output_details()[0]["index"]
    def call():
        interpreter.set_tensor(detail["index"], rows)
        interpreter.invoke()
        return interpreter.get_tensor(output)
call()
for line in sys.stdin:
    laps, seconds = json.loads(line)
    ns, end = [], time.perf_counter() + seconds
    while len(ns) < laps and (not ns or time.perf_counter() < end):
        start = time.perf_counter_ns()
        call()
        ns.append(time.perf_counter_ns() - start)
    print(json.dumps(ns), flush=True)
"""


class Gain(msgspec.Struct, frozen=True):
    """One model."""

    model: str
    keras_us: dict[str, float]
    """By format, of the exports that run in a light engine."""
    chosen: Way
    chosen_us: float
    gain: float
    """The faster export's median over that of the chosen way; the median of the rounds' own ratios."""
    best: Way
    """The fastest candidate of all, in the same rounds."""
    regret: float
    """The chosen way's median over the best one's, less one."""
    candidates_us: dict[str, float]


class Gains(msgspec.Struct, frozen=True):
    """All models."""

    mean: float
    """The geometric mean of the gains."""
    worst_regret: float
    models: tuple[Gain, ...]


def measure_gains(models: Sequence[str] = MODELS) -> Gains:
    """Build, convert, choose and measure each model; progress goes to stderr.

    Raises:
        UnknownNameError: There is no such model.
        EdgepackError: A step failed; the message has what it printed last.
    """
    for name in models:
        if name not in MODELS:
            raise UnknownNameError("model", name, MODELS)
    found = tuple(map(_gain, models))
    return Gains(statistics.geometric_mean(one.gain for one in found), max(one.regret for one in found), found)


def make_model(model: str, folder: Path) -> None:
    """Write one of the models as `model.keras`, with `calibration.npz` and `evaluation.npz`, and Keras's own exports.

    Raises:
        EdgepackError: It could not be built; the message has what was printed last.
    """
    _run([sys.executable, "-c", _MAKE, model, str(folder)])


def _gain(model: str) -> Gain:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sys.stderr.write(f"{model}: building\n")
        make_model(model, folder)
        _run([
            sys.executable, "-m", "edgepack", "convert", f"{name}/model.keras", "-o", f"{name}/{model}.edgepack",
            "--precision", _PRECISIONS, "--calibration", f"{name}/calibration.npz",
            "--evaluation", f"{name}/evaluation.npz",
        ])  # fmt: skip
        pack = folder / f"{model}.edgepack"
        sys.stderr.write(f"{model}: choosing\n")
        choice = choose(pack, seconds=_CHOOSE_SECONDS, provider="cpu", remember=False)
        sys.stderr.write(f"{model}: measuring\n")
        found: dict[str, list[float]] = {}
        for _ in range(_PROCESSES):
            with contextlib.ExitStack() as stack:
                for name_of_run, values in _rounds(_runs(folder, pack, choice, stack)).items():
                    found.setdefault(name_of_run, []).extend(values)
        return _result(model, choice, found)


def _runs(folder: Path, pack: Path, choice: Choice, stack: contextlib.ExitStack) -> dict[str, Callable[[], Timing]]:
    """Keras's exports and every way that was measured, each in a process that has just begun."""
    runs: dict[str, Callable[[], Timing]] = {}
    for ending in ("onnx", "tflite"):
        plain = _plain(folder / f"keras.{ending}", stack)
        if plain is not None:
            runs[ending] = plain
    for one in choice.measurements:
        if one.p50_us is not None:
            runs[str(one.way)] = _trial(pack, one.way, stack)
    return runs


def _result(model: str, choice: Choice, rounds: dict[str, list[float]]) -> Gain:
    medians = {name: statistics.median(values) for name, values in rounds.items()}
    keras = {name: value for name, value in medians.items() if name in {"onnx", "tflite"}}
    ways = {str(one.way): one.way for one in choice.measurements if one.p50_us is not None}
    chosen = str(choice.way)
    best = min(ways, key=lambda name: medians[name])
    fastest = min(keras, key=lambda name: keras[name])
    return Gain(
        model, keras, choice.way, medians[chosen],
        statistics.median(a / b for a, b in zip(rounds[fastest], rounds[chosen], strict=True)), ways[best],
        statistics.median(a / b for a, b in zip(rounds[chosen], rounds[best], strict=True)) - 1,
        {name: medians[name] for name in ways},
    )  # fmt: skip


def _rounds(runs: dict[str, Callable[[], Timing]]) -> dict[str, list[float]]:
    """The median of each round of each run, in microseconds."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(_ROUNDS):
        for name, run in runs.items():
            found[name].append(run().p50_us)
    return found


def _trial(pack: Path, way: Way, stack: contextlib.ExitStack) -> Callable[[], Timing]:
    trial = stack.enter_context(Trial())
    trial.open(pack, way)
    return lambda: Timing(trial.measure(_MOST_LAPS, _ROUND_SECONDS).ns)


def _plain(path: Path, stack: contextlib.ExitStack) -> Callable[[], Timing] | None:
    """Laps of an export of Keras's own; None where it is not there, or does not run."""
    if not path.exists():
        return None
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", _PLAIN, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def laps() -> Any:
        process.stdin.write(f"[{_MOST_LAPS}, {_ROUND_SECONDS}]\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
        return msgspec.json.decode(process.stdout.readline() or "[]", type=tuple[int, ...])  # type: ignore[union-attr]

    try:
        return (lambda: Timing(laps())) if laps() else None
    except BrokenPipeError:
        return None


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise EdgepackError(f"{' '.join(command[:4])} failed: {done.stderr[-600:]}")


def main(arguments: list[str]) -> int:
    """Measure the models named on the command line, or all."""
    return print_results(partial(measure_gains, tuple(arguments) or MODELS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
