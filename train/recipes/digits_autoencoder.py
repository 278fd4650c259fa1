"""Handwritten digits through a narrow place: a picture rebuilt from few numbers, and how far off it is."""

from functools import partial
from typing import Any

import numpy as np

from edgepack.runtime.steps import Step, Steps
from edgepack.runtime.tensor import Array
from edgepack.train.corrupt import KINDS, noise
from edgepack.train.data import Samples
from edgepack.train.fitting import Plan
from edgepack.train.recipe import Recipe
from edgepack.train.recipes import digits
from edgepack.train.tasks import REBUILD

_CODE = 32  # numbers that a digit of 784 pixels goes through
_SPOIL_SEED = 784  # fixed, so that every training is asked about the same spoiled digits


def _build(_: Samples) -> Any:
    import keras
    from keras import layers

    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="encode1")(image)
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", name="encode2")(x)
    x = layers.Flatten(name="flatten")(x)
    code = layers.Dense(_CODE, name="code")(x)
    x = layers.Dense(7 * 7 * 32, activation="relu", name="unfold")(code)
    x = layers.Reshape((7, 7, 32), name="grid")(x)
    x = layers.UpSampling2D(2, name="enlarge1")(x)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="decode1")(x)
    x = layers.UpSampling2D(2, name="enlarge2")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="decode2")(x)
    picture = layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="picture")(x)
    return keras.Model(image, [picture, _error(image, picture)], name="digits_autoencoder")


def _error(image: Any, picture: Any) -> Any:
    """The mean squared error of each picture, `(batch, 1)`."""
    from keras import layers

    difference = layers.Subtract(name="difference")([image, picture])
    squared = layers.Multiply(name="squared")([difference, difference])
    return layers.GlobalAveragePooling2D(name="score")(squared)


def _spoiled_auc(model: Any, _: Samples, test: Samples) -> dict[str, float]:
    """How well the score tells clean test digits from spoiled ones: for each way of spoiling, and for all together."""
    from sklearn.metrics import roc_auc_score

    def scores(images: Array) -> Array:
        return np.asarray(model.predict(images, batch_size=256, verbose=0)[1]).reshape(-1)

    rng = np.random.default_rng(_SPOIL_SEED)
    clean = scores(test.values)
    spoiled = {kind: scores(spoil(test.values, rng)) for kind, spoil in KINDS.items()}

    def auc(others: Array) -> float:
        return float(roc_auc_score(np.repeat([0, 1], [len(clean), len(others)]), np.concatenate([clean, others])))

    return {
        "roc_auc": auc(np.concatenate(list(spoiled.values()))),
        **{f"roc_auc_{kind}": auc(one) for kind, one in spoiled.items()},
        "score_clean": float(clean.mean()),
    }


# The copies it is fitted to are noisy, their targets clean: it learns to draw digits, not to copy pixels. Blots,
# scratches and other shapes it meets in the test alone.
RECIPE = Recipe(
    name="digits-autoencoder",
    summary="compresses a digit to 32 numbers, rebuilds it, and says how far the picture is from any digit it knows",
    load=digits.RECIPE.load,
    build=_build,
    input="image",
    output="picture",
    steps=Steps(
        inputs=digits.RECIPE.steps.inputs,
        outputs={
            "picture": (Step("picture", {"height": 28, "width": 28, "mode": "grayscale"}),),
            "score": (Step("number", {"decimals": 4}),),
        },
    ),
    labels={},
    notes=(
        "The score is the mean squared error between the picture that came in and the one rebuilt: small for a clean "
        "digit, larger for noise, blots, scratches and shapes that are no digit. Choose the limit on pictures of your "
        "own.",
        f"The layer 'code' holds the compressed digit, {_CODE} numbers; what the picture loses is lost for good.",
        "It learned from 4,000 digits of American writers, with noise over them and clean ones as targets.",
    ),
    meanings={
        "image": digits.RECIPE.meanings["image"],
        "picture": "the digit rebuilt from 32 numbers; 0 is black and 1 is white",
        "score": "mean squared error between image and picture: the larger, the less it is like a clean digit",
    },
    task=REBUILD,
    plan=Plan(epochs=25, batch_size=64, learning_rate=3e-3, augment=partial(noise, deviation=0.2)),
    figures=_spoiled_auc,
)
