"""Preprocessing of numbers and sounds, which engines can do themselves."""

from typing import Any

import numpy as np

from tests.conformance.making import Array, Case, Tensor, between, configs, normal, one, whole


def cases() -> list[Case]:
    """Every case of this family."""
    return [*_numbers(), *_categories(), *_sounds()]


def _numbers() -> list[Case]:
    cube = Tensor((4, 3))
    mean, variance = [0.3, -0.5, 1.0], [0.5, 2.0, 1.5]
    bins = {"bin_boundaries": [-0.8, -0.1, 0.4, 1.2]}
    return [
        *configs(
            "Normalization",
            cube,
            {
                "given": {"mean": mean, "variance": variance},
                "scalar": {"axis": None, "mean": 0.4, "variance": 2.0},
                "invert": {"mean": mean, "variance": variance, "invert": True},
            },
        ),
        one("Normalization", "adapted", cube, lambda layers, x: _adapted(layers.Normalization(), (4, 3))(x)),
        one(
            "Normalization",
            "adapted_axes",
            cube,
            lambda layers, x: _adapted(layers.Normalization(axis=(1, 2)), (4, 3))(x),
        ),
        one(
            "Normalization",
            "adapted_none",
            cube,
            lambda layers, x: _adapted(layers.Normalization(axis=None), (4, 3))(x),
        ),
        *configs("Normalization", Tensor((3,), "int32"), {"int32": {"mean": mean, "variance": variance}}),
        *configs("Normalization", Tensor((3,), "uint8"), {"uint8": {"mean": mean, "variance": variance}}),
        *configs(
            "Rescaling",
            Tensor((5, 4, 3), draw=between(0, 255)),
            {"unit": {"scale": 1 / 255}, "offset": {"scale": 1 / 127.5, "offset": -1.0}},
        ),
        *configs("Rescaling", Tensor((5, 4, 3), "uint8"), {"uint8": {"scale": 1 / 255}}),
        *configs("Rescaling", Tensor((5, 4, 3), "int32"), {"int32": {"scale": 1 / 255, "offset": -0.5}}),
        *configs("Rescaling", Tensor((5, 4, 3)), {"channels": {"scale": [0.1, 0.2, 0.3], "offset": [1.0, 2.0, 3.0]}}),
        *configs(
            "Discretization",
            Tensor((4,)),
            {"int": bins, "one_row": {**bins, "output_mode": "multi_hot"}, "count": {**bins, "output_mode": "count"}},
        ),
        *configs("Discretization", cube, {"2d": bins}),
        *configs("Discretization", Tensor((1,)), {"one_hot": {**bins, "output_mode": "one_hot"}}),
        *configs("Discretization", Tensor((4,), "int32", whole(-3, 3)), {"int32": bins}),
        one(
            "Discretization",
            "adapted",
            Tensor((4,)),
            lambda layers, x: _adapted(layers.Discretization(num_bins=5), (4,))(x),
        ),
        one(
            "Discretization",
            "embedded",
            Tensor((4,)),
            lambda layers, x: layers.Embedding(5, 3)(layers.Discretization(**bins)(x)),
        ),
    ]


def _adapted(layer: Any, shape: tuple[int, ...]) -> Any:
    layer.adapt((normal(np.random.default_rng(0), (50, *shape)) * 2 + 1).astype("float32"))
    return layer


def _categories() -> list[Case]:
    table = {"num_tokens": 6}
    ids, single = Tensor((4,), "int32", whole(0, 5)), Tensor((1,), "int32", whole(0, 5))
    return [
        *configs(
            "CategoryEncoding",
            ids,
            {
                "multi_hot": table,
                "count": {**table, "output_mode": "count"},
                "one_hot_many": {**table, "output_mode": "one_hot"},
            },
        ),
        *configs("CategoryEncoding", single, {"one_hot": {**table, "output_mode": "one_hot"}}),
        *configs("CategoryEncoding", Tensor((4,), "int64", whole(0, 5)), {"int64": table}),
        one(
            "CategoryEncoding",
            "weights",
            (ids, Tensor((4,), draw=between(0, 1))),
            lambda layers, x, w: layers.CategoryEncoding(6, output_mode="count")(x, count_weights=w),
        ),
        one("CategoryEncoding", "dense", ids, lambda layers, x: layers.Dense(3)(layers.CategoryEncoding(6)(x))),
    ]


def _sounds() -> list[Case]:
    sound = Tensor((400,), draw=_tone)
    short = {"frame_length": 64, "frame_step": 32, "fft_length": 64}
    mel = {"fft_length": 64, "sequence_stride": 32, "sequence_length": 64, "num_mel_bins": 12, "sampling_rate": 2000}
    modes = ("log", "magnitude", "psd", "real", "imag", "stft")
    channel = Tensor((400, 1), draw=_tone)
    return [
        *configs("STFTSpectrogram", channel, {mode: {**short, "mode": mode} for mode in modes}),
        *configs(
            "STFTSpectrogram",
            channel,
            {
                "same": {**short, "mode": "magnitude", "padding": "same"},
                "hamming": {**short, "mode": "psd", "window": "hamming", "scaling": "spectrum", "periodic": True},
                "expand": {**short, "mode": "magnitude", "expand_dims": True},
                "longer_fft": {**short, "mode": "magnitude", "fft_length": 128},
            },
        ),
        *configs("STFTSpectrogram", Tensor((400, 2), draw=_tone), {"two_channels": {**short, "mode": "magnitude"}}),
        *configs(
            "MelSpectrogram",
            sound,
            {
                "db": mel,
                "power": {**mel, "power_to_db": False},
                "hamming": {**mel, "window": "hamming"},
                "magnitude": {**mel, "mag_exp": 1.0, "power_to_db": False},
                "range": {**mel, "min_freq": 100.0, "max_freq": 800.0},
                "no_top": {**mel, "top_db": 1000.0},
                "short_window": {**mel, "sequence_length": 48},
            },
        ),
        one(
            "MelSpectrogram",
            "keywords",
            sound,
            lambda layers, x: layers.Dense(3, activation="softmax")(
                layers.GlobalAveragePooling1D()(layers.Conv1D(6, 3, activation="relu")(layers.MelSpectrogram(**mel)(x)))
            ),
        ),
    ]


def _tone(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A tone with noise, as sound comes: from -1 to 1."""
    rows, steps, *rest = shape
    time = np.arange(steps)[None, :] * rng.uniform(0.05, 1.0, (rows, 1))
    wave = 0.6 * np.sin(time).reshape(rows, steps, *[1] * len(rest)) + 0.1 * rng.normal(size=shape)
    return np.clip(wave, -1, 1)
