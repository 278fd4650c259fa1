"""Logistic regression: whether a tumour of the breast is malignant, from measurements of its cells."""

from typing import Any

from edgepack.runtime.steps import Step, Steps
from edgepack.train.data import Samples
from edgepack.train.datasets.breast_cancer import TABLE, load
from edgepack.train.fitting import Plan
from edgepack.train.recipe import Recipe
from edgepack.train.tasks import YES_NO

_LABELS = ("benign", "malignant")


def _build(fitting: Samples) -> Any:
    import keras
    from keras import layers

    tumour = keras.Input((len(TABLE.columns),), name="tumour")
    normalization = layers.Normalization(name="normalization")
    normalization.adapt(fitting.values)
    # Most measurements say nearly the same (radius, perimeter, area): without a penalty the weights grow against each
    # other until they fit single tumours.
    penalty = keras.regularizers.L2(5e-3)
    score = layers.Dense(1, activation="sigmoid", kernel_regularizer=penalty, name=TABLE.target)
    return keras.Model(tumour, score(normalization(tumour)), name="logistic")


RECIPE = Recipe(
    name="logistic",
    summary="logistic regression: whether a tumour is malignant, from 30 measurements of the cells of 569",
    load=load,
    build=_build,
    input="tumour",
    output=TABLE.target,
    steps=Steps(
        inputs={"tumour": (Step("row", {"columns": list(TABLE.columns)}),)},
        outputs={TABLE.target: (Step("decide", {"labels": list(_LABELS), "threshold": 0.5}),)},
    ),
    labels={TABLE.target: _LABELS},
    notes=(
        "It learned from some 380 tumours of one hospital, measured before 1995. It is an example, no medical device.",
        "A malignant tumour that is missed and a benign one that is feared count alike; where they should not, give "
        "the step 'decide' another threshold.",
        "Measurements come in raw units. Convert with --lift, as train --pack does: the Normalization layer becomes a "
        "step, since no one range of 8 bits holds both an area of 2,500 and a smoothness of 0.1.",
    ),
    meanings={
        "tumour": "ten measurements of the cells' nuclei on a picture, each as mean, standard error and the mean of "
        "the three largest",
        TABLE.target: "how likely the tumour is malignant, 0 to 1",
    },
    task=YES_NO,
    plan=Plan(epochs=30, batch_size=32, learning_rate=0.02),
    lift=True,
)
