"""Dense and its kin, embeddings, activations, and what vanishes at inference."""

from tests.conformance.making import Case, Tensor, between, configs, mask, one, padded, tokens, whole

_ACTIVATIONS = (
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "tanh",
    "tanh_shrink",
)


def cases() -> list[Case]:
    """Every case of this family."""
    return [*_dense(), *_einsum(), *_embedding(), *_activations(), *_vanishing(), *_masking()]


def _dense() -> list[Case]:
    plain = {"units": 5}
    return [
        *configs(
            "Dense",
            Tensor((6,)),
            {
                "2d": plain,
                "no_bias": {"units": 5, "use_bias": False},
                "relu": {"units": 5, "activation": "relu"},
                "gelu": {"units": 5, "activation": "gelu"},
                "softmax": {"units": 5, "activation": "softmax"},
                "tanh": {"units": 5, "activation": "tanh"},
                "one_unit": {"units": 1, "activation": "sigmoid"},
                "lora": {"units": 5, "lora_rank": 2},
                "float64": {"units": 5, "dtype": "float64"},
            },
        ),
        *configs("Dense", Tensor((4, 6)), {"3d": plain, "3d_softmax": {"units": 5, "activation": "softmax"}}),
        *configs("Dense", Tensor((3, 4, 6)), {"4d": plain}),
        *configs("Dense", Tensor((2, 3, 4, 6)), {"5d": plain}),
        *configs("Dense", Tensor((None, 6)), {"3d_free": plain}),
        *configs("Dense", Tensor((6,), "int32"), {"int32": plain}),
        *configs("Dense", Tensor((6,), "uint8"), {"uint8": plain}),
        *configs("Dense", Tensor((6,), "bool"), {"bool": plain}),
        *configs("Dense", Tensor((6,)), {"mixed_float16": plain}, policy="mixed_float16"),
        *configs("Dense", Tensor((6,), "float16"), {"float16": plain}, policy="float16"),
        *configs("Dense", Tensor((6,)), {"dynamic": plain}, options={"batch": "dynamic"}),
        *configs("Dense", Tensor((6,)), {"batch2": plain}, options={"batch": 2}),
        *configs("Dense", Tensor((6,)), {"fixed_batch": plain}, fixed_batch=3, batches=(3,)),
    ]


def _einsum() -> list[Case]:
    flat, cube, high = Tensor((6,)), Tensor((4, 6)), Tensor((3, 4, 6))
    return [
        *configs("EinsumDense", flat, {"ab_bc": {"equation": "ab,bc->ac", "output_shape": 5, "bias_axes": "c"}}),
        *configs(
            "EinsumDense",
            cube,
            {
                "abc_cd": {"equation": "abc,cd->abd", "output_shape": (None, 5), "bias_axes": "d"},
                "ellipsis": {"equation": "...x,xy->...y", "output_shape": 5, "bias_axes": "y"},
                "heads": {"equation": "abc,cde->abde", "output_shape": (None, 2, 3), "bias_axes": "de"},
                "time": {"equation": "abc,bd->adc", "output_shape": (5, 6)},
                "bias_two": {"equation": "abc,cd->abd", "output_shape": (4, 5), "bias_axes": "bd"},
                "relu": {"equation": "abc,cd->abd", "output_shape": (None, 5), "activation": "relu"},
                "all": {"equation": "abc,bcd->ad", "output_shape": 5, "bias_axes": "d"},
                "swapped": {"equation": "abc,cd->adb", "output_shape": (5, 4)},
            },
        ),
        *configs(
            "EinsumDense",
            high,
            {
                "4d": {"equation": "abcd,de->abce", "output_shape": (None, None, 5), "bias_axes": "e"},
                "4d_merge": {"equation": "abcd,cde->abe", "output_shape": (None, 5), "bias_axes": "e"},
                "4d_middle": {"equation": "abcd,be->aecd", "output_shape": (5, 4, 6)},
            },
        ),
    ]


def _embedding() -> list[Case]:
    table = {"input_dim": 10, "output_dim": 4}
    made = [
        *(
            configs("Embedding", Tensor((5,), dtype, whole(0, 9)), {dtype: table})
            for dtype in ("int32", "int64", "uint8", "int8", "float32")
        ),
        configs("Embedding", Tensor((3, 4), "int32"), {"2d": table}),
        configs("Embedding", Tensor((), "int32"), {"scalar": table}),
        configs("Embedding", Tensor((None,), "int32"), {"free": table}),
        configs("Embedding", Tensor((5,), "int32", tokens(9)), {"mask_zero": {**table, "mask_zero": True}}),
        configs("Embedding", Tensor((5,), "int32"), {"lora": {**table, "lora_rank": 2}}),
        configs("Embedding", Tensor((5,), "int32"), {"mixed_float16": table}, policy="mixed_float16"),
        configs("ReversibleEmbedding", Tensor((5,), "int32"), {"forward": table}),
    ]
    return [
        *(case for some in made for case in some),
        one("ReversibleEmbedding", "tied", Tensor((5,), "int32"), _round_trip),
        one(
            "ReversibleEmbedding", "untied", Tensor((5,), "int32"), lambda layers, x: _round_trip(layers, x, tie=False)
        ),
        one("ReversibleEmbedding", "cap", Tensor((5,), "int32"), lambda layers, x: _round_trip(layers, x, cap=2.0)),
        one(
            "Embedding",
            "mean_masked",
            Tensor((5,), "int32", tokens(9)),
            lambda layers, x: layers.GlobalAveragePooling1D()(layers.Embedding(10, 4, mask_zero=True)(x)),
        ),
    ]


def _round_trip(layers, x, tie=True, cap=None):  # type: ignore[no-untyped-def]
    layer = layers.ReversibleEmbedding(10, 4, tie_weights=tie, logit_soft_cap=cap)
    return layer(layers.Dense(4, activation="tanh")(layer(x)), reverse=True)


def _activations() -> list[Case]:
    cube = Tensor((4, 6))
    return [
        *(one("Activation", name, cube, lambda layers, x, n=name: layers.Activation(n)(x)) for name in _ACTIVATIONS),
        *configs("Activation", Tensor((4, 6)), {"gelu_half": {"activation": "gelu"}}, policy="mixed_float16"),
        *configs("ELU", cube, {"default": {}, "alpha": {"alpha": 0.4}}),
        *configs("LeakyReLU", cube, {"default": {}, "slope": {"negative_slope": 0.1}}),
        *configs(
            "ReLU",
            cube,
            {
                "default": {},
                "six": {"max_value": 6.0},
                "max": {"max_value": 0.7},
                "slope": {"negative_slope": 0.2},
                "threshold": {"threshold": 0.5},
                "all": {"max_value": 1.0, "negative_slope": 0.2, "threshold": 0.5},
            },
        ),
        *configs("PReLU", Tensor((5, 4, 3)), {"4d": {}, "shared": {"shared_axes": (1, 2)}}),
        *configs("PReLU", cube, {"3d": {}, "3d_shared": {"shared_axes": [1]}}),
        *configs("PReLU", Tensor((6,)), {"2d": {}}),
        *configs(
            "Softmax",
            Tensor((3, 4, 5)),
            {
                "last": {},
                "first": {"axis": 1},
                "middle": {"axis": -2},
                "two_axes": {"axis": (1, 2)},
                "all_axes": {"axis": (1, 2, 3)},
            },
        ),
        *configs("Softmax", Tensor((6,)), {"2d": {}}),
        one(
            "Softmax", "masked", (cube, Tensor((4, 6), "bool", mask)), lambda layers, x, m: layers.Softmax()(x, mask=m)
        ),
        one(
            "Softmax",
            "masked_axis",
            (cube, Tensor((4, 6), "bool", mask)),
            lambda layers, x, m: layers.Softmax(axis=(1, 2))(x, mask=m),
        ),
    ]


def _vanishing() -> list[Case]:
    cube, image, volume = Tensor((4, 6)), Tensor((5, 4, 3)), Tensor((4, 5, 3, 2))
    return [
        *configs("Dropout", cube, {"default": {"rate": 0.5}, "shape": {"rate": 0.5, "noise_shape": (None, 1, 6)}}),
        *configs("AlphaDropout", cube, {"default": {"rate": 0.5}}),
        *configs("GaussianDropout", cube, {"default": {"rate": 0.5}}),
        *configs("GaussianNoise", cube, {"default": {"stddev": 0.5}}),
        *configs("SpatialDropout1D", cube, {"default": {"rate": 0.5}}),
        *configs("SpatialDropout2D", image, {"default": {"rate": 0.5}}),
        *configs("SpatialDropout3D", volume, {"default": {"rate": 0.5}}),
        *configs("ActivityRegularization", cube, {"default": {"l1": 0.1, "l2": 0.1}}),
        *configs("Identity", cube, {"float32": {}}),
        *configs("Identity", Tensor((4,), "int32"), {"int32": {}}),
        *configs("Identity", Tensor((4,), "bool"), {"bool": {}}),
        one("Dropout", "between", cube, lambda layers, x: layers.Dense(3)(layers.Dropout(0.4)(layers.Dense(8)(x)))),
        one("GaussianNoise", "between", cube, lambda layers, x: layers.Dense(3)(layers.GaussianNoise(0.4)(x))),
        one("InputLayer", "two_used_twice", (cube, cube), lambda layers, a, b: [layers.Add()([a, b]), a]),
    ]


def _masking() -> list[Case]:
    steps = Tensor((6, 3), draw=padded)
    return [
        *configs("Masking", steps, {"default": {}}),
        *configs("Masking", Tensor((6, 3), draw=between(-1, 1)), {"value": {"mask_value": -1.0}}),
        one("Masking", "average", steps, lambda layers, x: layers.GlobalAveragePooling1D()(layers.Masking()(x))),
        one(
            "Masking",
            "dense_average",
            steps,
            lambda layers, x: layers.GlobalAveragePooling1D()(layers.Dense(4, activation="relu")(layers.Masking()(x))),
        ),
        one(
            "Masking",
            "softmax_gate",
            steps,
            lambda layers, x: layers.Multiply()([layers.Masking()(x), layers.Softmax(axis=1)(layers.Dense(1)(x))]),
        ),
    ]
