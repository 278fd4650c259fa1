"""Models that precisions are measured on: the digits recipe, and nets for pictures with random weights.

Random weights alone give outputs that are all alike, of which nobody could say whether eight bits harm them. So
batch normalization gets the statistics of pictures, the branches of residual blocks are small beside what they are
added to, as in trained nets, and the last layer is made to tell a thousand pictures apart.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgepack.quiet import import_keras
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.tensor import Array

_SIDE, _CLASSES, _PATCHES = 224, 1000, 7
_SAMPLES, _AT_ONCE = 100, 50
_BRANCH = 0.1  # of what it is added to
_SPREAD = 3.0  # the standard deviation of the outputs
# the stages of EfficientNet-Lite0: expansion, channels, blocks, stride of the first, kernel
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)

Rows = Mapping[str, Array]


class Subject(msgspec.Struct, frozen=True):
    """A model with its samples."""

    model: Path
    calibration: Path
    evaluation: Path
    row: Rows


def _digits(folder: Path) -> Subject:
    """The digits recipe, trained."""
    path = folder / "digits.keras"
    command = [sys.executable, "-m", "edgepack", "train", "digits", "-o", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConvertError(f"the digits recipe did not train: {done.stderr.strip()}")
    evaluation = folder / "digits.evaluation.npz"
    with np.load(evaluation) as arrays:
        row = {"image": arrays["image"][:1]}
    return Subject(path, folder / "digits.calibration.npz", evaluation, row)


def _pictures(build: Callable[[Any], Any], folder: Path) -> Subject:
    """A net for pictures with random weights of such a size that its outputs spread."""
    keras = import_keras("builds the nets", "convert")
    keras.utils.set_random_seed(0)
    model = build(keras)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(_random(rng, weight.path, weight.shape))
    patterns = rng.random((_CLASSES, _PATCHES, _PATCHES, 3), dtype=np.float32)
    _normalize(keras, model, _seen(patterns[:_AT_ONCE], rng))
    _tell_apart(keras, model, patterns, rng)
    name = model.layers[0].name
    path, calibration, evaluation = (folder / name for name in ("net.keras", "calibration.npz", "evaluation.npz"))
    model.save(path)
    images = _seen(patterns[rng.choice(_CLASSES, 2 * _SAMPLES, replace=False)], rng)
    for place, part in ((calibration, images[:_SAMPLES]), (evaluation, images[_SAMPLES:])):
        arrays: dict[str, Any] = {name: part}
        np.savez(place, **arrays)
    return Subject(path, calibration, evaluation, {name: images[:1].copy()})


def _random(rng: np.random.Generator, path: str, shape: Sequence[int]) -> Array:
    if len(shape) > 1:
        sums = int(np.prod(shape[:2] if "depthwise" in path.lower() else shape[:-1]))
        return rng.normal(0, np.sqrt(2 / sums), shape).astype(np.float32)
    scales = any(word in path for word in ("variance", "gamma"))
    return (rng.uniform(0.5, 1.5, shape) if scales else rng.normal(0, 0.1, shape)).astype(np.float32)


def _seen(patterns: Array, rng: np.random.Generator) -> Array:
    """Patterns as a camera sees them, from -1 to 1, with a little noise."""
    images = np.kron(patterns, np.ones((1, _SIDE // _PATCHES, _SIDE // _PATCHES, 1), np.float32))
    return (np.clip(images + rng.normal(0, 0.02, images.shape), 0, 1) * 2 - 1).astype(np.float32)


def _normalize(keras: Any, model: Any, images: Array) -> None:
    """Give batch normalization the statistics of pictures, with small branches."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
        if isinstance(layer, keras.layers.Add):
            branch = layer.input[1]._keras_history.operation
            branch.gamma.assign(branch.gamma * _BRANCH)
    model(images, training=True)


def _tell_apart(keras: Any, model: Any, patterns: Array, rng: np.random.Generator) -> None:
    """Make the last layer say which of the patterns is nearest, in features of mean 0 and deviation 1."""
    below = keras.Model(model.inputs, model.layers[-2].output)
    features = np.concatenate([np.asarray(below.predict_on_batch(images)) for images in _in_batches(patterns, rng)])
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-3
    nearest = (features - mean) / deviation
    kernel = (nearest / deviation).T
    bias = -(nearest * mean / deviation).sum(axis=1) - 0.5 * np.square(nearest).sum(axis=1)
    scale = _SPREAD / (features @ kernel + bias).std()
    model.layers[-1].set_weights([kernel * scale, bias * scale])


def _in_batches(patterns: Array, rng: np.random.Generator) -> Iterator[Array]:
    for start in range(0, len(patterns), _AT_ONCE):
        yield _seen(patterns[start : start + _AT_ONCE], rng)


def _mobilenet(keras: Any) -> Any:
    return keras.applications.MobileNetV2(weights=None, classifier_activation=None)


def _efficientnet_lite(keras: Any) -> Any:
    """Inverted residuals with ReLU6 and without squeeze-and-excite, in the widths of EfficientNet-Lite0."""
    one = keras.layers

    def unit(x: Any, layer: Any, *, active: bool = True) -> Any:
        x = one.BatchNormalization()(layer(x))
        return one.ReLU(6)(x) if active else x

    image = keras.Input((_SIDE, _SIDE, 3), name="image")
    x = unit(image, one.Conv2D(32, 3, strides=2, padding="same", use_bias=False))
    for expansion, channels, blocks, stride, kernel in _STAGES:
        for block in range(blocks):
            before, step = x, 1 if block else stride
            if expansion > 1:
                x = unit(x, one.Conv2D(x.shape[-1] * expansion, 1, use_bias=False))
            x = unit(x, one.DepthwiseConv2D(kernel, strides=step, padding="same", use_bias=False))
            x = unit(x, one.Conv2D(channels, 1, use_bias=False), active=False)
            x = one.Add()([before, x]) if block else x
    x = unit(x, one.Conv2D(1280, 1, use_bias=False))
    return keras.Model(image, one.Dense(_CLASSES)(one.GlobalAveragePooling2D()(x)))


MODELS: dict[str, Callable[[Path], Subject]] = {
    "digits": _digits,
    "mobilenetv2": partial(_pictures, _mobilenet),
    "efficientnet-lite": partial(_pictures, _efficientnet_lite),
}
