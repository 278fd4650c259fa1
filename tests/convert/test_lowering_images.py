"""Convolutions, pooling and resizing: in both formats, as the operators each format has, and equal to Keras."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert import Report, convert_model
from edgepack.runtime.errors import ConvertError

_FIRST = {"data_format": "channels_first"}

# name -> (shape of a row, the layer, operators among those of the TFLite file, and of the ONNX file)
_LAYERS: dict[str, tuple[tuple[int, ...], Callable[[Any], Any], dict[str, int], dict[str, int]]] = {
    "grouped convolution": ((9, 8, 4), lambda one: one.Conv2D(6, 3, groups=2), {"CONV_2D": 1}, {"Conv": 1}),
    "grouped convolution of volumes": (
        (5, 4, 4, 4), lambda one: one.Conv3D(6, 3, groups=2, padding="same"), {"CONV_3D": 2}, {"Conv": 1}
    ),
    "dilated convolution of volumes": (
        (6, 5, 7, 2), lambda one: one.Conv3D(3, 2, dilation_rate=(1, 2, 3)), {"CONV_3D": 1}, {"Conv": 1}
    ),
    # as wide as there are filters, where Keras itself is in two minds about the axis of the bias
    "channels first": ((4, 9, 8), lambda one: one.Conv2D(6, 3, **_FIRST), {"CONV_2D": 1}, {"Conv": 1}),
    "causal, channels first": (
        (4, 9), lambda one: one.Conv1D(5, 3, padding="causal", **_FIRST), {"CONV_2D": 1}, {"Conv": 1}
    ),
    "volumes, channels first": (
        (3, 5, 4, 6), lambda one: one.Conv3D(4, 2, strides=2, padding="same", **_FIRST), {"CONV_3D": 1}, {"Conv": 1}
    ),
    "dilated transposed convolution": (
        (5, 4, 3), lambda one: one.Conv2DTranspose(2, 3, dilation_rate=2, padding="same"),
        {"TRANSPOSE_CONV": 1}, {"ConvTranspose": 1},
    ),
    "transposed convolution that leaves gaps": (
        (5, 4, 3), lambda one: one.Conv2DTranspose(2, 2, strides=3), {"TRANSPOSE_CONV": 1}, {"ConvTranspose": 1}
    ),
    "transposed convolution with more behind": (
        (5, 3), lambda one: one.Conv1DTranspose(2, 3, strides=3, output_padding=2, padding="same"),
        {"TRANSPOSE_CONV": 1}, {"ConvTranspose": 1},
    ),
    "largest of volumes": (
        (7, 6, 5, 2), lambda one: one.MaxPooling3D(3, 2, padding="same"), {"MAX_POOL_2D": 2}, {"MaxPool": 1}
    ),
    "mean of volumes, channels first": (
        (2, 7, 6, 5), lambda one: one.AveragePooling3D(3, 2, padding="same", **_FIRST),
        {"AVERAGE_POOL_2D": 2}, {"AveragePool": 1},
    ),
    "adaptive mean of volumes": ((7, 6, 5, 2), lambda one: one.AdaptiveAveragePooling3D((3, 2, 4)), {}, {}),
    "resized by lanczos": (
        (9, 8, 3), lambda one: one.Resizing(5, 13, interpolation="lanczos3"), {"FULLY_CONNECTED": 2}, {"MatMul": 2}
    ),
    "resized with antialias": (
        (3, 12, 10), lambda one: one.Resizing(7, 5, antialias=True, **_FIRST), {"FULLY_CONNECTED": 2}, {"MatMul": 2}
    ),
    "resized to sizes that scales miss": (
        (12, 10, 3), lambda one: one.Resizing(7, 5), {"RESIZE_BILINEAR": 1}, {"Resize": 1}
    ),
    "resized to the nearest": (
        (9, 14, 3), lambda one: one.Resizing(6, 21, interpolation="nearest"),
        {"RESIZE_NEAREST_NEIGHBOR": 1}, {"Resize": 1},
    ),
    "cropped to its form": (
        (12, 10, 3), lambda one: one.Resizing(5, 9, crop_to_aspect_ratio=True), {"RESIZE_BILINEAR": 1}, {"Resize": 1}
    ),
    "padded to its form": (
        (12, 10, 3), lambda one: one.Resizing(20, 30, pad_to_aspect_ratio=True, fill_value=7.0),
        {"RESIZE_BILINEAR": 1}, {"Resize": 1},
    ),
    "repeated": ((5, 4, 3), lambda one: one.UpSampling2D((3, 2)), {"CONCATENATION": 2}, {}),
}  # fmt: skip


def _convert(keras: Any, layers: Any, shape: tuple[int | None, ...], output: Path | str, **options: Any) -> Report:
    """A model of these layers with random weights, converted and held against Keras on random inputs."""
    rng = np.random.default_rng(0)
    model = keras.Sequential([keras.Input(shape, name="x"), *layers])
    for weight in model.weights:
        values = rng.normal(size=weight.shape) * 0.5
        weight.assign(abs(values) if weight.path.endswith("variance") else values)
    values = rng.normal(size=(3, *(6 if size is None else size for size in shape))).astype(np.float32)
    return convert_model(model, output, evaluation={"x": values}, **options)


@pytest.mark.parametrize("name", _LAYERS)
def test_a_layer_of_images_converts_to_the_operators_of_both_formats(keras: Any, name: str, tmp_path: Path) -> None:
    shape, layer, *wanted = _LAYERS[name]
    report = _convert(keras, [layer(keras.layers)], shape, f"{tmp_path}/pack/")
    for result, operators in zip(report.results, wanted, strict=True):
        assert not result.reasons
        assert {key: result.operators.get(key) for key in operators} == operators


@pytest.mark.parametrize("layer", ["Resizing", "UpSampling2D"])
def test_free_axes_resize_by_bilinear(keras: Any, layer: str, tmp_path: Path) -> None:
    arguments = {"Resizing": {"height": 7, "width": 5}, "UpSampling2D": {"interpolation": "bilinear"}}[layer]
    report = _convert(keras, [getattr(keras.layers, layer)(**arguments)], (None, None, 3), f"{tmp_path}/pack/")
    assert [result.reasons for result in report.results] == [(), ()]


def test_a_method_that_needs_known_axes_is_refused_by_the_layers_name(keras: Any, tmp_path: Path) -> None:
    layer = keras.layers.UpSampling2D(interpolation="bicubic", name="enlarge")
    with pytest.raises(ConvertError, match=r"layer 'enlarge' resizes .* by bicubic.*--input-shape"):
        _convert(keras, [layer], (None, None, 3), f"{tmp_path}/pack/")


def test_an_own_layer_is_reached_by_what_it_computes_with(keras: Any, tmp_path: Path) -> None:
    class Pool(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, volumes: Any) -> Any:
            return keras.ops.max_pool(volumes, 2, padding="same")

        def compute_output_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
            return (shape[0], *(-(-size // 2) for size in shape[1:-1]), shape[-1])

    report = _convert(keras, [Pool(name="own")], (5, 4, 3, 2), tmp_path / "m.tflite")
    assert report.notes == ("tflite: own: pooled in the planes, then along the depth",)


def test_a_plain_network_stays_wholly_with_the_delegate(keras: Any, tmp_path: Path) -> None:
    one = keras.layers
    network = [
        one.Conv2D(4, 3, padding="same", activation="relu"),
        one.DepthwiseConv2D(3, strides=2, padding="same"),
        one.BatchNormalization(),
        one.Conv2D(8, 1, groups=2, activation="relu"),
        one.UpSampling2D(),
        one.Conv2DTranspose(2, 3, strides=2, padding="same"),
        one.UpSampling2D(interpolation="bilinear"),
        one.Resizing(20, 20, antialias=True),
        one.GlobalAveragePooling2D(),
    ]
    report = _convert(keras, network, (12, 12, 3), tmp_path / "m.tflite")
    assert report.results[0].undelegated == ()


def test_layers_with_the_channels_first_leave_no_transposes_between_them(keras: Any, tmp_path: Path) -> None:
    one = keras.layers
    network = [
        one.Conv2D(8, 3, activation="relu", **_FIRST),
        one.BatchNormalization(axis=1),
        one.MaxPooling2D(**_FIRST),
        one.Conv2D(6, 3, activation="relu", **_FIRST),
    ]
    tflite, onnx = _convert(keras, network, (3, 16, 12), f"{tmp_path}/pack/").results
    assert tflite.operators["TRANSPOSE"] == 2
    assert "Transpose" not in onnx.operators
