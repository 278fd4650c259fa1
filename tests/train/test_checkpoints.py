"""Going on with a training that was interrupted: the same weights, bit for bit, or a reason why not."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import DataError, InputError, MissingFileError, OutputError
from edgepack.train import Recipe, train
from edgepack.train.augment import distort
from edgepack.train.data import Samples
from tests.train.test_recipe import interrupting, weights

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

# A training in a process of its own, which says when an epoch is over, and is killed then.
_KILLED = """
import sys
from pathlib import Path
from edgepack.train import find, train
def told(done, text):
    print(done, flush=True)
train(find("digits"), Path(sys.argv[1]), seed=3, epochs=3, data=Path(sys.argv[2]), resume=sys.argv[3:] == ["resume"],
      progress=told)
"""


def _build_with_dropout(_: Samples) -> Any:
    import keras
    from keras import layers

    image = keras.Input((28, 28, 1), name="image")
    x = layers.Dropout(0.5)(layers.Dense(16, activation="relu")(layers.Flatten()(image)))
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x))


@pytest.fixture
def random_recipe(recipe: Recipe) -> Recipe:
    """Everything that is random at once: weights, dropout, order, distortion."""
    plan = replace(recipe.plan, epochs=4, augment=lambda x, rng: distort(x, rng, degrees=9, shear=0, shift=1, zoom=0))
    return replace(recipe, build=_build_with_dropout, plan=plan)


def test_an_interrupted_training_goes_on_to_the_same_weights_and_history(random_recipe: Recipe, tmp_path: Path) -> None:
    whole = train(random_recipe, tmp_path / "whole.keras", seed=5)
    output = tmp_path / "parts.keras"
    stopping = interrupting(random_recipe, epoch=3)
    augment, stop = random_recipe.plan.augment, stopping.plan.augment
    assert augment is not None
    assert stop is not None
    both = replace(random_recipe.plan, augment=lambda x, rng: augment(stop(x, rng), rng))
    first = train(replace(random_recipe, plan=both), output, seed=5)
    assert first.interrupted
    assert first.files.checkpoint.exists()
    second = train(random_recipe, output, seed=5, resume=True, force=True)
    assert weights(second.model) == weights(whole.model)
    assert second.history == whole.history
    assert not second.files.checkpoint.exists()


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, mnist_file: Path) -> None:
    def run(name: str, *more: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", _KILLED, str(tmp_path / name), str(mnist_file), *more]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    with run("killed.keras") as victim:
        assert victim.stdout is not None
        for line in victim.stdout:
            if line.strip() == "1":
                time.sleep(0.05)
                os.kill(victim.pid, signal.SIGKILL)
                break
    assert not (tmp_path / "killed.keras").exists()
    for name, more in (("killed.keras", ("resume",)), ("whole.keras", ())):
        with run(name, *more) as process:
            process.communicate(timeout=120)
            assert process.returncode == 0
    found = [_weights_in(tmp_path / name) for name in ("killed.keras", "whole.keras")]
    assert found[0] == found[1]


def _weights_in(path: Path) -> str:
    import keras

    arrays = keras.models.load_model(path).get_weights()
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def test_nothing_to_resume_is_told(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"digits\.checkpoint\.npz"):
        train(recipe, tmp_path / "digits.keras", resume=True)


def test_a_training_left_in_the_middle_is_not_written_over_unasked(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "digits.checkpoint.npz").write_bytes(b"")
    with pytest.raises(OutputError, match="go on with it with --resume"):
        train(recipe, tmp_path / "digits.keras", epochs=1)
    train(recipe, tmp_path / "digits.keras", epochs=1, force=True)


def test_another_training_is_not_resumed(recipe: Recipe, tmp_path: Path) -> None:
    train(interrupting(recipe, epoch=2), tmp_path / "digits.keras", seed=1, epochs=3)
    with pytest.raises(InputError, match=r"seed was 1 and is 2 now"):
        train(recipe, tmp_path / "digits.keras", seed=2, epochs=3, resume=True, force=True)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"nonsense"], ids=["empty", "cut", "other"])
def test_a_damaged_checkpoint_is_refused(recipe: Recipe, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "digits.checkpoint.npz").write_bytes(data)
    with pytest.raises(DataError, match=r"digits\.checkpoint\.npz"):
        train(recipe, tmp_path / "digits.keras", epochs=1, resume=True)


def test_arrays_that_are_no_checkpoint_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    np.savez(tmp_path / "digits.checkpoint.npz", state0=np.zeros(3))
    with pytest.raises(DataError, match="is no checkpoint of a training"):
        train(recipe, tmp_path / "digits.keras", epochs=1, resume=True)
