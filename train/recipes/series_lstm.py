"""A week of temperatures forecast from the four weeks before it: an LSTM that begins where the naive forecast ends."""

from typing import Any

import numpy as np

from edgepack.runtime.steps import Step, Steps
from edgepack.runtime.tensor import Array
from edgepack.train.data import Samples
from edgepack.train.datasets.weather import AHEAD, COLUMNS, PAST, load
from edgepack.train.fitting import Plan
from edgepack.train.recipe import Recipe
from edgepack.train.tasks import VALUES

_TEMPERATURE = COLUMNS.index("temp_max")
_UNITS = 32


def _build(fitting: Samples) -> Any:
    import keras
    from keras import layers

    days = keras.Input((PAST, len(COLUMNS)), name="days")
    normalization = layers.Normalization(axis=-1, name="normalization")
    normalization.adapt(fitting.values)
    normal = normalization(days)
    x = layers.LSTM(_UNITS, name="lstm")(normal)
    x = layers.Dropout(0.4, name="dropout")(x)
    last = layers.Flatten(name="last")(layers.Cropping1D((PAST - 1, 0), name="last_day")(normal))
    x = layers.Concatenate(name="known")([x, last])
    ahead = layers.Dense(AHEAD, name="ahead")
    x = ahead(x)
    # What it begins with is the naive forecast, that all days will be as the last: training can only improve on it.
    kernel = np.zeros((_UNITS + len(COLUMNS), AHEAD), np.float32)
    kernel[_UNITS + _TEMPERATURE] = 1
    ahead.set_weights([kernel, np.zeros(AHEAD, np.float32)])
    mean, variance = (float(np.ravel(one)[_TEMPERATURE]) for one in (normalization.mean, normalization.variance))
    return keras.Model(days, layers.Rescaling(variance**0.5, mean, name="temp_max")(x), name="series_lstm")


def _against_naive(model: Any, _: Samples, test: Samples) -> dict[str, float]:
    """Mean absolute errors in degrees, of the model and of the forecast that all days will be as the last one."""
    forecast = np.asarray(model.predict(test.values, batch_size=256, verbose=0))
    naive = test.values[:, -1:, _TEMPERATURE]

    def off(forecasts: Array) -> Array:
        return np.asarray(np.abs(forecasts - test.labels).mean(axis=0))

    ours, theirs = off(forecast), off(naive)
    return {
        "error_degc": float(ours.mean()),
        "naive_error_degc": float(theirs.mean()),
        "error_degc_tomorrow": float(ours[0]),
        "naive_error_degc_tomorrow": float(theirs[0]),
    }


RECIPE = Recipe(
    name="series-lstm",
    summary="an LSTM that forecasts a week of temperatures from four weeks of weather, on four years of Seattle",
    load=load,
    build=_build,
    input="days",
    output="temp_max",
    # A series of another length is refused by the model: cut or filled up it would be the weather of other days.
    steps=Steps(
        inputs={"days": (Step("series", {"channels": len(COLUMNS)}),)},
        outputs={
            "temp_max": (
                Step(
                    "number",
                    {"unit": "degC", "decimals": 1, "names": [f"day {day}" for day in range(1, AHEAD + 1)]},
                ),
            )
        },
    ),
    labels={},
    notes=(
        f"It takes the last {PAST} days, the oldest first: highest and lowest temperature in degC, precipitation in mm "
        "and wind in m/s. It is not told the day of the year.",
        "It learned from the weather of Seattle, 2012 to 2014, and was tested on 2015; other climates are beyond it.",
        "A naive forecast, that each day will be as the last one known, stands beside its errors in the figures.",
        "Values come in raw units. Convert with --lift, as train --pack does: the Normalization layer becomes a step, "
        "since in one range of 8 bits a storm of 50 mm would leave little for the wind.",
    ),
    meanings={
        "days": f"the last {PAST} days, the oldest first: {', '.join(COLUMNS)}",
        "temp_max": f"the highest temperature of each of the next {AHEAD} days, in degC",
    },
    task=VALUES,
    plan=Plan(epochs=15, batch_size=32, learning_rate=3e-3, weight_decay=0.05),
    figures=_against_naive,
    precisions=("float32", "dynamic_int8"),
    lift=True,
    ordered=True,
)
