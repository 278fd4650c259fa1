"""Image layers: those that mean something at inference, and the random ones, which must vanish."""

from typing import Any

import numpy as np

from tests.conformance.making import Array, Case, Tensor, between, configs, one

_IMAGE = Tensor((12, 10, 3), draw=between(0, 255))
_BYTES = Tensor((12, 10, 3), "uint8")

# random layer -> its arguments
_RANDOM: dict[str, dict[str, Any]] = {
    "AugMix": {},
    "CutMix": {},
    "MixUp": {},
    "RandAugment": {},
    "RandomBrightness": {"factor": 0.5},
    "RandomColorDegeneration": {"factor": 0.5},
    "RandomColorJitter": {"brightness_factor": 0.5, "hue_factor": 0.2},
    "RandomContrast": {"factor": 0.5},
    "RandomElasticTransform": {},
    "RandomErasing": {},
    "RandomFlip": {},
    "RandomGaussianBlur": {},
    "RandomGrayscale": {},
    "RandomHue": {"factor": 0.3},
    "RandomInvert": {},
    "RandomPerspective": {},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.2},
    "RandomSaturation": {"factor": 0.3},
    "RandomSharpness": {"factor": 0.3},
    "RandomShear": {"x_factor": 0.2},
    "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2},
    "Solarization": {"threshold_factor": 0.3},
}


def cases() -> list[Case]:
    """Every case of this family."""
    return [*_vanishing(), *_resizing(), *_cropping(), *_contrast()]


def _vanishing() -> list[Case]:
    made = [
        case
        for name, arguments in _RANDOM.items()
        for case in (
            *configs(name, _IMAGE, {"alone": arguments}),
            one(
                name,
                "before_conv",
                _IMAGE,
                lambda layers, x, n=name, a=arguments: layers.Conv2D(4, 3)(
                    getattr(layers, n)(**a)(layers.Rescaling(1 / 255)(x))
                ),
            ),
        )
    ]
    return [
        *made,
        one(
            "Pipeline",
            "augment",
            _IMAGE,
            lambda layers, x: layers.Pipeline([layers.RandomFlip(), layers.RandomRotation(0.2)])(x),
        ),
        # By itself Keras cannot put it into a functional model: its symbolic call gives back its own input.
        one("Equalization", "in_pipeline", _IMAGE, lambda layers, x: layers.Pipeline([layers.Equalization()])(x)),
        one(
            "Equalization",
            "before_conv",
            _IMAGE,
            lambda layers, x: layers.Conv2D(4, 3)(
                layers.Pipeline([layers.Equalization(), layers.Rescaling(1 / 255)])(x)
            ),
        ),
        one(
            "Pipeline",
            "resize",
            _IMAGE,
            lambda layers, x: layers.Pipeline([layers.Resizing(6, 7), layers.RandomFlip(), layers.Rescaling(1 / 255)])(
                x
            ),
        ),
    ]


def _resizing() -> list[Case]:
    base = {"height": 7, "width": 5}
    up = {"height": 20, "width": 17}
    table: dict[str, dict[str, Any]] = {
        "bilinear_down": base,
        "bilinear_up": up,
        "nearest_down": {**base, "interpolation": "nearest"},
        "nearest_up": {**up, "interpolation": "nearest"},
        "bicubic_down": {**base, "interpolation": "bicubic"},
        "bicubic_up": {**up, "interpolation": "bicubic"},
        "lanczos3": {**base, "interpolation": "lanczos3"},
        "lanczos5": {**up, "interpolation": "lanczos5"},
        "antialias": {**base, "antialias": True},
        "antialias_bicubic": {**base, "antialias": True, "interpolation": "bicubic"},
        "crop": {**base, "height": 5, "width": 9, "crop_to_aspect_ratio": True},
        "pad": {**base, "pad_to_aspect_ratio": True},
        "pad_value": {**up, "width": 30, "pad_to_aspect_ratio": True, "fill_value": 7.0},
        "same_size": {"height": 12, "width": 10},
        "one_axis": {"height": 12, "width": 20},
        "half": {"height": 6, "width": 5},
        "double": {"height": 24, "width": 20},
    }
    return [
        *configs("Resizing", _IMAGE, table),
        *configs("Resizing", _BYTES, {"uint8": base, "uint8_nearest": {**base, "interpolation": "nearest"}}),
        *configs(
            "Resizing",
            _BYTES,
            {
                "uint8_bicubic": {**base, "interpolation": "bicubic"},
                "uint8_antialias": {**base, "antialias": True},
                "uint8_pad": {**base, "pad_to_aspect_ratio": True},
            },
        ),
        # ties between two rows, and scales whose product with the size falls below it in float32
        *configs(
            "Resizing",
            Tensor((6, 14, 3)),
            {
                "ties_nearest": {"height": 9, "width": 21, "interpolation": "nearest"},
                "ties": {"height": 9, "width": 21},
                "area": {"height": 4, "width": 5, "interpolation": "area"},
            },
        ),
        *configs(
            "Resizing",
            Tensor((3, 12, 10)),
            {
                "channels_first": {**base, "data_format": "channels_first"},
                "channels_first_antialias": {**base, "antialias": True, "data_format": "channels_first"},
                "channels_first_crop": {**base, "crop_to_aspect_ratio": True, "data_format": "channels_first"},
            },
        ),
        *configs(
            "Resizing",
            Tensor((None, None, 3)),
            {
                "free_crop": {**base, "crop_to_aspect_ratio": True},
                "free_pad": {**base, "pad_to_aspect_ratio": True},
                "free_bicubic": {**base, "interpolation": "bicubic"},
            },
        ),
        *configs(
            "Resizing", _IMAGE, {"dynamic_bicubic": {**base, "interpolation": "bicubic"}}, options={"batch": "dynamic"}
        ),
        *configs(
            "Resizing", Tensor((None, None, 3)), {"free": base, "free_nearest": {**base, "interpolation": "nearest"}}
        ),
        *configs("Resizing", _IMAGE, {"dynamic": base}, options={"batch": "dynamic"}),
        one(
            "Resizing",
            "then_conv",
            _IMAGE,
            lambda layers, x: layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(layers.Resizing(8, 8)(x))),
        ),
    ]


def _cropping() -> list[Case]:
    return [
        *configs(
            "CenterCrop",
            _IMAGE,
            {
                "even": {"height": 8, "width": 6},
                "odd": {"height": 7, "width": 5},
                "same": {"height": 12, "width": 10},
                "larger": {"height": 16, "width": 14},
                "one_larger": {"height": 16, "width": 6},
            },
        ),
        *configs("CenterCrop", _BYTES, {"uint8": {"height": 8, "width": 6}}),
        *configs(
            "CenterCrop",
            Tensor((3, 12, 10)),
            {"channels_first": {"height": 8, "width": 6, "data_format": "channels_first"}},
        ),
        *configs("CenterCrop", Tensor((None, None, 3)), {"free": {"height": 4, "width": 5}}),
        *configs("RandomCrop", _IMAGE, {"smaller": {"height": 8, "width": 6}, "larger": {"height": 16, "width": 14}}),
    ]


def _contrast() -> list[Case]:
    return [
        *configs("AutoContrast", Tensor((12, 10, 3), draw=_dim), {"bytes": {}}),
        *configs("AutoContrast", Tensor((12, 10, 3), draw=between(0.2, 0.7)), {"unit": {"value_range": (0, 1)}}),
        *configs(
            "ContrastLimitedAdaptiveHistogramEqualization",
            Tensor((16, 16, 3), draw=_dim),
            {"default": {}, "tiles": {"tile_grid_size": (4, 4), "clip_limit": 2.0}},
        ),
        *configs(
            "ContrastLimitedAdaptiveHistogramEqualization",
            Tensor((16, 16, 1), draw=_dim),
            {"grey": {"tile_grid_size": (2, 2)}},
        ),
    ]


def _dim(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Images of whole numbers that do not fill the range."""
    return np.floor(rng.uniform(40, 180, shape))
