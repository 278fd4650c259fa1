"""Attention of every kind: heads, groups, axes, causal and padding masks, scores."""

from typing import Any

from tests.conformance.making import Case, Recipe, Tensor, mask, one, tokens

_QUERY, _VALUE = Tensor((5, 6)), Tensor((7, 6))
_TOKENS = Tensor((6,), "int32", tokens(12))
_QUERY_MASK, _VALUE_MASK = Tensor((5,), "bool", mask), Tensor((7,), "bool", mask)


def cases() -> list[Case]:
    """Every case of this family."""
    return [*_multi_head(), *_grouped(), *_simple("Attention"), *_simple("AdditiveAttention"), *_models()]


def _self(layer: str, call: dict[str, Any] | None = None, **arguments: Any) -> Recipe:
    return lambda layers, x: getattr(layers, layer)(**arguments)(x, x, **(call or {}))


def _cross(layer: str, call: dict[str, Any] | None = None, **arguments: Any) -> Recipe:
    return lambda layers, x, y: getattr(layers, layer)(**arguments)(x, y, **(call or {}))


def _multi_head() -> list[Case]:
    name, heads = "MultiHeadAttention", {"num_heads": 2, "key_dim": 3}
    image, volume = Tensor((4, 5, 6)), Tensor((3, 2, 4, 6))
    causal, scores = {"use_causal_mask": True}, {"return_attention_scores": True}
    made = [
        ("self", _QUERY, _self(name, **heads)),
        ("one_head", _QUERY, _self(name, num_heads=1, key_dim=4)),
        ("causal", _QUERY, _self(name, causal, **heads)),
        ("scores", _QUERY, _self(name, scores, **heads)),
        ("no_bias", _QUERY, _self(name, **heads, use_bias=False)),
        ("value_dim", _QUERY, _self(name, **heads, value_dim=4)),
        ("output_shape", _QUERY, _self(name, **heads, output_shape=5)),
        ("output_shape_2d", _QUERY, _self(name, **heads, output_shape=(2, 3))),
        ("sliding_window", _QUERY, _self(name, **heads, sliding_window=2)),
        ("sliding_causal", _QUERY, _self(name, causal, **heads, sliding_window=2)),
        ("gate", _QUERY, _self(name, **heads, use_gate=True)),
        ("no_flash", _QUERY, _self(name, **heads, flash_attention=False)),
        ("dropout", _QUERY, _self(name, **heads, dropout=0.5)),
        ("free", Tensor((None, 6)), _self(name, **heads)),
        ("free_causal", Tensor((None, 6)), _self(name, causal, **heads)),
        ("axis_1", image, _self(name, **heads, attention_axes=1)),
        ("axis_2", image, _self(name, **heads, attention_axes=(2,))),
        ("axes_1_2", image, _self(name, **heads, attention_axes=(1, 2))),
        ("axes_default_4d", image, _self(name, **heads)),
        ("axes_1_2_scores", image, _self(name, scores, **heads, attention_axes=(1, 2))),
        ("axes_2_3", volume, _self(name, **heads, attention_axes=(2, 3))),
        ("axes_1_3", volume, _self(name, **heads, attention_axes=(1, 3))),
        ("cross", (_QUERY, _VALUE), _cross(name, **heads)),
        ("cross_scores", (_QUERY, _VALUE), _cross(name, scores, **heads)),
        ("cross_causal", (_QUERY, _VALUE), _cross(name, causal, **heads)),
        ("key", (_QUERY, _VALUE, Tensor((7, 4))), lambda layers, x, y, z: layers.MultiHeadAttention(2, 3)(x, y, z)),
        (
            "attention_mask",
            (_QUERY, _VALUE, Tensor((5, 7), "bool", mask)),
            lambda layers, x, y, m: layers.MultiHeadAttention(2, 3)(x, y, attention_mask=m),
        ),
        (
            "value_mask",
            (_QUERY, _VALUE, _VALUE_MASK),
            lambda layers, x, y, m: layers.MultiHeadAttention(2, 3)(x, y, value_mask=m),
        ),
        (
            "query_mask",
            (_QUERY, _VALUE, _QUERY_MASK),
            lambda layers, x, y, m: layers.MultiHeadAttention(2, 3)(x, y, query_mask=m),
        ),
        (
            "mask_causal",
            (_QUERY, Tensor((5, 5), "bool", mask)),
            lambda layers, x, m: layers.MultiHeadAttention(2, 3)(x, x, attention_mask=m, use_causal_mask=True),
        ),
        ("mask_zero", _TOKENS, _embedded(name, **heads)),
        ("mask_zero_causal", _TOKENS, _embedded(name, causal, **heads)),
    ]
    return [
        *(one(name, config, inputs, recipe) for config, inputs, recipe in made),
        one(name, "mixed_float16", _QUERY, _self(name, **heads), policy="mixed_float16"),
        one(name, "dynamic", _QUERY, _self(name, **heads), options={"batch": "dynamic"}),
    ]


def _embedded(layer: str, call: dict[str, Any] | None = None, **arguments: Any) -> Recipe:
    def recipe(layers: Any, x: Any) -> Any:
        embedded = layers.Embedding(13, 6, mask_zero=True)(x)
        return getattr(layers, layer)(**arguments)(embedded, embedded, **(call or {}))

    return recipe


def _grouped() -> list[Case]:
    name, heads = "GroupQueryAttention", {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}
    causal, scores = {"use_causal_mask": True}, {"return_attention_scores": True}
    made = [
        ("self", _QUERY, _self(name, **heads)),
        ("multi_query", _QUERY, _self(name, head_dim=3, num_query_heads=4, num_key_value_heads=1)),
        ("all_heads", _QUERY, _self(name, head_dim=3, num_query_heads=2, num_key_value_heads=2)),
        ("causal", _QUERY, _self(name, causal, **heads)),
        ("scores", _QUERY, _self(name, scores, **heads)),
        ("no_bias", _QUERY, _self(name, **heads, use_bias=False)),
        ("gate", _QUERY, _self(name, **heads, use_gate=True)),
        ("sliding_window", _QUERY, _self(name, **heads, sliding_window=2)),
        ("cross", (_QUERY, _VALUE), _cross(name, **heads)),
        ("free", Tensor((None, 6)), _self(name, **heads)),
        (
            "attention_mask",
            (_QUERY, _VALUE, Tensor((5, 7), "bool", mask)),
            lambda layers, x, y, m: layers.GroupQueryAttention(**heads)(x, y, attention_mask=m),
        ),
        (
            "value_mask",
            (_QUERY, _VALUE, _VALUE_MASK),
            lambda layers, x, y, m: layers.GroupQueryAttention(**heads)(x, y, value_mask=m),
        ),
        ("mask_zero", _TOKENS, _embedded(name, **heads)),
    ]
    return [one(name, config, inputs, recipe) for config, inputs, recipe in made]


def _simple(name: str) -> list[Case]:
    own: list[tuple[str, dict[str, Any]]] = (
        [
            ("scale", {"use_scale": True}),
            ("concat", {"score_mode": "concat"}),
            ("concat_scale", {"score_mode": "concat", "use_scale": True}),
        ]
        if name == "Attention"
        else [("no_scale", {"use_scale": False})]
    )

    def plain(call: dict[str, Any] | None = None, **arguments: Any) -> Recipe:
        return lambda layers, x, y: getattr(layers, name)(**arguments)([x, y], **(call or {}))

    def masked(layers: Any, x: Any, y: Any, m: Any, n: Any, **call: Any) -> Any:
        return getattr(layers, name)()([x, y], mask=[m, n], **call)

    def both(layers: Any, x: Any, y: Any) -> Any:
        embedding = layers.Embedding(13, 6, mask_zero=True)
        return getattr(layers, name)()([embedding(x), embedding(y)])

    masks = (_QUERY, _VALUE, _QUERY_MASK, _VALUE_MASK)
    return [
        one(name, "default", (_QUERY, _VALUE), plain()),
        *(one(name, config, (_QUERY, _VALUE), plain(**arguments)) for config, arguments in own),
        one(name, "causal", (_QUERY, _VALUE), plain({"use_causal_mask": True})),
        one(name, "scores", (_QUERY, _VALUE), plain({"return_attention_scores": True})),
        one(name, "key", (_QUERY, Tensor((7, 4)), _VALUE), lambda layers, x, y, z: getattr(layers, name)()([x, y, z])),
        one(name, "masks", masks, masked),
        one(name, "masks_causal", masks, lambda *a: masked(*a, use_causal_mask=True)),
        one(
            name,
            "value_mask",
            masks[:2] + masks[3:],
            lambda layers, x, y, n: getattr(layers, name)()([x, y], mask=[None, n]),
        ),
        one(name, "mask_zero", (_TOKENS, _TOKENS), both),
        one(name, "free", (Tensor((None, 6)), Tensor((None, 6))), plain()),
    ]


def _models() -> list[Case]:
    return [
        one("MultiHeadAttention", "transformer", _TOKENS, lambda layers, x: _transformer(layers, x, causal=False)),
        one("MultiHeadAttention", "decoder", _TOKENS, lambda layers, x: _transformer(layers, x, causal=True)),
    ]


def _transformer(layers: Any, x: Any, *, causal: bool) -> Any:
    embedded = layers.Embedding(13, 6, mask_zero=True)(x)
    attended = layers.MultiHeadAttention(2, 3)(embedded, embedded, use_causal_mask=causal)
    attended = layers.LayerNormalization()(layers.Add()([embedded, attended]))
    inner = layers.Dense(6)(layers.Dense(12, activation="gelu")(attended))
    return layers.Dense(3)(
        layers.GlobalAveragePooling1D()(layers.LayerNormalization()(layers.Add()([attended, inner])))
    )
