"""Handwritten digits on small devices: depthwise-separable convolutions, squeeze-and-excite and hard-swish."""

from functools import partial
from typing import Any

from edgepack.train.augment import distort
from edgepack.train.data import Samples
from edgepack.train.fitting import Plan
from edgepack.train.recipe import Recipe
from edgepack.train.recipes import digits
from edgepack.train.tasks import CLASSES

# name -> channels after widening, channels given on, stride, squeeze-and-excite: blocks as in MobileNetV3 (Howard and
# others, 2019), fewer and narrower; the picture is 14 x 14 where they begin, and 7 x 7 where they end
_BLOCKS = {
    "block1": (32, 16, 1, True),
    "block2": (48, 24, 2, False),
    "block3": (72, 24, 1, True),
    "block4": (96, 40, 1, True),
}
_MOMENTUM = 0.9  # of the running means: there are some 60 steps in an epoch


def _build(_: Samples) -> Any:
    import keras
    from keras import layers

    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    x = _active(x, "stem")
    for name, (wide, narrow, stride, excited) in _BLOCKS.items():
        x = _block(x, name, wide, narrow, stride, excited=excited)
    x = layers.Conv2D(128, 1, use_bias=False, name="head")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(_active(x, "head"))
    x = layers.Dropout(0.2, name="dropout")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x), name="digits_mobile")


def _block(x: Any, name: str, wide: int, narrow: int, stride: int, *, excited: bool) -> Any:
    """Widen, filter each channel by itself, weigh the channels, narrow; added to what came in where that fits."""
    from keras import layers

    given = x
    x = layers.Conv2D(wide, 1, use_bias=False, name=f"{name}_widen")(x)
    x = _active(x, f"{name}_widen")
    x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"{name}_filter")(x)
    x = _active(x, f"{name}_filter")
    if excited:
        x = _excite(x, name)
    x = layers.Conv2D(narrow, 1, use_bias=False, name=f"{name}_narrow")(x)
    x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_narrow_norm")(x)
    return layers.Add(name=f"{name}_add")([given, x]) if given.shape == x.shape else x


def _excite(x: Any, name: str) -> Any:
    """Weigh each channel by what all of them hold on average (Hu and others, 2018)."""
    from keras import layers

    channels = x.shape[-1]
    weight = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    weight = layers.Conv2D(channels // 4, 1, activation="relu", name=f"{name}_squeeze_down")(weight)
    weight = layers.Conv2D(channels, 1, activation="hard_sigmoid", name=f"{name}_excite")(weight)
    return layers.Multiply(name=f"{name}_weigh")([x, weight])


def _active(x: Any, name: str) -> Any:
    """Batch normalization and hard-swish, which Keras calls hard_silu."""
    from keras import layers

    x = layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_norm")(x)
    return layers.Activation("hard_silu", name=f"{name}_swish")(x)


# 98.4 % of the test digits (mean of seeds 0, 1 and 2), after a minute on 2 cores, with 32,268 parameters.
RECIPE = Recipe(
    name="digits-mobile",
    summary="reads the same digits on small devices: depthwise convolutions, squeeze-and-excite and hard-swish",
    load=digits.RECIPE.load,
    build=_build,
    input="image",
    output="digit",
    steps=digits.RECIPE.steps,
    labels=digits.RECIPE.labels,
    notes=digits.RECIPE.notes,
    meanings=digits.RECIPE.meanings,
    task=CLASSES,
    plan=Plan(
        epochs=16,
        batch_size=64,
        learning_rate=4e-3,
        weight_decay=1e-3,
        augment=partial(distort, degrees=10, shear=10, shift=2, zoom=0.1),
    ),
)
