"""Normalizations over every axis, and merges of two or three."""

from typing import Any

from tests.conformance.making import Case, Tensor, configs, one

_FLAT, _CUBE, _IMAGE, _VOLUME = Tensor((6,)), Tensor((5, 6)), Tensor((5, 4, 6)), Tensor((3, 4, 5, 6))


def cases() -> list[Case]:
    """Every case of this family."""
    return [*_normalizations(), *_spectral(), *_merges(), *_dots()]


def _normalizations() -> list[Case]:
    bare = {"center": False, "scale": False}
    return [
        *configs("BatchNormalization", _FLAT, {"2d": {}, "2d_bare": bare}),
        *configs("BatchNormalization", _CUBE, {"3d": {}, "3d_axis1": {"axis": 1}}),
        *configs(
            "BatchNormalization",
            _IMAGE,
            {
                "4d": {},
                "axis1": {"axis": 1},
                "axis2": {"axis": 2},
                "epsilon": {"epsilon": 0.1},
                "no_center": {"center": False},
                "no_scale": {"scale": False},
            },
        ),
        *configs("BatchNormalization", _VOLUME, {"5d": {}}),
        *configs("BatchNormalization", _IMAGE, {"mixed_float16": {}}, policy="mixed_float16"),
        *configs("BatchNormalization", _CUBE, {"renorm": {"renorm": True}}),
        *configs("LayerNormalization", _FLAT, {"2d": {}}),
        *configs("LayerNormalization", _CUBE, {"3d": {}, "axis1": {"axis": 1}, "bare": bare}),
        *configs(
            "LayerNormalization",
            _IMAGE,
            {
                "4d": {},
                "two_axes": {"axis": (2, 3)},
                "all_axes": {"axis": (1, 2, 3)},
                "apart": {"axis": (1, 3)},
                "no_scale": {"scale": False},
            },
        ),
        *configs("LayerNormalization", _CUBE, {"mixed_float16": {}}, policy="mixed_float16"),
        *configs("LayerNormalization", Tensor((None, 6)), {"free": {}}),
        *configs("RMSNormalization", _FLAT, {"2d": {}}),
        *configs("RMSNormalization", _CUBE, {"3d": {}, "epsilon": {"epsilon": 0.1}}),
        *configs("RMSNormalization", _IMAGE, {"4d": {}, "two_axes": {"axis": (2, 3)}}),
        *configs("GroupNormalization", _FLAT, {"2d": {"groups": 2}}),
        *configs("GroupNormalization", _CUBE, {"3d": {"groups": 3}}),
        *configs(
            "GroupNormalization",
            _IMAGE,
            {
                "4d": {"groups": 2},
                "instance": {"groups": -1},
                "layer": {"groups": 1},
                "axis1": {"groups": 5, "axis": 1},
                "bare": {"groups": 3, **bare},
            },
        ),
        *configs("GroupNormalization", _IMAGE, {"dynamic": {"groups": 2}}, options={"batch": "dynamic"}),
        *configs("GroupNormalization", _VOLUME, {"5d": {"groups": 3}}),
        *configs("UnitNormalization", _FLAT, {"2d": {}}),
        *configs("UnitNormalization", _IMAGE, {"4d": {}, "axis1": {"axis": 1}, "two_axes": {"axis": (1, 2)}}),
    ]


def _spectral() -> list[Case]:
    return [
        one(
            "SpectralNormalization", "dense", _FLAT, lambda layers, x: layers.SpectralNormalization(layers.Dense(4))(x)
        ),
        one(
            "SpectralNormalization",
            "conv",
            _IMAGE,
            lambda layers, x: layers.SpectralNormalization(layers.Conv2D(4, 3, padding="same"), power_iterations=2)(x),
        ),
    ]


def _merges() -> list[Case]:
    made: list[Case] = []
    for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"):
        made += configs(name, (_CUBE, _CUBE), {"two": {}})
        made += configs(name, (_IMAGE, Tensor((1, 1, 6))), {"broadcast": {}})
        made += configs(name, (Tensor((5,), "int32"), Tensor((5,), "int32")), {"int32": {}})
    for name in ("Add", "Average", "Maximum", "Multiply"):
        made += configs(name, (_CUBE, _CUBE, _CUBE), {"three": {}})
    join = "Concatenate"
    return [
        *made,
        *configs("Add", (_FLAT, _CUBE), {"ranks": {}}),
        *configs("Add", (_CUBE, _CUBE), {"mixed_float16": {}}, policy="mixed_float16"),
        *configs(join, (_CUBE, _CUBE, _CUBE), {"last": {}, "axis1": {"axis": 1}}),
        *configs(join, (_FLAT, Tensor((3,))), {"2d": {}}),
        *configs(join, (_IMAGE, Tensor((5, 4, 2))), {"4d": {}}),
        *configs(join, (_IMAGE, Tensor((5, 2, 6))), {"axis2": {"axis": -2}}),
        *configs(join, (Tensor((3,), "int32"), Tensor((2,), "int32")), {"int32": {}}),
        *configs(join, (Tensor((3,), "int32"), Tensor((2,))), {"int_and_float": {}}),
        *configs(join, (Tensor((3,), "bool"), Tensor((2,), "bool")), {"bool": {}}),
        one("Add", "same_twice", _CUBE, lambda layers, x: layers.Add()([x, x])),
        one("Multiply", "squeeze_excite", _IMAGE, _squeeze_excite),
    ]


def _squeeze_excite(layers: Any, x: Any) -> Any:
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(6, 1, activation="hard_sigmoid")(layers.Conv2D(2, 1, activation="relu")(gate))
    return layers.Multiply()([x, gate])


def _dots() -> list[Case]:
    return [
        *configs("Dot", (_FLAT, _FLAT), {"vectors": {"axes": 1}, "cosine": {"axes": 1, "normalize": True}}),
        *configs(
            "Dot",
            (_CUBE, _CUBE),
            {"last": {"axes": 2}, "first": {"axes": 1}, "last_cosine": {"axes": -1, "normalize": True}},
        ),
        *configs("Dot", (_CUBE, Tensor((6, 3))), {"matrix": {"axes": (2, 1)}}),
        *configs("Dot", (_CUBE, _FLAT), {"ranks": {"axes": (2, 1)}}),
        *configs("Dot", (_IMAGE, Tensor((3, 6))), {"4d": {"axes": (3, 2)}}),
        *configs("Dot", (_CUBE, _CUBE), {"dynamic": {"axes": 2}}, options={"batch": "dynamic"}),
    ]
