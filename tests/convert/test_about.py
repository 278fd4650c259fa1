"""Files carry their names, labels and meanings, are otherwise as before, and come out the same every time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.__main__ import main
from edgepack.convert import convert_model
from edgepack.convert.cards import about_file
from edgepack.runtime.manifest import Card, Step, Steps

LABELS = ("upper left", "upper right", "lower left", "lower right")
CARD = Card(
    format_version=1,
    name="quadrants",
    meanings={"image": "grey, 0 to 1", "quadrant": "the bright one"},
    steps=Steps(outputs={"quadrant": (Step("classify", {"top": 2, "labels": list(LABELS)}),)}),
)


@pytest.fixture(scope="module")
def tiny() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((4, 4, 1), name="image"), layers.Flatten(), layers.Dense(4, "softmax", name="quadrant")]
    )


@pytest.fixture(scope="module", params=["tflite", "onnx"])
def file(request: pytest.FixtureRequest, tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("about") / f"tiny.{request.param}"
    convert_model(tiny, path, card=CARD)
    return path


def test_a_bare_file_tells_its_name_labels_and_meanings(file: Path) -> None:
    with edgepack.load(file) as session:
        about = session.about
    assert (about.edgepack, about.name) == (edgepack.__version__, "quadrants")
    assert about.labels == {"quadrant": LABELS}
    assert about.meanings == CARD.meanings


def test_inspect_shows_them(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(file)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "quadrants, written by edgepack" in shown
    assert "labels of quadrant: upper left, upper right" in shown
    assert "grey, 0 to 1" in shown


def test_the_same_model_gives_the_same_bytes(file: Path, tiny: Any, tmp_path: Path) -> None:
    again = tmp_path / file.name
    convert_model(tiny, again, card=CARD)
    assert again.read_bytes() == file.read_bytes()


def test_labels_of_the_card_stand_over_those_of_its_steps() -> None:
    card = Card(1, "m", steps=CARD.steps, labels={"quadrant": ("a", "b", "c", "d"), "other": ("x",)})
    assert about_file("m", card).labels == {"quadrant": ("a", "b", "c", "d"), "other": ("x",)}
    assert about_file("m", None).labels == {}


def test_the_tflite_interpreter_takes_the_file_and_its_weights_lie_on_sixteen_bytes(tiny: Any, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    path = tmp_path / "m.tflite"
    convert_model(tiny, path, card=CARD)
    data = path.read_bytes()
    weights = tiny.layers[-1].kernel.numpy().T.copy().tobytes()
    assert data.find(weights) % 16 == 0
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    image = np.random.default_rng(0).random((1, 4, 4, 1), np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, tiny.predict(image, verbose=0), atol=1e-6)  # float32, one layer
