"""Small Keras models, made once: large enough for every precision to mean something, converted in a second."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgepack.convert import Report, convert_model
from edgepack.quiet import import_keras

if TYPE_CHECKING:
    from tests.convert.spread_models import Hard

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

_KERAS = "tests train and convert models"


@dataclass(frozen=True)
class Toy:
    """A trained toy: which quadrant of an 8×8 image is bright."""

    model: Any
    path: Path
    calibration: dict[str, np.ndarray]
    evaluation: dict[str, np.ndarray]


def quadrants(count: int, seed: int) -> dict[str, np.ndarray]:
    """Images with one bright quadrant, and which one it is."""
    rng = np.random.default_rng(seed)
    images = rng.random((count, 8, 8, 1)).astype(np.float32) * 0.5
    labels = rng.integers(0, 4, count)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.4
    return {"image": images, "quadrant": labels}


@pytest.fixture(scope="session")
def keras() -> Any:
    return import_keras(_KERAS, "convert")


@pytest.fixture(scope="session")
def toy(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(4, activation="softmax", name="quadrant"),
        ]
    )
    data = quadrants(512, seed=1)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data["image"], data["quadrant"], epochs=8, verbose=0)
    path = tmp_path_factory.mktemp("toy") / "toy.keras"
    model.save(path)
    return Toy(model, path, {"image": data["image"][:128]}, quadrants(200, seed=2))


@pytest.fixture
def files(toy: Toy, tmp_path: Path) -> Path:
    """A folder with the toy and its samples, as a user of the command has them."""
    np.savez(tmp_path / "calibration.npz", **toy.calibration)
    np.savez(tmp_path / "evaluation.npz", **toy.evaluation)
    (tmp_path / "toy.keras").write_bytes(toy.path.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def hard(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Hard"]:
    """A small net that is hard to quantize, with what writes its files."""
    from tests.convert.spread_models import opened, spread_net  # it imports from here

    with opened(spread_net(keras), tmp_path_factory.mktemp("spread")) as found:
        yield found


@dataclass(frozen=True)
class Converted:
    """The toy in all eight variants, and the report."""

    report: Report
    path: Path


@pytest.fixture(scope="session")
def converted(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    path = tmp_path_factory.mktemp("converted") / "toy.edgepack"
    report = convert_model(
        toy.path,
        path,
        precisions=("float32", "float16", "dynamic_int8", "int8"),
        calibration=toy.calibration,
        evaluation=toy.evaluation,
    )
    return Converted(report, path)
