"""LSTM, GRU and SimpleRNN: both directions, masks, states, activations, lengths."""

from collections.abc import Mapping
from typing import Any

from tests.conformance.making import Case, Recipe, Tensor, configs, one, padded, tokens

_STEPS = Tensor((7, 5))
_PADDED = Tensor((7, 5), draw=padded)
_TOKENS = Tensor((7,), "int32", tokens(12))

# case name -> (layer, arguments that make the variant)
_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "LSTM": ("LSTM", {}),
    "GRU": ("GRU", {}),
    "GRU_before": ("GRU", {"reset_after": False}),
    "SimpleRNN": ("SimpleRNN", {}),
}


def cases() -> list[Case]:
    """Every case of this family."""
    made = [case for kind in _KINDS for case in (*_plain(kind), *_masked(kind), *_stateful(kind))]
    return [*made, *_bidirectional(), *_models()]


def _named(kind: str, table: Mapping[str, Mapping[str, Any]], inputs: Tensor, **more: Any) -> list[Case]:
    """Cases of one kind; the variant's name leads the configuration's."""
    layer, variant = _KINDS[kind]
    prefix = kind.removeprefix(layer).lstrip("_")
    return configs(
        layer,
        inputs,
        {f"{prefix}_{name}".lstrip("_"): {"units": 4, **variant, **arguments} for name, arguments in table.items()},
        **more,
    )


def _plain(kind: str) -> list[Case]:
    gated = (
        {}
        if kind == "SimpleRNN"
        else {
            "hard_sigmoid": {"recurrent_activation": "hard_sigmoid"},
            "swapped": {"activation": "sigmoid", "recurrent_activation": "tanh", "return_sequences": True},
        }
    )
    table: dict[str, dict[str, Any]] = {
        "last": {},
        "sequences": {"return_sequences": True},
        "state": {"return_state": True},
        "sequences_state": {"return_sequences": True, "return_state": True},
        "backwards": {"go_backwards": True},
        "backwards_sequences": {"go_backwards": True, "return_sequences": True},
        "no_bias": {"use_bias": False},
        "relu": {"activation": "relu"},
        "softsign": {"activation": "softsign", "return_sequences": True},
        "gelu": {"activation": "gelu"},
        "unroll": {"unroll": True, "return_sequences": True},
        "dropout": {"dropout": 0.5, "recurrent_dropout": 0.5},
        **gated,
    }
    return [
        *_named(kind, table, _STEPS),
        *_named(kind, {"one_step": {"return_sequences": True}}, Tensor((1, 5))),
        *_named(kind, {"long": {}}, Tensor((60, 3))),
        *_named(kind, {"free": {}, "free_sequences": {"return_sequences": True}}, Tensor((None, 5))),
        *_named(kind, {"dynamic": {}}, _STEPS, options={"batch": "dynamic"}),
        *_named(kind, {"batch4": {}}, _STEPS, options={"batch": 4}),
        *_named(kind, {"mixed_float16": {}}, _STEPS, policy="mixed_float16"),
    ]


def _masked(kind: str) -> list[Case]:
    layer, variant = _KINDS[kind]
    prefix = f"{kind.removeprefix(layer).lstrip('_')}_".lstrip("_")

    def embedded(**arguments: Any) -> Recipe:
        return lambda layers, x: getattr(layers, layer)(4, **variant, **arguments)(
            layers.Embedding(13, 5, mask_zero=True)(x)
        )

    def masking(**arguments: Any) -> Recipe:
        return lambda layers, x: getattr(layers, layer)(4, **variant, **arguments)(layers.Masking()(x))

    return [
        one(layer, f"{prefix}mask_zero", _TOKENS, embedded()),
        one(layer, f"{prefix}mask_zero_sequences", _TOKENS, embedded(return_sequences=True)),
        one(layer, f"{prefix}mask_zero_backwards", _TOKENS, embedded(go_backwards=True)),
        one(
            layer,
            f"{prefix}mask_zero_backwards_sequences",
            _TOKENS,
            embedded(go_backwards=True, return_sequences=True, return_state=True),
        ),
        one(layer, f"{prefix}masking", _PADDED, masking()),
        one(layer, f"{prefix}masking_sequences_state", _PADDED, masking(return_sequences=True, return_state=True)),
        one(layer, f"{prefix}masking_unroll", _PADDED, masking(unroll=True)),
        one(layer, f"{prefix}masking_free", Tensor((None, 5), draw=padded), masking()),
        one(layer, f"{prefix}masking_long", Tensor((90, 5), draw=padded), masking(return_sequences=True)),
        one(
            layer,
            f"{prefix}masking_free_dynamic",
            Tensor((None, 5), draw=padded),
            masking(return_sequences=True),
            options={"batch": "dynamic"},
        ),
        one(
            layer,
            f"{prefix}stacked_masked",
            _TOKENS,
            lambda layers, x: getattr(layers, layer)(3, **variant)(embedded(return_sequences=True)(layers, x)),
        ),
    ]


def _stateful(kind: str) -> list[Case]:
    layer, variant = _KINDS[kind]
    prefix = f"{kind.removeprefix(layer).lstrip('_')}_".lstrip("_")
    states = 2 if layer == "LSTM" else 1

    def begun(layers: Any, x: Any, *state: Any) -> Any:
        made = getattr(layers, layer)(4, return_sequences=True, **variant)
        return made(x, initial_state=list(state) if states == 2 else state[0])

    def encoder(layers: Any, x: Any, y: Any) -> Any:
        _, *state = getattr(layers, layer)(4, return_state=True, **variant)(x)
        return getattr(layers, layer)(4, **variant)(y, initial_state=state if states == 2 else state[0])

    def stacked(layers: Any, x: Any) -> Any:
        return getattr(layers, layer)(3, **variant)(getattr(layers, layer)(4, return_sequences=True, **variant)(x))

    return [
        one(layer, f"{prefix}initial_state", (_STEPS, *[Tensor((4,))] * states), begun),
        one(layer, f"{prefix}encoder_decoder", (_STEPS, Tensor((5, 3))), encoder),
        one(layer, f"{prefix}stacked", _STEPS, stacked),
        one(
            layer,
            f"{prefix}stateful",
            _STEPS,
            lambda layers, x: getattr(layers, layer)(4, stateful=True, **variant)(x),
            fixed_batch=1,
            batches=(1, 1),
        ),
    ]


def _bidirectional() -> list[Case]:
    made = [
        one(
            "Bidirectional",
            f"{kind}_{mode}",
            _STEPS,
            lambda layers, x, k=kind, m=mode: layers.Bidirectional(
                _make(layers, k, return_sequences=True), merge_mode=m
            )(x),
        )
        for kind in _KINDS
        for mode in ("concat", "sum", "mul", "ave", None)
    ]
    for kind in _KINDS:
        made += [
            one(
                "Bidirectional",
                f"{kind}_last",
                _STEPS,
                lambda layers, x, k=kind: layers.Bidirectional(_make(layers, k))(x),
            ),
            one(
                "Bidirectional",
                f"{kind}_state",
                _STEPS,
                lambda layers, x, k=kind: layers.Bidirectional(_make(layers, k, return_state=True))(x),
            ),
            one(
                "Bidirectional",
                f"{kind}_masked",
                _TOKENS,
                lambda layers, x, k=kind: layers.Bidirectional(_make(layers, k))(
                    layers.Embedding(13, 5, mask_zero=True)(x)
                ),
            ),
            one(
                "Bidirectional",
                f"{kind}_masked_sequences",
                _PADDED,
                lambda layers, x, k=kind: layers.Bidirectional(_make(layers, k, return_sequences=True))(
                    layers.Masking()(x)
                ),
            ),
            one(
                "Bidirectional",
                f"{kind}_free",
                Tensor((None, 5)),
                lambda layers, x, k=kind: layers.Bidirectional(_make(layers, k, return_sequences=True))(x),
            ),
        ]
    return [
        *made,
        one(
            "Bidirectional",
            "backward_layer",
            _STEPS,
            lambda layers, x: layers.Bidirectional(layers.LSTM(4), backward_layer=layers.GRU(3, go_backwards=True))(x),
        ),
        one(
            "Bidirectional",
            "initial_state",
            (_STEPS, *[Tensor((4,))] * 4),
            lambda layers, x, *state: layers.Bidirectional(layers.LSTM(4))(x, initial_state=list(state)),
        ),
        one(
            "Bidirectional",
            "stacked",
            _STEPS,
            lambda layers, x: layers.Bidirectional(layers.GRU(3))(
                layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
            ),
        ),
        one(
            "Bidirectional",
            "rnn_cell",
            _STEPS,
            lambda layers, x: layers.Bidirectional(layers.RNN(layers.LSTMCell(4)))(x),
        ),
        one(
            "Bidirectional",
            "conv_lstm",
            Tensor((4, 6, 5, 2)),
            lambda layers, x: layers.Bidirectional(layers.ConvLSTM2D(3, 3))(x),
        ),
        one(
            "Bidirectional",
            "dynamic",
            _STEPS,
            lambda layers, x: layers.Bidirectional(layers.LSTM(4))(x),
            options={"batch": "dynamic"},
        ),
    ]


def _make(layers: Any, kind: str, **arguments: Any) -> Any:
    layer, variant = _KINDS[kind]
    return getattr(layers, layer)(4, **variant, **arguments)


def _models() -> list[Case]:
    return [
        one("LSTM", "shared", (_STEPS, _STEPS), _shared),
        one(
            "LSTM",
            "classifier",
            _TOKENS,
            lambda layers, x: layers.Dense(3, activation="softmax")(
                layers.Dropout(0.3)(layers.Bidirectional(layers.LSTM(4))(layers.Embedding(13, 6, mask_zero=True)(x)))
            ),
        ),
        one(
            "GRU",
            "keywords",
            Tensor((20, 6)),
            lambda layers, x: layers.Dense(4, activation="softmax")(
                layers.GRU(5)(layers.BatchNormalization()(layers.Conv1D(8, 3, strides=2, activation="relu")(x)))
            ),
        ),
        one("LSTM", "attention", _TOKENS, _attentive),
    ]


def _shared(layers: Any, a: Any, b: Any) -> Any:
    layer = layers.LSTM(4)
    return layers.Subtract()([layer(a), layer(b)])


def _attentive(layers: Any, x: Any) -> Any:
    states = layers.LSTM(4, return_sequences=True)(layers.Embedding(13, 5, mask_zero=True)(x))
    return layers.GlobalAveragePooling1D()(layers.Attention()([states, states]))
