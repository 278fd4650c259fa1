"""A small net that is hard to quantize, and the writers of its files: for tests of sensitivity and of the budget."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.convert import process
from edgepack.convert.calibrate import Stream
from edgepack.convert.cards import about_file
from edgepack.convert.plan import make_plan
from edgepack.convert.prove import Question
from edgepack.convert.samples import read_samples
from edgepack.convert.source import open_source
from edgepack.convert.writers import WRITERS, Tools, Writer
from tests.convert.conftest import quadrants

TARGETS = ("tflite", "onnx")
SPREAD = 3_000.0


@dataclass(frozen=True)
class Hard:
    """A net whose second convolution has channels of very unlike scales, what writes its files, and samples."""

    model: Any
    writers: dict[str, Writer]
    calibration: dict[str, np.ndarray]
    evaluation: dict[str, np.ndarray]

    def question(self, target: str, max_drop: float | None, *, labels: bool = True) -> Question:
        """What its files are judged on."""
        source = open_source(self.model)
        given = self.evaluation if labels else {"image": self.evaluation["image"]}
        samples = read_samples(given, source, "evaluation")
        outputs = source.predict(samples.inputs, samples.rows_at_once)
        return Question(samples, outputs, (0, 1), max_drop, give_back=True)


def spread_net(keras: Any) -> Any:
    """A trained net, its channels in `wide` multiplied by numbers far apart, and divided by them in `narrow`."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(16, 3, activation="relu", name="stem"),
            layers.Conv2D(32, 3, activation="relu", name="wide"),
            layers.Conv2D(16, 1, activation="relu", name="narrow"),
            layers.Flatten(name="flat"),
            layers.Dense(64, activation="relu", name="dense"),
            layers.Dense(4, activation="softmax", name="quadrant"),
        ],
        name="spread",
    )
    data = quadrants(512, seed=1)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data["image"], data["quadrant"], epochs=8, verbose=0)
    factors = np.geomspace(1, SPREAD, 32, dtype=np.float32)
    np.random.default_rng(0).shuffle(factors)
    kernel, bias = model.get_layer("wide").get_weights()
    model.get_layer("wide").set_weights([kernel * factors, bias * factors])
    kernel, bias = model.get_layer("narrow").get_weights()
    model.get_layer("narrow").set_weights([kernel / factors[:, np.newaxis], bias])
    return model


def spread_block(keras: Any) -> Any:
    """A trained net with a residual block, a layer with an addition of its own around two whose channels are spread."""
    keras.utils.set_random_seed(0)
    layers = keras.layers

    class Block(layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.wide = layers.Dense(128, activation="relu", name="wide")
            self.narrow = layers.Dense(64, name="narrow")

        def call(self, values: Any) -> Any:
            return self.narrow(self.wide(values)) + values / 16  # so that this hides nothing of what they lose

    block = Block(name="block")
    image = keras.Input((8, 8, 1), name="image")
    x = block(layers.Dense(64, activation="relu", name="first")(layers.Flatten(name="flat")(image)))
    model = keras.Model(image, layers.Dense(4, activation="softmax", name="quadrant")(x), name="spread")
    data = quadrants(512, seed=1)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data["image"], data["quadrant"], epochs=8, verbose=0)
    factors = np.geomspace(1, SPREAD, 128, dtype=np.float32)
    np.random.default_rng(0).shuffle(factors)
    kernel, bias = block.wide.get_weights()
    block.wide.set_weights([kernel * factors, bias * factors])
    kernel, bias = block.narrow.get_weights()
    block.narrow.set_weights([kernel / factors[:, np.newaxis], bias])
    return model


@contextmanager
def opened(model: Any, folder: Path) -> Iterator[Hard]:
    """The net with writers for both formats, which stand while the block runs."""
    calibration, evaluation = {"image": quadrants(512, seed=1)["image"][:64]}, quadrants(400, seed=2)
    source = open_source(model)
    stream = Stream.of(read_samples(calibration, source, "calibration"))
    plan = make_plan(folder / "x.edgepack", TARGETS, ("int8",), "auto", force=False)
    with ExitStack() as stack:
        converter = stack.enter_context(process.converter())
        tools = Tools(converter, about_file("spread", None), [])
        writers = {target: WRITERS[target](plan, source, stream, tools) for target in TARGETS}
        yield Hard(model, writers, calibration, evaluation)
