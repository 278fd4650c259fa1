"""Linear regression: how far a patient's diabetes will have come in a year, from ten measurements."""

from typing import Any

from edgepack.runtime.steps import Step, Steps
from edgepack.train.data import Samples
from edgepack.train.datasets.diabetes import TABLE, load
from edgepack.train.fitting import Plan
from edgepack.train.recipe import Recipe
from edgepack.train.tasks import VALUES


def _build(fitting: Samples) -> Any:
    import keras
    from keras import layers

    patient = keras.Input((len(TABLE.columns),), name="patient")
    normalization = layers.Normalization(name="normalization")
    normalization.adapt(fitting.values)
    # From the mean on: the weights are a few tens at most, and nothing has to climb to 150 first.
    mean = keras.initializers.Constant(float(fitting.labels.mean()))
    told = layers.Dense(1, kernel_initializer="zeros", bias_initializer=mean, name=TABLE.target)
    return keras.Model(patient, told(normalization(patient)), name="linear")


RECIPE = Recipe(
    name="linear",
    summary="linear regression: how a disease goes on, from ten measurements of 442 patients with diabetes",
    load=load,
    build=_build,
    input="patient",
    output=TABLE.target,
    steps=Steps(
        inputs={"patient": (Step("row", {"columns": list(TABLE.columns)}),)},
        outputs={TABLE.target: (Step("number", {"unit": "points", "decimals": 1}),)},
    ),
    labels={},
    notes=(
        "It tells a score of how far the disease has come one year after the measurements, from 25 to 346 in the data; "
        "half of what makes patients differ is not in these measurements.",
        "It learned from some 300 patients of one study, published in 2004. It is an example, no medical device.",
        "Measurements come in raw units. Convert with --lift, as train --pack does: the Normalization layer becomes a "
        "step, since no one range of 8 bits holds both a sex of 1 or 2 and a cholesterol of 300.",
    ),
    meanings={
        "patient": "age in years, sex (1 or 2), body mass index, mean blood pressure, and six values of blood serum: "
        "total cholesterol, LDL, HDL, total cholesterol / HDL, log of triglycerides, glucose",
        TABLE.target: "how far the disease will have come in one year, as a score",
    },
    task=VALUES,
    plan=Plan(epochs=50, batch_size=64, learning_rate=0.3),
    lift=True,
)
