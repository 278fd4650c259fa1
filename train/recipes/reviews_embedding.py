"""Good or bad: the mean of learned vectors of all characters, pairs and triples of a Chinese review."""

from pathlib import Path
from typing import Any

from edgepack.runtime.steps import Step, Steps
from edgepack.train.data import Data, Samples
from edgepack.train.datasets.reviews import LABELS, load_reviews
from edgepack.train.fitting import Plan
from edgepack.train.recipe import Recipe
from edgepack.train.sentences import mean, present, vectorizer
from edgepack.train.tasks import YES_NO

_LENGTH = 600  # all runs of up to three of a review of 200 characters; of longer ones, the last triples and pairs go


def _load(path: Path | None) -> Data:
    return load_reviews(path)


def _build(samples: Samples, length: int = _LENGTH) -> Any:
    import keras
    from keras import layers

    text = keras.Input((), dtype="string", name="text")
    reader = vectorizer(samples.values, length, ngrams=3, most=40_000, name="tokens")
    tokens = reader(text)
    x = layers.Embedding(reader.vocabulary_size(), 32, name="vectors")(tokens)
    # Half of the runs are left out while fitting, or the rarest are learned by heart.
    x = layers.Dropout(0.5, noise_shape=(None, length, 1), name="vectors_dropout")(x)
    x = mean(x, present(tokens))
    return keras.Model(text, layers.Dense(1, activation="sigmoid", name="positive")(x), name="reviews_embedding")


RECIPE = Recipe(
    name="reviews-embedding",
    summary="averaged vectors of characters and words that tell good Chinese reviews from bad ones",
    load=_load,
    build=_build,
    input="text",
    output="positive",
    front="tokens",
    steps=Steps(outputs={"positive": (Step("decide", {"labels": list(LABELS)}),)}),
    labels={"positive": LABELS},
    meanings={"text": "a review in Chinese", "positive": "how likely the review is a good one, 0 to 1"},
    notes=(
        "It tells whether a Chinese review of a book, a hotel or a computer is a good one; one in seven it gets wrong.",
        f"It looks at the first {_LENGTH} runs of one to three characters, whatever their order. Irony, other subjects "
        "and other languages are beyond it.",
        "The vectors lie close where words speak for the same answer: python -m edgepack.train.neighbours MODEL WORD",
    ),
    task=YES_NO,
    plan=Plan(epochs=6, batch_size=64, learning_rate=5e-3),
    precisions=("float32", "dynamic_int8"),
)
