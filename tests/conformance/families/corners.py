"""Configurations off the beaten track: element types, high ranks, negative axes, masks, free lengths, any batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.conformance.making import Case, Tensor, between, configs, kept_steps, mask, one, padded, tokens, whole

_FLAT, _CUBE, _IMAGE = Tensor((6,)), Tensor((5, 6)), Tensor((5, 4, 6))
_VOLUME, _FREE = Tensor((3, 4, 5, 6)), Tensor((None, 6))
_DYNAMIC = {"options": {"batch": "dynamic"}}


def cases() -> list[Case]:
    """Every case of this family."""
    return [
        *_types(), *_passing(), *_normalized(), *_merged(), *_attended(), *_spectra(), *_binned(), *_distributed(),
        *_shaped(), *_operations(),
    ]  # fmt: skip


def _each(layer: str, table: Mapping[str, tuple[Tensor | tuple[Tensor, ...], Mapping[str, Any]]]) -> list[Case]:
    """One case for each line of a table from the configuration's name to inputs and the layer's arguments."""
    return [case for name, (inputs, arguments) in table.items() for case in configs(layer, inputs, {name: arguments})]


def _types() -> list[Case]:
    made = [
        configs("Dense", Tensor((6,), dtype), {f"from_{dtype}": {"units": 5}})
        for dtype in ("int8", "int16", "uint16", "int64", "uint32", "float64", "float16")
    ]
    policies = ("float64", "bfloat16", "mixed_bfloat16", "float16")
    for policy in policies:
        more: dict[str, Any] = {"policy": policy, "tolerance": 5e-2 if "bfloat" in policy else 1e-2}
        made += [
            [one("Dense", f"net_{policy}", _FLAT, _net, **more)],
            configs("LayerNormalization", _CUBE, {policy: {}}, **more),
            configs("BatchNormalization", _CUBE, {policy: {}}, **more),
            configs("Embedding", Tensor((5,), "int32"), {policy: {"input_dim": 10, "output_dim": 4}}, **more),
            [one("Add", policy, (_CUBE, _CUBE), lambda layers, x, y: layers.Add()([x, y]), **more)],
            [one("MultiHeadAttention", policy, _CUBE, lambda layers, x: layers.MultiHeadAttention(2, 3)(x, x), **more)],
            [one("Activation", f"softmax_{policy}", _CUBE, lambda layers, x: layers.Activation("softmax")(x), **more)],
            [
                one(
                    "LSTM",
                    f"policy_{policy}",
                    _CUBE,
                    lambda layers, x: layers.LSTM(3, recurrent_initializer="glorot_uniform")(x),
                    **more,
                )
            ],
        ]
    made.append(configs("GroupNormalization", _IMAGE, {"mixed_float16": {"groups": 2}}, policy="mixed_float16"))
    made.append(configs("Attention", (_CUBE, _CUBE), {"mixed_float16": {}}, policy="mixed_float16"))
    return [case for some in made for case in some]


def _net(layers: Any, x: Any) -> Any:
    return layers.Dense(3, activation="softmax")(layers.BatchNormalization()(layers.Dense(8, activation="relu")(x)))


def _passing() -> list[Case]:
    types = ("int8", "uint8", "int16", "int64", "float16", "float64", "uint32")
    return [
        *(case for dtype in types for case in configs("Identity", Tensor((4,), dtype), {dtype: {}})),
        *configs("Dropout", Tensor((4,)), {"dynamic": {"rate": 0.5}}, **_DYNAMIC),
        *configs("Dropout", Tensor((None, 3)), {"free": {"rate": 0.5}}),
        one("InputLayer", "only", _CUBE, lambda layers, x: x),
        one("InputLayer", "two_swapped", (_CUBE, _FLAT), lambda layers, a, b: [b, a]),
        one("InputLayer", "named", (_CUBE, _FLAT), lambda layers, a, b: {"sum": layers.Add()([a, b]), "a": a, "b": b}),
        one("InputLayer", "twice", _CUBE, lambda layers, x: [x, x]),
        one("Dense", "given_twice", _FLAT, lambda layers, x: [layers.Dense(3)(x)] * 2),
        one("Dense", "and_its_input", _FLAT, lambda layers, x: [layers.Dense(3)(x), x]),
        one("Dense", "and_between", _FLAT, _with_hidden),
        one("Reshape", "same", _CUBE, lambda layers, x: layers.Reshape((5, 6))(x)),
        one("Reshape", "there_and_back", _CUBE, lambda layers, x: layers.Reshape((5, 6))(layers.Reshape((30,))(x))),
        one("Permute", "same", _CUBE, lambda layers, x: layers.Permute((1, 2))(x)),
        one("RepeatVector", "squeezed", _FLAT, lambda layers, x: layers.Reshape((6,))(layers.RepeatVector(1)(x))),
        one("Rescaling", "by_one", _CUBE, lambda layers, x: layers.Rescaling(1.0)(x)),
        one("Concatenate", "alone_and_whole", (_CUBE, _CUBE), lambda layers, a, b: [layers.Concatenate()([a, b]), b]),
    ]


def _with_hidden(layers: Any, x: Any) -> Any:
    hidden = layers.Dense(4, activation="relu")(x)
    return [layers.Dense(3)(hidden), hidden, layers.Dropout(0.3)(hidden)]


def _normalized() -> list[Case]:
    bare = {"center": False, "scale": False}
    return [
        *_each("BatchNormalization", {
            "negative": (_IMAGE, {"axis": -2}), "free": (_FREE, {}), "6d": (Tensor((2, 3, 2, 3, 4)), {}),
            "5d_axis1": (_VOLUME, {"axis": 1}), "image_free": (Tensor((None, None, 3)), {}),
        }),
        *configs("BatchNormalization", _IMAGE, {"dynamic": {"axis": 1}}, **_DYNAMIC),
        one("BatchNormalization", "masked", Tensor((6, 3), draw=padded),
            lambda layers, x: layers.GlobalAveragePooling1D()(layers.BatchNormalization()(layers.Masking()(x)))),
        *_each("LayerNormalization", {
            "5d": (_VOLUME, {}), "negative": (_IMAGE, {"axis": -2}), "5d_axes": (_VOLUME, {"axis": (-3, -1)}),
            "list": (_IMAGE, {"axis": [1, 2]}), "image_free": (Tensor((None, None, 3)), {}),
        }),
        *configs("LayerNormalization", _CUBE, {"dynamic": {}}, **_DYNAMIC),
        *_each("RMSNormalization", {
            "5d": (_VOLUME, {}), "free": (_FREE, {}),
        }),
        *_each("GroupNormalization", {
            "axis2": (_IMAGE, {"groups": 2, "axis": 2}), "free": (_FREE, {"groups": 3}),
            "image_free": (Tensor((None, None, 6)), {"groups": 2}), "5d_axis1": (_VOLUME, {"groups": 3, "axis": 1}),
            "instance_3d": (_CUBE, {"groups": 6, **bare}),
        }),
        *_each("UnitNormalization", {
            "3d": (_CUBE, {}), "all": (_IMAGE, {"axis": (1, 2, 3)}), "5d": (_VOLUME, {"axis": -2}), "free": (_FREE, {}),
        }),
        one("SpectralNormalization", "conv1d", _CUBE, lambda layers, x: layers.SpectralNormalization(
            layers.Conv1D(4, 3))(x)),
        one("SpectralNormalization", "embedding", Tensor((5,), "int32"), lambda layers, x: layers.SpectralNormalization(
            layers.Embedding(10, 4))(x)),
        one("SpectralNormalization", "dynamic", _FLAT, lambda layers, x: layers.SpectralNormalization(
            layers.Dense(4))(x), **_DYNAMIC),
        *_each("Normalization", {
            "flat": (_FLAT, {"mean": [0.1] * 6, "variance": [2.0] * 6}), "free": (_FREE, {"mean": [0.3] * 6,
             "variance": [1.5] * 6}), "bool": (Tensor((3,), "bool"), {"mean": 0.5, "variance": 0.25, "axis": None}),
            "first_axis": (Tensor((3, 4)), {"axis": 1, "mean": [0.1, 0.2, 0.3], "variance": [1.0, 2.0, 3.0]}),
            "zero_variance": (Tensor((3,)), {"mean": [0.1, 0.2, 0.3], "variance": [1.0, 0.0, 2.0]}),
            "none_invert": (_CUBE, {"axis": None, "mean": 0.4, "variance": 2.0, "invert": True}),
        }),
        *_each("Rescaling", {
            "int8": (Tensor((4, 3), "int8", whole(-128, 127)), {"scale": 1 / 128}), "free": (_FREE, {"scale": 0.5}),
            "int64": (Tensor((3,), "int64"), {"scale": 0.1, "offset": 1.0}),
        }),
    ]  # fmt: skip


def _merged() -> list[Case]:
    made = []
    for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"):
        for dtype in ("int64", "uint8", "int8"):
            low = Tensor((5,), dtype, whole(0, 7))
            made += configs(name, (low, low), {dtype: {}})
        made += configs(name, (Tensor((1, 6)), _CUBE), {"first_is_small": {}})
        made += configs(name, (Tensor((5, 1)), _CUBE), {"column": {}})
        if name not in {"Add", "Average"}:  # Keras takes it for a bias, where there is one row alone
            made += configs(name, (Tensor((4, 4, 4)), Tensor((1, 4, 1))), {"looks_like_bias": {}})
        made += configs(name, (_FREE, _FREE), {"free": {}})
        made += configs(name, (Tensor((3,), "int32"), Tensor((3,))), {"int_and_float": {}})
    return [
        *made,
        *configs("Add", (_CUBE, _CUBE), {"dynamic": {}}, **_DYNAMIC),
        *configs("Average", (Tensor((5,), "int32"),) * 3, {"int32_three": {}}),
        *configs("Concatenate", (_VOLUME, _VOLUME), {"5d": {"axis": 2}}),
        *configs("Concatenate", (_FREE, _FREE), {"free_axis": {"axis": 1}}),
        *configs("Concatenate", (Tensor((3,), "uint8"), Tensor((2,), "uint8")), {"uint8": {}}),
        *configs("Concatenate", (Tensor((3,), "int64"), Tensor((2,), "int32")), {"two_ints": {}}),
        *configs("Concatenate", (_CUBE, _CUBE), {"dynamic": {"axis": 1}}, **_DYNAMIC),
        one("Concatenate", "masked", (Tensor((6, 3), draw=padded), Tensor((6, 2))), lambda layers, x, y:
            layers.GlobalAveragePooling1D()(layers.Concatenate()([layers.Masking()(x), y]))),
        one("Add", "masked", (Tensor((6, 3), draw=padded), Tensor((6, 3), draw=padded)), lambda layers, x, y:
            layers.LSTM(3)(layers.Add()([layers.Masking()(x), layers.Masking()(y)]))),
        *_each("Dot", {
            "negative": ((_CUBE, _CUBE), {"axes": -1}), "4d_4d": ((_IMAGE, Tensor((5, 3, 6))), {"axes": (3, 3)}),
            "free": ((_FREE, _FREE), {"axes": 2}), "cosine_matrix": ((_CUBE, _CUBE), {"axes": 1, "normalize": True}),
            "int32": ((Tensor((4,), "int32"), Tensor((4,), "int32")), {"axes": 1}),
        }),
    ]  # fmt: skip


def _attended() -> list[Case]:
    name, high = "MultiHeadAttention", Tensor((2, 3, 2, 3, 4))
    made = [
        ("6d", high, {"attention_axes": (2, 4)}, {}),
        ("negative_axes", _IMAGE, {"attention_axes": (-2,)}, {}),
        ("5d_scores", _VOLUME, {"attention_axes": (1, 2)}, {"return_attention_scores": True}),
        ("5d_default", _VOLUME, {}, {}), ("5d_free", Tensor((None, 2, 3, 6)), {"attention_axes": (2, 3)}, {}),
        ("5d_free_attended", Tensor((None, 2, 3, 6)), {"attention_axes": (1, 3)}, {}),
        ("4d_gate", _IMAGE, {"attention_axes": (1, 2), "use_gate": True}, {}),
        ("4d_value_dim", _IMAGE, {"attention_axes": (1, 2), "value_dim": 5, "output_shape": (2, 3)}, {}),
        ("4d_causal", _IMAGE, {"attention_axes": 1}, {"use_causal_mask": True}),
        ("causal_scores", _CUBE, {}, {"use_causal_mask": True, "return_attention_scores": True}),
        ("free_causal_scores", _FREE, {}, {"use_causal_mask": True, "return_attention_scores": True}),
        ("free_sliding", _FREE, {"sliding_window": 2}, {}), ("dropout_causal", _CUBE, {"dropout": 0.3},
         {"use_causal_mask": True}),
    ]  # fmt: skip
    cube, groups = Tensor((6,), "int32", tokens(12)), {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}
    return [
        *(
            one(name, f"corner_{config}", tensor,
                lambda layers, x, a=arguments, c=call: layers.MultiHeadAttention(2, 3, **a)(x, x, **c))
            for config, tensor, arguments, call in made
        ),
        one(name, "4d_mask", (_IMAGE, Tensor((5, 4, 5, 4), "bool", mask)), lambda layers, x, m:
            layers.MultiHeadAttention(2, 3, attention_axes=(1, 2))(x, x, attention_mask=m)),
        one(name, "4d_axis_mask", (_IMAGE, Tensor((5, 5), "bool", mask)), lambda layers, x, m:
            layers.MultiHeadAttention(2, 3, attention_axes=1)(x, x, attention_mask=m)),
        one(name, "float_mask", (_CUBE, Tensor((5, 5), "float32", whole(0, 1))), lambda layers, x, m:
            layers.MultiHeadAttention(2, 3)(x, x, attention_mask=m)),
        one(name, "int_mask", (_CUBE, Tensor((5, 5), "int32", whole(0, 1))), lambda layers, x, m:
            layers.MultiHeadAttention(2, 3)(x, x, attention_mask=m)),
        one(name, "heads_mask", (_CUBE, Tensor((2, 5, 5), "bool", mask)), lambda layers, x, m:
            layers.MultiHeadAttention(2, 3)(x, x, attention_mask=m)),
        one(name, "cross_4d", (_IMAGE, Tensor((7, 4, 6))), lambda layers, x, y:
            layers.MultiHeadAttention(2, 3, attention_axes=1)(x, y)),
        one(name, "free_mask_zero", Tensor((None,), "int32", tokens(12)), lambda layers, x: _tokens(layers, x,
            layers.MultiHeadAttention(2, 3))),
        one(name, "free_mask_zero_causal", Tensor((None,), "int32", tokens(12)), lambda layers, x: _tokens(layers, x,
            layers.MultiHeadAttention(2, 3), use_causal_mask=True)),
        one("GroupQueryAttention", "mask_zero_causal", cube, lambda layers, x: _tokens(layers, x,
            layers.GroupQueryAttention(**groups), use_causal_mask=True)),
        one("GroupQueryAttention", "free_causal", _FREE, lambda layers, x:
            layers.GroupQueryAttention(**groups)(x, x, use_causal_mask=True)),
        one("GroupQueryAttention", "causal_scores", _CUBE, lambda layers, x:
            layers.GroupQueryAttention(**groups)(x, x, use_causal_mask=True, return_attention_scores=True)),
        one("GroupQueryAttention", "dynamic", _CUBE, lambda layers, x: layers.GroupQueryAttention(**groups)(x, x),
            **_DYNAMIC),
        *(
            case for layer in ("Attention", "AdditiveAttention") for case in (
                one(layer, "free_causal", (_FREE, _FREE), lambda layers, x, y, n=layer:
                    getattr(layers, n)()([x, y], use_causal_mask=True)),
                one(layer, "dropout", (_CUBE, _CUBE), lambda layers, x, y, n=layer:
                    getattr(layers, n)(dropout=0.4)([x, y])),
                one(layer, "dynamic", (_CUBE, _CUBE), lambda layers, x, y, n=layer: getattr(layers, n)()([x, y]),
                    **_DYNAMIC),
            )
        ),
        *_each("EinsumDense", {
            "6d": (Tensor((2, 3, 2, 3, 4)), {"equation": "abcdef,fg->abcdeg", "output_shape": (2, 3, 2, 3, 5),
                                            "bias_axes": "g"}),
            "6d_heads": (Tensor((2, 3, 2, 4)), {"equation": "abcde,efg->abcdfg", "output_shape": (2, 3, 2, 2, 3)}),
            "6d_merge": (Tensor((2, 3, 2, 3, 4)), {"equation": "abcdef,efg->abcdg", "output_shape": (2, 3, 2, 5)}),
            "6d_turned": (Tensor((2, 3, 2, 4)), {"equation": "abcde,bfg->agfcde", "output_shape": (3, 2, 3, 2, 4)}),
            "kept_in_both": (Tensor((3, 2, 4)), {"equation": "abcd,bde->abce", "output_shape": (3, 2, 5)}),
            "free": (Tensor((None, 4, 6)), {"equation": "abcd,de->abce", "output_shape": (None, 4, 5)}),
            "6d_free": (Tensor((None, 3, 2, 4)), {"equation": "abcde,efg->abcdfg", "output_shape": (None, 3, 2, 2, 3)}),
            "summed": (_IMAGE, {"equation": "abcd,de->ace", "output_shape": (4, 5)}),
        }),
        *configs("EinsumDense", Tensor((2, 3, 2, 4)), {"6d_dynamic": {"equation": "abcde,efg->abcdfg",
                 "output_shape": (2, 3, 2, 2, 3)}}, **_DYNAMIC),
    ]  # fmt: skip


def _tokens(layers: Any, x: Any, layer: Any, **call: Any) -> Any:
    embedded = layers.Embedding(13, 6, mask_zero=True)(x)
    return layers.GlobalAveragePooling1D()(layer(embedded, embedded, **call))


def _spectra() -> list[Case]:
    short = {"frame_length": 64, "frame_step": 32, "fft_length": 64}
    mel = {"fft_length": 64, "sequence_stride": 32, "num_mel_bins": 12, "sampling_rate": 2000}
    sound, free = Tensor((400,), draw=between(-1, 1)), Tensor((None,), draw=lambda rng, shape: rng.uniform(
        -1, 1, (shape[0], 400)))  # fmt: skip
    channel = Tensor((400, 1), draw=between(-1, 1))
    first = Tensor((2, 400), draw=between(-1, 1))
    free_channel = Tensor((None, 1), draw=lambda rng, shape: rng.uniform(-1, 1, (shape[0], 400, 1)))
    return [
        *_each("STFTSpectrogram", {
            "angle": (channel, {**short, "mode": "angle"}), "free": (free_channel, {**short, "mode": "magnitude"}),
            "first": (first, {**short, "mode": "magnitude", "data_format": "channels_first"}),
            "first_expand": (first, {**short, "mode": "log", "data_format": "channels_first", "expand_dims": True}),
            "no_window": (channel, {**short, "mode": "psd", "window": None, "scaling": None}),
            "defaults": (Tensor((700, 1), draw=between(-1, 1)), {}),
        }),
        *configs("STFTSpectrogram", channel, {"dynamic": {**short, "mode": "magnitude"}}, **_DYNAMIC),
        *_each("MelSpectrogram", {
            "free": (free, mel), "odd_length": (sound, {**mel, "fft_length": 50}),
            "no_window": (sound, {**mel, "window": None}), "ref_power": (sound, {**mel, "ref_power": 2.0}),
            "defaults": (Tensor((4000,), draw=between(-1, 1)), {}),
        }),
        *configs("MelSpectrogram", sound, {"dynamic": mel}, **_DYNAMIC),
        *configs("MelSpectrogram", sound, {"mixed_float16": mel}, policy="mixed_float16"),
    ]  # fmt: skip


def _binned() -> list[Case]:
    bins = {"bin_boundaries": [-0.8, -0.1, 0.4, 1.2]}
    ids = Tensor((4,), "int32", whole(0, 5))
    return [
        *_each("Discretization", {
            "free": (Tensor((None,)), bins), "3d": (Tensor((2, 3, 2)), bins), "5d": (Tensor((2, 2, 3, 2)), bins),
            "uint8": (Tensor((3,), "uint8", whole(0, 3)), bins), "bool": (Tensor((3,), "bool"), bins),
            "int64": (Tensor((3,), "int64", whole(-3, 3)), bins), "scalar": (Tensor(()), bins),
            "float64": (Tensor((3,), "float64"), bins), "one_bin": (Tensor((3,)), {"bin_boundaries": [0.0]}),
            "one_hot_many": (Tensor((4,)), {**bins, "output_mode": "one_hot"}),
            "multi_hot_single": (Tensor((1,)), {**bins, "output_mode": "multi_hot"}),
        }),
        *configs("Discretization", Tensor((4,)), {"dynamic": {**bins, "output_mode": "count"}}, **_DYNAMIC),
        *_each("CategoryEncoding", {
            "scalar_one_hot": (Tensor((), "int32", whole(0, 5)), {"num_tokens": 6, "output_mode": "one_hot"}),
            "int64_count": (Tensor((4,), "int64", whole(0, 5)), {"num_tokens": 6, "output_mode": "count"}),
            "float": (Tensor((4,), "float32", whole(0, 5)), {"num_tokens": 6}),
            "uint8": (Tensor((4,), "uint8", whole(0, 5)), {"num_tokens": 6}),
            "square_one_hot": (Tensor((3, 4), "int32", whole(0, 5)), {"num_tokens": 6, "output_mode": "one_hot"}),
            "free": (Tensor((None,), "int32", whole(0, 5)), {"num_tokens": 6, "output_mode": "count"}),
        }),
        *configs("CategoryEncoding", ids, {"dynamic": {"num_tokens": 6, "output_mode": "count"}}, **_DYNAMIC),
        *configs("CategoryEncoding", ids, {"mixed_float16": {"num_tokens": 6}}, policy="mixed_float16"),
        one("IntegerLookup", "inside", Tensor((4,), draw=between(0, 20)), _looked_up),
        one("IntegerLookup", "inside_counted", Tensor((4,), draw=between(0, 20)), lambda layers, x: _looked_up(
            layers, x, output_mode="count")),
        one("IntegerLookup", "inside_three_oov", Tensor((4,), draw=between(0, 20)), lambda layers, x: _looked_up(
            layers, x, num_oov_indices=3, mask_token=9)),
        one("IntegerLookup", "inside_tf_idf", Tensor((4,), draw=between(0, 20)), lambda layers, x: _looked_up(
            layers, x, output_mode="tf_idf", idf_weights=[0.3, 0.5, 1.5])),
        one("IntegerLookup", "inside_invert", Tensor((4,), draw=between(0, 4)), lambda layers, x: _looked_up(
            layers, x, invert=True)),
        one("IntegerLookup", "of_bins", Tensor((4,)), lambda layers, x: layers.IntegerLookup(vocabulary=[1, 3])(
            layers.Discretization(**bins)(x))),
    ]  # fmt: skip


def _looked_up(layers: Any, x: Any, **more: Any) -> Any:
    import keras

    return layers.IntegerLookup(vocabulary=[10, 12, 15], **more)(keras.ops.cast(x, "int64"))


def _distributed() -> list[Case]:
    name = "TimeDistributed"
    steps, free = Tensor((7, 5)), Tensor((None, 5))
    images, free_images = Tensor((3, 8, 7, 2)), Tensor((None, 8, 7, 2))
    wrapped = lambda inner: lambda layers, x: layers.TimeDistributed(inner(layers))(x)  # noqa: E731 - a table of them
    return [
        one(name, "free_conv", free_images, wrapped(lambda layers: layers.Conv2D(3, 3))),
        one(name, "free_lstm", Tensor((None, 4, 5)), wrapped(lambda layers: layers.LSTM(3))),
        one(name, "free_pool", free_images, wrapped(lambda layers: layers.GlobalAveragePooling2D())),
        one(name, "free_masked", Tensor((None, 5), draw=lambda rng, shape: rng.normal(size=shape) * kept_steps(
            rng, shape[:2])[..., None]), lambda layers, x: layers.LSTM(3)(layers.TimeDistributed(layers.Dense(4))(
                layers.Masking()(x)))),
        one(name, "dynamic", steps, wrapped(lambda layers: layers.Dense(3)), **_DYNAMIC),
        one(name, "free_dynamic", free, wrapped(lambda layers: layers.Dense(3)), **_DYNAMIC),
        one(name, "embedding", Tensor((4, 3), "int32"), wrapped(lambda layers: layers.Embedding(10, 4))),
        one(name, "dropout", steps, wrapped(lambda layers: layers.Dropout(0.4))),
        one(name, "layer_norm", steps, wrapped(lambda layers: layers.LayerNormalization())),
        one(name, "group_norm", images, wrapped(lambda layers: layers.GroupNormalization(1))),
        one(name, "reshape", images, wrapped(lambda layers: layers.Reshape((56, 2)))),
        one(name, "nested", Tensor((2, 3, 4, 5)), wrapped(lambda layers: layers.TimeDistributed(layers.TimeDistributed(
            layers.Dense(3))))),
        one(name, "bidirectional", Tensor((3, 4, 5)), wrapped(lambda layers: layers.Bidirectional(layers.GRU(3)))),
        one(name, "mixed_float16", steps, wrapped(lambda layers: layers.Dense(3)), policy="mixed_float16"),
        one(name, "model", images, _distributed_model),
    ]  # fmt: skip


def _distributed_model(layers: Any, x: Any) -> Any:
    import keras

    inside = keras.Sequential([keras.Input((8, 7, 2)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(),
                               layers.Dense(3)])  # fmt: skip
    return layers.GRU(4)(layers.TimeDistributed(inside)(x))


def _shaped() -> list[Case]:
    return [
        *_each("Reshape", {
            "bool": (Tensor((4, 3), "bool"), {"target_shape": (12,)}), "uint8": (Tensor((4, 3), "uint8"), {
                "target_shape": (2, 6)}), "6d": (Tensor((24,)), {"target_shape": (2, 1, 3, 2, 2)}),
            "to_scalar": (Tensor((1,)), {"target_shape": ()}), "from_scalar": (Tensor(()), {"target_shape": (1, 1)}),
        }),
        *_each("Permute", {"6d": (Tensor((2, 3, 2, 3, 2)), {"dims": (5, 1, 4, 2, 3)}), "free": (_FREE, {
                           "dims": (2, 1)}),
                           "bool": (Tensor((4, 3), "bool"), {"dims": (2, 1)})}),
        *_each("RepeatVector", {"int32": (Tensor((5,), "int32"), {"n": 3}), "bool": (Tensor((5,), "bool"), {"n": 2})}),
        *_each("Flatten", {"free": (Tensor((None, 3)), {}), "6d": (Tensor((2, 3, 2, 3, 2)), {}),
                           "uint8": (Tensor((4, 3), "uint8"), {})}),
        *configs("Embedding", Tensor((), "int32"), {"scalar_dynamic": {"input_dim": 10, "output_dim": 4}}, **_DYNAMIC),
        *configs("Embedding", Tensor((2, 3, 2), "int32"), {"4d": {"input_dim": 10, "output_dim": 4}}),
        *(configs("Embedding", Tensor((5,), dtype, whole(0, 9)), {f"from_{dtype}": {"input_dim": 10,
                                                                                    "output_dim": 4}})[0]
          for dtype in ("int16", "uint16", "uint32", "float16", "float64", "bool")),
        one("Embedding", "free_masked_mean", Tensor((None,), "int32", tokens(9)), lambda layers, x:
            layers.GlobalAveragePooling1D()(layers.Embedding(10, 4, mask_zero=True)(x))),
        one("Masking", "free", Tensor((None, 3)), lambda layers, x: layers.Masking()(x)),
        one("Masking", "4d", Tensor((4, 3, 2)), lambda layers, x: layers.Masking()(x)),
        one("Masking", "gru_both_ways", Tensor((6, 3), draw=padded), lambda layers, x: layers.Bidirectional(
            layers.GRU(3))(layers.Masking()(x))),
        one("Softmax", "free", Tensor((None, 4)), lambda layers, x: layers.Softmax(axis=1)(x)),
        one("Softmax", "5d", _VOLUME, lambda layers, x: layers.Softmax(axis=(2, 4))(x)),
        *_each("PReLU", {"free_shared": (_FREE, {"shared_axes": [1]}), "5d": (_VOLUME, {}),
                         "5d_shared": (_VOLUME, {"shared_axes": [1, 2, 3]})}),
        one("Activation", "swish", _CUBE, lambda layers, x: layers.Activation("swish")(x)),
        one("Activation", "hard_swish", _CUBE, lambda layers, x: layers.Activation("hard_swish")(x)),
        one("Activation", "glu", _CUBE, lambda layers, x: layers.Activation("glu")(x)),
        one("Activation", "relu_int32", Tensor((4,), "int32", whole(-5, 5)), lambda layers, x: layers.Activation(
            "relu")(x)),
        one("Activation", "softmax_4d", _IMAGE, lambda layers, x: layers.Activation("softmax")(x)),
        one("Activation", "sparsemax_free", _FREE, lambda layers, x: layers.Activation("sparsemax")(x)),
        *configs("ReLU", Tensor((4,), "int32", whole(-5, 9)), {"int32": {"max_value": 6.0}}),
        *configs("ReLU", _CUBE, {"dynamic": {"negative_slope": 0.2}}, **_DYNAMIC),
    ]  # fmt: skip


def _operations() -> list[Case]:
    table = {
        "matmul": lambda ops, x: ops.matmul(x, ops.transpose(x, (0, 2, 1))), "add_scalar": lambda ops, x: x + 1.5,
        "clip": lambda ops, x: ops.clip(x, -0.5, 0.5), "argmax": lambda ops, x: ops.argmax(x, axis=-1),
        "top_k": lambda ops, x: list(ops.top_k(x, 2)), "sort": lambda ops, x: ops.sort(x, axis=-1),
        "cumsum": lambda ops, x: ops.cumsum(x, axis=1), "where": lambda ops, x: ops.where(x > 0, x, 0.1 * x),
        "norm": lambda ops, x: ops.norm(x, axis=-1), "variance": lambda ops, x: ops.var(x, axis=1),
        "logsumexp": lambda ops, x: ops.logsumexp(x, axis=-1), "flip": lambda ops, x: ops.flip(x, axis=1),
        "expm1": lambda ops, x: ops.expm1(x), "log1p": lambda ops, x: ops.log1p(ops.abs(x)),
        "erf": lambda ops, x: ops.erf(x), "round": lambda ops, x: ops.round(3 * x), "sign": lambda ops, x: ops.sign(x),
        "einsum": lambda ops, x: ops.einsum("abc,adc->abd", x, x), "split": lambda ops, x: ops.split(x, 2, axis=-1),
        "pad": lambda ops, x: ops.pad(x, ((0, 0), (1, 2), (0, 0))), "roll": lambda ops, x: ops.roll(x, 1, axis=1),
        "any": lambda ops, x: ops.any(x > 1, axis=-1), "atan2": lambda ops, x: ops.arctan2(x, 1 + ops.square(x)),
        "one_hot": lambda ops, x: ops.one_hot(ops.argmax(x, axis=-1), 6), "mod": lambda ops, x: ops.mod(x, 0.7),
        "floor_divide": lambda ops, x: ops.floor_divide(x, 0.7), "power": lambda ops, x: ops.power(ops.abs(x), 1.7),
        "tan": lambda ops, x: ops.tan(x), "sinh": lambda ops, x: ops.sinh(x), "arcsinh": lambda ops, x: ops.arcsinh(x),
        "argmin": lambda ops, x: ops.argmin(x, axis=1, keepdims=True), "cosh": lambda ops, x: ops.cosh(x),
        "digitize": lambda ops, x: ops.digitize(x, np.array([-0.5, 0.0, 0.5])),
        "arctanh": lambda ops, x: ops.arctanh(ops.tanh(x)), "arccosh": lambda ops, x: ops.arccosh(1 + ops.abs(x)),
        "median": lambda ops, x: ops.median(x, axis=-1),
        "rfft": lambda ops, x: list(ops.rfft(x)), "isnan": lambda ops, x: ops.isnan(x),
        "tril": lambda ops, x: ops.tril(x), "diff": lambda ops, x: ops.diff(x, axis=1),
        "moments": lambda ops, x: list(ops.moments(x, axes=[1])), "prod": lambda ops, x: ops.prod(x, axis=-1),
        "erfc": lambda ops, x: ops.erfc(x),
        "segment": lambda ops, x: ops.take(x, [0, 2, 1], axis=1), "repeat": lambda ops, x: ops.repeat(x, 2, axis=1),
        "outer": lambda ops, x: ops.expand_dims(x, -1) * ops.expand_dims(x, -2),
    }  # fmt: skip

    def recipe(operation: Any) -> Any:
        def run(_layers: Any, x: Any) -> Any:
            import keras

            return operation(keras.ops, x)

        return run

    return [one("Identity", f"ops_{name}", _CUBE, recipe(operation)) for name, operation in table.items()]
