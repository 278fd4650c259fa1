"""Convolutions: plain, depthwise, separable and transposed, of one to three axes."""

from typing import Any

from tests.conformance.making import Case, Tensor, configs, one

_LINE, _IMAGE, _VOLUME = Tensor((11, 4)), Tensor((9, 8, 4)), Tensor((7, 6, 5, 4))


def cases() -> list[Case]:
    """Every case of this family."""
    return [*_plain(), *_depthwise(), *_separable(), *_transposed()]


def _table(**more: Any) -> dict[str, dict[str, Any]]:
    """What every plain convolution is asked for."""
    base = {"filters": 6, "kernel_size": 3, **more}
    return {
        "valid": base,
        "same": {**base, "padding": "same"},
        "strides_valid": {**base, "strides": 2},
        "strides_same": {**base, "strides": 2, "padding": "same"},
        "dilation_valid": {**base, "dilation_rate": 2},
        "dilation_same": {**base, "dilation_rate": 2, "padding": "same"},
        "groups": {**base, "groups": 2},
        "groups_same_strides": {**base, "groups": 2, "padding": "same", "strides": 2},
        "no_bias_relu": {**base, "use_bias": False, "activation": "relu"},
        "one_wide": {**base, "kernel_size": 1},
    }


def _plain() -> list[Case]:
    base = {"filters": 6, "kernel_size": 3}
    first = {**base, "data_format": "channels_first"}
    return [
        *configs(
            "Conv1D",
            _LINE,
            {
                **_table(),
                "causal": {**base, "padding": "causal"},
                "causal_dilation": {**base, "padding": "causal", "dilation_rate": 3},
                "causal_strides": {**base, "padding": "causal", "strides": 2},
                "causal_groups": {**base, "padding": "causal", "groups": 2},
                "depth_groups": {"filters": 8, "kernel_size": 3, "groups": 4},
                "even_kernel": {"filters": 6, "kernel_size": 4, "padding": "same"},
            },
        ),
        *configs(
            "Conv1D",
            Tensor((None, 4)),
            {"free": {**base, "padding": "same"}, "free_causal": {**base, "padding": "causal"}},
        ),
        *configs(
            "Conv1D",
            Tensor((None, 4)),
            {
                "free_dilation": {**base, "padding": "same", "dilation_rate": 2},
                "free_groups_dilation": {**base, "padding": "same", "dilation_rate": 2, "groups": 2},
            },
        ),
        *configs(
            "Conv1D",
            Tensor((4, 11)),
            {
                "channels_first": first,
                "channels_first_causal": {**first, "padding": "causal"},
                "channels_first_groups": {**first, "groups": 2},
                "channels_first_as_long_as_filters": {**first, "filters": 9, "activation": "gelu"},
            },
        ),
        *configs(
            "Conv2D",
            _IMAGE,
            {
                **_table(),
                "tuple": {"filters": 6, "kernel_size": (3, 2), "strides": (1, 2), "padding": "same"},
                "tuple_dilation": {"filters": 6, "kernel_size": (3, 2), "dilation_rate": (2, 1)},
                "groups_dilation": {**base, "groups": 2, "dilation_rate": 2},
                "depth_groups": {"filters": 8, "kernel_size": 3, "groups": 4},
                "swish": {**base, "activation": "swish"},
                "softmax": {**base, "activation": "softmax"},
            },
        ),
        *configs("Conv2D", Tensor((None, None, 4)), {"free": {**base, "padding": "same"}}),
        *configs(
            "Conv2D",
            Tensor((4, 9, 8)),
            {
                "channels_first": first,
                "channels_first_same": {**first, "padding": "same"},
                "channels_first_groups_dilation": {**first, "groups": 2, "dilation_rate": 2},
                "channels_first_dilation": {**first, "dilation_rate": 2},
            },
        ),
        *configs(
            "Conv2D",
            Tensor((None, None, 4)),
            {
                "free_groups": {**base, "padding": "same", "groups": 2, "strides": 2},
                "free_dilation": {**base, "padding": "same", "dilation_rate": 2},
            },
        ),
        *configs(
            "Conv2D", Tensor((4, None, None)), {"channels_first_free": {**first, "padding": "same", "strides": 2}}
        ),
        *configs("Conv2D", _IMAGE, {"mixed_float16": base}, policy="mixed_float16"),
        *configs(
            "Conv2D", _IMAGE, {"dynamic": base, "dynamic_groups": {**base, "groups": 2}}, options={"batch": "dynamic"}
        ),
        *configs("Conv3D", _VOLUME, _table()),
        *configs(
            "Conv3D",
            Tensor((4, 7, 6, 5)),
            {
                "channels_first": first,
                "channels_first_groups": {**first, "groups": 2},
                "channels_first_dilation": {**first, "dilation_rate": 2},
            },
        ),
        *configs("Conv3D", Tensor((None, None, None, 4)), {"free": {**base, "padding": "same", "dilation_rate": 2}}),
        *configs(
            "Conv3D",
            _VOLUME,
            {
                "dynamic": base,
                "dynamic_groups": {**base, "groups": 2},
                "dynamic_dilation": {**base, "dilation_rate": 2},
            },
            options={"batch": "dynamic"},
        ),
        one("Conv2D", "residual", _IMAGE, _residual),
    ]


def _residual(layers: Any, x: Any) -> Any:
    inner = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(x))
    return layers.ReLU(6.0)(layers.Add()([x, inner]))


def _depthwise() -> list[Case]:
    table = {
        "valid": {"kernel_size": 3},
        "same": {"kernel_size": 3, "padding": "same"},
        "strides": {"kernel_size": 3, "strides": 2},
        "strides_same": {"kernel_size": 3, "strides": 2, "padding": "same"},
        "multiplier": {"kernel_size": 3, "depth_multiplier": 2},
        "multiplier_no_bias": {"kernel_size": 3, "depth_multiplier": 3, "use_bias": False, "activation": "relu"},
        "dilation": {"kernel_size": 3, "dilation_rate": 2},
        "dilation_same": {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    }
    return [
        *configs("DepthwiseConv1D", _LINE, table),
        *configs("DepthwiseConv2D", _IMAGE, {**table, "tuple": {"kernel_size": (3, 2), "padding": "same"}}),
        *configs(
            "DepthwiseConv2D",
            Tensor((4, 9, 8)),
            {"channels_first": {"kernel_size": 3, "data_format": "channels_first"}},
        ),
        *configs("DepthwiseConv2D", Tensor((None, None, 4)), {"free_dilation": {**table["dilation_same"]}}),
        *configs("DepthwiseConv2D", _IMAGE, {"strides_dilation": {**table["strides_same"], "dilation_rate": 2}}),
        *configs("DepthwiseConv2D", Tensor((9, 8, 1)), {"one_channel": {"kernel_size": 3, "depth_multiplier": 4}}),
    ]


def _separable() -> list[Case]:
    base = {"filters": 6, "kernel_size": 3}
    table = {
        "valid": base,
        "same": {**base, "padding": "same"},
        "strides": {**base, "strides": 2},
        "multiplier": {**base, "depth_multiplier": 2, "activation": "relu"},
        "dilation": {**base, "dilation_rate": 2},
        "strides_same": {**base, "strides": 2, "padding": "same", "use_bias": False},
    }
    return [
        *configs("SeparableConv1D", _LINE, table),
        *configs("SeparableConv2D", _IMAGE, table),
        *configs("SeparableConv1D", Tensor((4, 11)), {"channels_first": {**base, "data_format": "channels_first"}}),
        *configs("SeparableConv2D", Tensor((4, 9, 8)), {"channels_first": {**base, "data_format": "channels_first"}}),
        *configs(
            "SeparableConv2D", Tensor((None, None, 4)), {"free_dilation": {**table["dilation"], "padding": "same"}}
        ),
    ]


def _transposed() -> list[Case]:
    base = {"filters": 3, "kernel_size": 3}
    table = {
        "valid": base,
        "same": {**base, "padding": "same"},
        "strides": {**base, "strides": 2},
        "strides_same": {**base, "strides": 2, "padding": "same"},
        "no_bias": {**base, "strides": 2, "use_bias": False, "activation": "relu"},
        "small_kernel": {"filters": 3, "kernel_size": 2, "strides": 3},
        "output_padding": {**base, "strides": 2, "padding": "same", "output_padding": 1},
        "dilation": {**base, "dilation_rate": 2},
        "dilation_same": {**base, "dilation_rate": 2, "padding": "same"},
    }
    first = {**base, "strides": 2, "data_format": "channels_first"}
    return [
        *configs("Conv1DTranspose", _LINE, table),
        *configs("Conv1DTranspose", Tensor((None, 4)), {"free": {**base, "strides": 2, "padding": "same"}}),
        *configs(
            "Conv2DTranspose", _IMAGE, {**table, "tuple": {"filters": 3, "kernel_size": (4, 2), "strides": (2, 1)}}
        ),
        *configs("Conv2DTranspose", Tensor((None, None, 4)), {"free": {**base, "strides": 2, "padding": "same"}}),
        *configs(
            "Conv2DTranspose",
            Tensor((None, None, 4)),
            {"free_small_kernel": table["small_kernel"], "free_dilation": table["dilation"]},
        ),
        *configs("Conv1DTranspose", Tensor((4, 11)), {"channels_first": {**first, "output_padding": 1}}),
        *configs("Conv2DTranspose", Tensor((4, 9, 8)), {"channels_first": first}),
        *configs(
            "Conv3DTranspose", Tensor((4, 4, 3, 4)), {"channels_first": {**first, "strides": 1, "dilation_rate": 2}}
        ),
        *configs("Conv3DTranspose", Tensor((None, None, None, 4)), {"free": {**base, "strides": 2}}),
        *configs("Conv2DTranspose", _IMAGE, {"dynamic": {**base, "strides": 2}}, options={"batch": "dynamic"}),
        *configs("Conv3DTranspose", Tensor((4, 5, 3, 4)), table),
        *configs(
            "Conv3DTranspose", Tensor((4, 5, 3, 4)), {"dynamic": {**base, "strides": 2}}, options={"batch": "dynamic"}
        ),
    ]
