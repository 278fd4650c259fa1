"""Japanese vowels: 640 recordings of nine men who say "ae", as frames of speech features, which sktime ships."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgepack.runtime.errors import DataError, InputError, MissingExtraError
from edgepack.runtime.tensor import Array
from edgepack.train.data import Data, Samples

__all__ = ["CHANNELS", "LONGEST", "SPEAKERS", "load_vowels", "read_recordings"]

SPEAKERS = tuple(f"speaker {number}" for number in range(1, 10))
CHANNELS = 12  # LPC cepstrum coefficients of a frame
LONGEST = 29  # frames; the shortest recording has 7

_SHA256 = "c755c99a2ac227123c34966a41b7940e802cdd6c360f7915e7c37cb8a781e821"  # of both files, that to train on first
_FILES = ("JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts")


def load_vowels(path: Path | None = None) -> Data:
    """The recordings in the two parts that UCI published: 270 to train on, 30 a speaker, and 370 to test with.

    Returns:
        Frames `(samples, 29, 12)`, float32, each recording followed by frames of zeros, and labels 0 to 8. No frame of
        a recording is all zero.

    Raises:
        MissingExtraError: sktime is not installed.
        DataError: The installed sktime ships other recordings.
        InputError: A file of the user is given: its speakers would not be these nine.
    """
    if path is not None:
        raise InputError(
            f"{path} cannot be taken: this recipe is made for the nine speakers of its own data; leave it out"
        )
    spec = find_spec("sktime")  # its files alone are read: to import it takes seconds
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise MissingExtraError("sktime, which carries the Japanese vowels,", "train")
    folder = Path(places[0], "datasets", "data", "JapaneseVowels")
    try:
        train, test = ((folder / name).read_bytes() for name in _FILES)
    except OSError as error:
        raise DataError(
            f"the installed sktime has no Japanese vowels in {folder} ({error.strerror}); install the release that "
            "was tested: pip install sktime==1.2.0"
        ) from error
    return read_recordings(train, test)


def read_recordings(train: bytes, test: bytes) -> Data:
    """The recordings in the text of the two files, checked against their digest.

    Raises:
        DataError: These are not the recordings that edgepack knows.
    """
    sha256 = hashlib.sha256(train + test).hexdigest()
    if sha256 != _SHA256:
        raise DataError(
            f"the Japanese vowels of the installed sktime have the digest {sha256[:12]}…, not {_SHA256[:12]}…; "
            "install the release that was tested: pip install sktime==1.2.0"
        )
    return Data("uci-japanese-vowels", sha256, _read(train), _read(test))


def _read(text: bytes) -> Samples:
    """Recordings in sktime's format: after `@data` one a line, its channels and then its label between colons."""
    lines = text.decode("utf-8").split("@data\n", 1)[1].split()
    values, labels = np.zeros((len(lines), LONGEST, CHANNELS), np.float32), np.zeros(len(lines), np.int64)
    for index, line in enumerate(lines):
        *channels, label = line.split(":")
        frames = _frames(channels)
        values[index, : len(frames)] = frames
        labels[index] = int(label) - 1
    return Samples(values, labels)


def _frames(channels: list[str]) -> Array:
    """The frames of one recording, `(frames, 12)`."""
    return np.array([[float(value) for value in channel.split(",")] for channel in channels], np.float32).T
