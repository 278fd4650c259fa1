"""Cells, stacks of cells, layers over each step, and convolutional recurrence."""

from typing import Any

from tests.conformance.making import Case, Tensor, configs, mask, one, padded

_STEPS = Tensor((7, 5))
_PADDED = Tensor((7, 5), draw=padded)


def cases() -> list[Case]:
    """Every case of this family."""
    return [*_cells(), *_distributed(), *_convolutional()]


def _cells() -> list[Case]:
    made = []
    for cell in ("LSTMCell", "GRUCell", "SimpleRNNCell"):
        made += [
            one(cell, "last", _STEPS, lambda layers, x, c=cell: layers.RNN(getattr(layers, c)(4))(x)),
            one(
                cell,
                "sequences_backwards",
                _STEPS,
                lambda layers, x, c=cell: layers.RNN(getattr(layers, c)(4), return_sequences=True, go_backwards=True)(
                    x
                ),
            ),
            one(
                cell,
                "masked",
                _PADDED,
                lambda layers, x, c=cell: layers.RNN(getattr(layers, c)(4), return_sequences=True)(layers.Masking()(x)),
            ),
            one(
                cell,
                "one_step",
                (Tensor((5,)), *[Tensor((4,))] * (2 if cell == "LSTMCell" else 1)),
                lambda layers, x, *state, c=cell: getattr(layers, c)(4)(x, list(state))[0],
            ),
        ]
    return [
        *made,
        one("GRUCell", "reset_before", _STEPS, lambda layers, x: layers.RNN(layers.GRUCell(4, reset_after=False))(x)),
        one("RNN", "two_cells", _STEPS, lambda layers, x: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)])(x)),
        one("RNN", "return_state", _STEPS, lambda layers, x: layers.RNN(layers.LSTMCell(4), return_state=True)(x)),
        one("RNN", "unroll", _STEPS, lambda layers, x: layers.RNN(layers.GRUCell(4), unroll=True)(x)),
        one(
            "RNN",
            "zero_output_for_mask",
            _PADDED,
            lambda layers, x: layers.RNN(layers.SimpleRNNCell(4), return_sequences=True, zero_output_for_mask=True)(
                layers.Masking()(x)
            ),
        ),
        one(
            "RNN",
            "zero_output_initial_state",
            (_PADDED, Tensor((4,))),
            lambda layers, x, h: layers.RNN(layers.GRUCell(4), return_state=True, zero_output_for_mask=True)(
                layers.Masking()(x), initial_state=h
            ),
        ),
        one(
            "RNN",
            "mask_input",
            (_STEPS, Tensor((7,), "bool", mask)),
            lambda layers, x, m: layers.RNN(layers.LSTMCell(4), go_backwards=True, return_sequences=True)(x, mask=m),
        ),
        one(
            "RNN",
            "long_backwards",
            Tensor((90, 3)),
            lambda layers, x: layers.RNN(
                layers.GRUCell(4, reset_after=False), go_backwards=True, return_sequences=True, return_state=True
            )(x),
        ),
        one("RNN", "free", Tensor((None, 5)), lambda layers, x: layers.RNN(layers.LSTMCell(4))(x)),
        one(
            "StackedRNNCells",
            "lstm_lstm",
            _STEPS,
            lambda layers, x: layers.RNN(
                layers.StackedRNNCells([layers.LSTMCell(4), layers.LSTMCell(3)]), return_sequences=True
            )(x),
        ),
        one(
            "StackedRNNCells",
            "mixed",
            _STEPS,
            lambda layers, x: layers.RNN(
                layers.StackedRNNCells([layers.GRUCell(4), layers.SimpleRNNCell(3)]), return_state=True
            )(x),
        ),
        one(
            "StackedRNNCells",
            "masked",
            _PADDED,
            lambda layers, x: layers.RNN(layers.StackedRNNCells([layers.LSTMCell(4), layers.GRUCell(3)]))(
                layers.Masking()(x)
            ),
        ),
    ]


def _distributed() -> list[Case]:
    images = Tensor((3, 8, 7, 2))
    return [
        one("TimeDistributed", "dense", _STEPS, lambda layers, x: layers.TimeDistributed(layers.Dense(4))(x)),
        one("TimeDistributed", "conv", images, lambda layers, x: layers.TimeDistributed(layers.Conv2D(4, 3))(x)),
        one(
            "TimeDistributed",
            "pool_flatten",
            images,
            lambda layers, x: layers.TimeDistributed(layers.Flatten())(
                layers.TimeDistributed(layers.MaxPooling2D())(x)
            ),
        ),
        one(
            "TimeDistributed", "norm", _STEPS, lambda layers, x: layers.TimeDistributed(layers.BatchNormalization())(x)
        ),
        one("TimeDistributed", "lstm", Tensor((3, 5, 4)), lambda layers, x: layers.TimeDistributed(layers.LSTM(3))(x)),
        one("TimeDistributed", "free", Tensor((None, 5)), lambda layers, x: layers.TimeDistributed(layers.Dense(4))(x)),
        one(
            "TimeDistributed",
            "masked",
            _PADDED,
            lambda layers, x: layers.LSTM(3)(layers.TimeDistributed(layers.Dense(4))(layers.Masking()(x))),
        ),
        one(
            "TimeDistributed",
            "conv_lstm",
            images,
            lambda layers, x: layers.LSTM(4)(
                layers.TimeDistributed(layers.GlobalAveragePooling2D())(layers.TimeDistributed(layers.Conv2D(4, 3))(x))
            ),
        ),
    ]


def _convolutional() -> list[Case]:
    base = {"filters": 3, "kernel_size": 3}
    table: dict[str, dict[str, Any]] = {
        "last": base,
        "sequences": {**base, "return_sequences": True},
        "state": {**base, "return_state": True},
        "same": {**base, "padding": "same", "return_sequences": True},
        "strides": {**base, "strides": 2},
        "backwards": {**base, "go_backwards": True, "return_sequences": True},
        "dilation": {**base, "dilation_rate": 2},
        "no_bias": {**base, "use_bias": False},
        "hard_sigmoid": {**base, "recurrent_activation": "hard_sigmoid", "activation": "relu"},
    }
    first = {"first": {**base, "data_format": "channels_first"}}
    return [
        *configs("ConvLSTM1D", Tensor((4, 9, 2)), table),
        *configs("ConvLSTM2D", Tensor((4, 9, 8, 2)), table),
        *configs("ConvLSTM3D", Tensor((3, 6, 7, 5, 2)), table),
        *configs("ConvLSTM2D", Tensor((4, 2, 9, 8)), first),
        *configs("ConvLSTM2D", Tensor((None, 9, 8, 2)), {"free": base}),
        *configs("ConvLSTM2D", Tensor((4, 9, 8, 2)), {"dynamic": base}, options={"batch": "dynamic"}),
        one(
            "ConvLSTM2D",
            "masked",
            (Tensor((4, 6, 5, 2)), Tensor((4,), "bool", mask)),
            lambda layers, x, m: layers.ConvLSTM2D(3, 3, return_sequences=True)(x, mask=m),
        ),
    ]
