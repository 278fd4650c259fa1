"""Pooling, and the layers that move, repeat and cut what they are given."""

from typing import Any

from tests.conformance.making import Case, Tensor, between, configs, one, padded, whole

_LINE, _IMAGE, _VOLUME = Tensor((11, 4)), Tensor((9, 8, 3)), Tensor((7, 6, 5, 3))
_RANKS = {"1D": _LINE, "2D": _IMAGE, "3D": _VOLUME}


def cases() -> list[Case]:
    """Every case of this family."""
    return [*_windows(), *_global(), *_adaptive(), *_sizes(), *_shapes()]


def _first(tensor: Tensor) -> Tensor:
    """The same axes with the channels in front."""
    return Tensor((tensor.shape[-1], *tensor.shape[:-1]))


def _windows() -> list[Case]:
    table: dict[str, dict[str, Any]] = {
        "default": {"pool_size": 2},
        "same": {"pool_size": 2, "padding": "same"},
        "overlap": {"pool_size": 3, "strides": 2},
        "overlap_same": {"pool_size": 3, "strides": 2, "padding": "same"},
        "strides_one": {"pool_size": 3, "strides": 1, "padding": "same"},
    }
    made = []
    for kind in ("Max", "Average"):
        for rank, tensor in _RANKS.items():
            name = f"{kind}Pooling{rank}"
            made += configs(name, tensor, table)
            made += configs(name, _first(tensor), {"channels_first": {"pool_size": 2, "data_format": "channels_first"}})
        made += configs(f"{kind}Pooling2D", _IMAGE, {"tuple": {"pool_size": (3, 2), "strides": (1, 2)}})
        made += configs(f"{kind}Pooling3D", _VOLUME, {"tuple": {"pool_size": (3, 2, 1), "strides": (2, 1, 2)}})
        made += configs(f"{kind}Pooling3D", _VOLUME, {"dynamic": {"pool_size": 2}}, options={"batch": "dynamic"})
        made += configs(f"{kind}Pooling2D", Tensor((None, None, 3)), {"free": {"pool_size": 2, "padding": "same"}})
        made += configs(
            f"{kind}Pooling3D", Tensor((None, None, None, 3)), {"free": {"pool_size": 2, "padding": "same"}}
        )
        made += configs(
            f"{kind}Pooling3D",
            _first(_VOLUME),
            {"channels_first_same": {"pool_size": 3, "strides": 2, "padding": "same", "data_format": "channels_first"}},
        )
        made += configs(f"{kind}Pooling2D", _IMAGE, {"float16": {"pool_size": 2}}, policy="mixed_float16")
    return [*made, *configs("MaxPooling2D", Tensor((9, 8, 3), "int32"), {"int32": {"pool_size": 2}})]


def _global() -> list[Case]:
    made = []
    for kind in ("Max", "Average"):
        for rank, tensor in _RANKS.items():
            name = f"Global{kind}Pooling{rank}"
            made += configs(name, tensor, {"default": {}, "keepdims": {"keepdims": True}})
            made += configs(name, _first(tensor), {"channels_first": {"data_format": "channels_first"}})
        made += configs(f"Global{kind}Pooling2D", Tensor((None, None, 3)), {"free": {}})
    masked = one(
        "GlobalAveragePooling1D",
        "masked_keepdims",
        Tensor((6, 3), draw=padded),
        lambda layers, x: layers.GlobalAveragePooling1D(keepdims=True)(layers.Masking()(x)),
    )
    return [*made, masked]


def _adaptive() -> list[Case]:
    made = []
    for kind in ("Max", "Average"):
        for rank, tensor in _RANKS.items():
            # Not one: Keras 3.15 with TensorFlow 2.21 dies of it in max pooling (a window larger than the input).
            table = {"three": {"output_size": 3}, "two": {"output_size": 2}, "uneven": {"output_size": 4}}
            made += configs(f"Adaptive{kind}Pooling{rank}", tensor, table)
        made += configs(f"Adaptive{kind}Pooling2D", _IMAGE, {"tuple": {"output_size": (2, 5)}})
        made += configs(
            f"Adaptive{kind}Pooling3D", _VOLUME, {"dynamic": {"output_size": (3, 2, 4)}}, options={"batch": "dynamic"}
        )
        made += configs(
            f"Adaptive{kind}Pooling3D",
            _first(_VOLUME),
            {"channels_first": {"output_size": (3, 2, 4), "data_format": "channels_first"}},
        )
        made += configs(
            f"Adaptive{kind}Pooling2D",
            _first(_IMAGE),
            {"channels_first": {"output_size": 3, "data_format": "channels_first"}},
        )
    return made


def _sizes() -> list[Case]:
    first = {"data_format": "channels_first"}
    return [
        *configs("UpSampling1D", _LINE, {"two": {}, "three": {"size": 3}}),
        *configs(
            "UpSampling2D",
            _IMAGE,
            {
                "nearest": {},
                "tuple": {"size": (3, 2)},
                "bilinear": {"interpolation": "bilinear"},
                "bilinear_tuple": {"size": (3, 2), "interpolation": "bilinear"},
                "bicubic": {"interpolation": "bicubic"},
                "lanczos3": {"interpolation": "lanczos3"},
                "lanczos5": {"interpolation": "lanczos5"},
            },
        ),
        *configs(
            "UpSampling2D",
            Tensor((3, 9, 8)),
            {"channels_first": first, "bilinear_first": {**first, "interpolation": "bilinear"}},
        ),
        *configs("UpSampling2D", Tensor((None, None, 3)), {"free": {}, "free_bilinear": {"interpolation": "bilinear"}}),
        *configs("UpSampling2D", _IMAGE, {"dynamic": {"interpolation": "bilinear"}}, options={"batch": "dynamic"}),
        *configs(
            "UpSampling2D", _IMAGE, {"five": {"size": 5}, "bicubic_tuple": {"size": (3, 2), "interpolation": "bicubic"}}
        ),
        *configs(
            "UpSampling2D", Tensor((9, 8, 3), "uint8"), {"uint8": {}, "uint8_bilinear": {"interpolation": "bilinear"}}
        ),
        *configs(
            "UpSampling2D",
            Tensor((3, None, None)),
            {"free_first": first, "free_bilinear_first": {**first, "interpolation": "bilinear"}},
        ),
        *configs("UpSampling2D", Tensor((None, None, 3)), {"free_bicubic": {"interpolation": "bicubic"}}),
        *configs("UpSampling1D", Tensor((None, 4)), {"free": {}}),
        *configs("UpSampling3D", Tensor((None, None, None, 3)), {"free": {}}),
        *configs("UpSampling3D", Tensor((3, 4, 2, 3)), {"two": {}, "tuple": {"size": (1, 2, 3)}}),
        *configs("UpSampling3D", Tensor((3, 3, 4, 2)), {"channels_first": first}),
        *configs("ZeroPadding1D", _LINE, {"one": {}, "uneven": {"padding": (2, 1)}}),
        *configs("ZeroPadding1D", Tensor((5, 2), "int32"), {"int32": {}}),
        *configs(
            "ZeroPadding2D", _IMAGE, {"one": {}, "two": {"padding": (1, 2)}, "uneven": {"padding": ((1, 0), (2, 3))}}
        ),
        *configs("ZeroPadding2D", Tensor((9, 8, 3), "uint8"), {"uint8": {}}),
        *configs("ZeroPadding2D", Tensor((3, 9, 8)), {"channels_first": {**first, "padding": (1, 2)}}),
        *configs("ZeroPadding3D", _VOLUME, {"one": {}, "uneven": {"padding": ((1, 0), (2, 3), (0, 1))}}),
        *configs("ZeroPadding3D", _first(_VOLUME), {"channels_first": first}),
        *configs("Cropping1D", _LINE, {"one": {}, "uneven": {"cropping": (2, 1)}}),
        *configs("Cropping2D", _IMAGE, {"one": {"cropping": 1}, "uneven": {"cropping": ((1, 0), (2, 3))}}),
        *configs("Cropping2D", Tensor((3, 9, 8)), {"channels_first": {**first, "cropping": (1, 2)}}),
        *configs("Cropping3D", _VOLUME, {"one": {}, "uneven": {"cropping": ((1, 0), (2, 1), (0, 1))}}),
        *configs("Cropping3D", _first(_VOLUME), {"channels_first": first}),
    ]


def _shapes() -> list[Case]:
    image = Tensor((4, 3, 2))
    return [
        *configs("Flatten", image, {"4d": {}}),
        *configs("Flatten", Tensor((2, 4, 3)), {"channels_first": {"data_format": "channels_first"}}),
        *configs("Flatten", Tensor((5,)), {"2d": {}}),
        *configs("Flatten", Tensor(()), {"scalar": {}}),
        *configs("Flatten", Tensor((4, 3), "int32"), {"int32": {}}),
        *configs("Flatten", Tensor((4, 3), "bool"), {"bool": {}}),
        *configs("Flatten", image, {"dynamic": {}}, options={"batch": "dynamic"}),
        *configs(
            "Reshape",
            image,
            {
                "6_4": {"target_shape": (6, 4)},
                "minus_one": {"target_shape": (-1, 2)},
                "flat": {"target_shape": (24,)},
                "5d": {"target_shape": (2, 2, 3, 2)},
            },
        ),
        *configs("Reshape", Tensor((None, 4)), {"free": {"target_shape": (-1, 2)}}),
        *configs("Reshape", Tensor((6,), "int64", whole(0, 9)), {"int64": {"target_shape": (2, 3)}}),
        *configs(
            "Permute", image, {"321": {"dims": (3, 2, 1)}, "213": {"dims": (2, 1, 3)}, "312": {"dims": (3, 1, 2)}}
        ),
        *configs("Permute", Tensor((4, 3)), {"21": {"dims": (2, 1)}}),
        *configs("Permute", Tensor((4, 3), "int32"), {"int32": {"dims": (2, 1)}}),
        *configs("Permute", Tensor((2, 3, 4, 2)), {"5d": {"dims": (4, 1, 3, 2)}}),
        *configs("RepeatVector", Tensor((5,)), {"three": {"n": 3}, "one": {"n": 1}}),
        *configs("RepeatVector", Tensor((5,)), {"dynamic": {"n": 3}}, options={"batch": "dynamic"}),
        one(
            "Flatten",
            "after_conv",
            Tensor((8, 8, 2), draw=between(0, 1)),
            lambda layers, x: layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 3, strides=2)(x))),
        ),
    ]
