"""Models made and saved by Keras 2 (the package tf-keras), with its own answers; run in a process of its own.

    python -m tests.convert.keras2_models FOLDER

writes for each model NAME.h5 and NAME.keras, and NAME.npz with inputs `in_0`, … and outputs `out_0`, … in flat order.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

MODELS: dict[str, Callable[[Any, Any], Any]] = {}
CUDNN = frozenset({"cudnn lstm", "cudnn gru", "cudnn bidirectional"})  # tf-keras cannot run them without a GPU
H5_ONLY = CUDNN | {"ellipsis"}  # tf-keras cannot write these to .keras
CUSTOM = {"layer of the user s": ["tests.convert.own_layers:Shifted"]}
KERAS_ONLY = frozenset({"text"})  # nor these to .h5


def model(make: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Enter a function (keras, layers) → model into the list, under its own name in words."""
    MODELS[make.__name__.replace("_", " ")] = make
    return make


@model
def dense(keras: Any, layers: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((8,), name="x"),
            layers.Dense(
                16, "relu", kernel_regularizer="l2", bias_constraint="non_neg", kernel_initializer="he_normal"
            ),
            layers.Dropout(0.5, noise_shape=(None, 16)),
            layers.Dense(3, "softmax", name="y"),
        ]
    )


@model
def every_activation(keras: Any, layers: Any) -> Any:
    x = keras.Input((12,), name="x")
    names = ("elu", "exponential", "gelu", "hard_sigmoid", "linear", "mish", "relu", "selu", "sigmoid", "softmax",
             "softplus", "softsign", "swish", "tanh")  # fmt: skip
    outputs = [layers.Dense(3, activation=name, name=f"dense_{name}")(x) for name in names]
    outputs += [layers.Activation(name, name=f"only_{name}")(x) for name in names]
    outputs += [
        layers.LeakyReLU(0.2)(x), layers.ELU(0.7)(x), layers.PReLU()(x), layers.ReLU(1.5, 0.1, 0.2)(x),
        layers.ThresholdedReLU(0.4)(x), layers.Softmax(axis=-1)(x),
        layers.Dense(4, activation=layers.LeakyReLU(0.4))(x),
    ]  # fmt: skip
    return keras.Model(x, outputs)


@model
def convolutions(keras: Any, layers: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((16, 16, 3), name="image"),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="hard_sigmoid"),
            layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
            layers.SeparableConv2D(6, 3, padding="same"),
            layers.BatchNormalization(),
            layers.SpatialDropout2D(0.3),
            layers.Conv2DTranspose(5, 3, strides=2),
            layers.Conv2D(10, 3, groups=5, dilation_rate=2),
            layers.UpSampling2D(2, interpolation="bilinear"),
            layers.MaxPooling2D(),
            layers.AveragePooling2D(2, padding="same"),
            layers.ZeroPadding2D(((1, 0), (0, 1))),
            layers.Cropping2D(1),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )


@model
def sequences_of_convolutions(keras: Any, layers: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((20, 4), name="series"),
            layers.Conv1D(8, 5, padding="causal", dilation_rate=2, activation="swish"),
            layers.SpatialDropout1D(0.2),
            layers.SeparableConv1D(6, 3),
            layers.DepthwiseConv1D(3),
            layers.Conv1DTranspose(5, 2, strides=2),
            layers.UpSampling1D(2),
            layers.ZeroPadding1D(1),
            layers.Cropping1D((1, 2)),
            layers.LayerNormalization(),
            layers.MaxPooling1D(2),
            layers.GlobalAveragePooling1D(),
        ]
    )


@model
def pooled(keras: Any, layers: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((12, 12, 2), name="image"),
            layers.Conv2D(4, 3, padding="same", use_bias=False),
            layers.BatchNormalization(scale=False),
            layers.LeakyReLU(0.1),
            layers.AveragePooling2D(3, strides=2, padding="same"),
            layers.UpSampling2D((2, 1)),
            layers.GlobalMaxPooling2D(),
            layers.Dense(2, "sigmoid"),
        ]
    )


@model
def volumes(keras: Any, layers: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((6, 6, 6, 2), name="volume"),
            layers.Conv3D(4, 2),
            layers.Conv3DTranspose(3, 2),
            layers.SpatialDropout3D(0.1),
            layers.AveragePooling3D(),
            layers.UpSampling3D(2),
            layers.GlobalMaxPooling3D(),
        ]
    )


@model
def lstm(keras: Any, layers: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((10, 5), name="series"),
            layers.LSTM(8, return_sequences=True, recurrent_activation="hard_sigmoid", implementation=1),
            layers.LSTM(6, recurrent_dropout=0.1, activation="relu", unit_forget_bias=False),
        ]
    )


@model
def gru_with_both_resets(keras: Any, layers: Any) -> Any:
    x = keras.Input((9, 4), name="series")
    after = layers.GRU(6, reset_after=True, return_sequences=True)(x)
    before = layers.GRU(6, reset_after=False, recurrent_activation="hard_sigmoid", go_backwards=True)(after)
    return keras.Model(x, [before, layers.SimpleRNN(3)(after)])


@model
def bidirectional(keras: Any, layers: Any) -> Any:
    x = keras.Input((7, 3), name="series")
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid"))(x)
    z = layers.Bidirectional(layers.GRU(5), backward_layer=layers.GRU(5, go_backwards=True), merge_mode="sum")(y)
    return keras.Model(x, z)


@model
def words_with_mask(keras: Any, layers: Any) -> Any:
    words = keras.Input((12,), dtype="int32", name="words")
    x = layers.Embedding(50, 8, mask_zero=True, input_length=12)(words)
    x = layers.Dropout(0.1)(x)
    x = layers.LSTM(7, return_sequences=True)(x)
    x = layers.TimeDistributed(layers.Dense(6, "relu"))(x)
    return keras.Model(words, [layers.Bidirectional(layers.GRU(3))(x), layers.GlobalAveragePooling1D()(x)])


@model
def mask_that_ends_at_an_operation(keras: Any, layers: Any) -> Any:
    import tensorflow as tf

    words = keras.Input((12,), dtype="int32", name="words")
    x = layers.Embedding(50, 8, mask_zero=True)(words)
    return keras.Model(
        words, [layers.GRU(4)(x * 2.0), layers.GRU(4)(layers.Rescaling(0.5)(x)), layers.LSTM(3)(tf.nn.relu(x))]
    )


@model
def masked_series(keras: Any, layers: Any) -> Any:
    x = keras.Input((8, 3), name="series")
    y = layers.Masking(0.0)(x)
    first, second = layers.GRU(4, return_sequences=True)(y), layers.LSTM(4, return_sequences=True)(y)
    merged = layers.Concatenate()([layers.Add()([first, second]), layers.Multiply()([first, second])])
    return keras.Model(x, [layers.GRU(3)(merged), layers.LayerNormalization()(merged)])


@model
def masks_that_differ(keras: Any, layers: Any) -> Any:
    words, more = keras.Input((12,), dtype="int32", name="words"), keras.Input((12,), dtype="int32", name="more")
    both = [layers.Embedding(5, 4, mask_zero=True)(words), layers.Embedding(5, 4, mask_zero=True)(more)]
    one = [both[0], layers.Embedding(5, 4)(more)]
    outputs = [
        layers.GRU(3)(merge()(pair))
        for merge in (
            layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum,
            layers.Concatenate, lambda: layers.Concatenate(axis=1),
        )
        for pair in (both, one)
        if not (pair is one and merge.__name__ == "<lambda>")
    ]  # fmt: skip
    flat = layers.Flatten()
    attended = layers.MultiHeadAttention(2, 4, dropout=0.2)(both[0], both[1])
    attended_too, scores = layers.MultiHeadAttention(2, 4)(*both, return_attention_scores=True)
    outputs += [flat(attended), flat(attended_too), flat(scores), layers.GlobalAveragePooling1D()(attended)]
    outputs += [flat(layers.Attention()(both)), flat(layers.AdditiveAttention()(both)), layers.Dot(2)(both)]
    outputs += [flat(layers.Multiply()(pair)) for pair in (both, one)]
    backwards = layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode="ave")(both[0])
    outputs += [flat(backwards), flat(layers.GRU(2, return_sequences=True, go_backwards=True)(both[1]))]
    outputs += [layers.RNN(layers.StackedRNNCells([layers.LSTMCell(2), layers.GRUCell(3)]))(both[0])]
    normalized = layers.LayerNormalization()(layers.BatchNormalization()(layers.UnitNormalization()(both[0])))
    outputs += [layers.LSTM(3)(normalized), layers.GRU(3)(layers.TimeDistributed(layers.Dense(2))(both[0]))]
    return keras.Model([words, more], outputs)


@model
def masks_in_nested_models(keras: Any, layers: Any) -> Any:
    x, y = keras.Input((8, 3)), keras.Input((8, 3))
    inner = keras.Model([x, y], layers.Multiply()([x, y]), name="inner")
    encoder = keras.Sequential([layers.Embedding(5, 4, mask_zero=True), layers.GRU(3)], name="encoder")
    series, texts = keras.Input((8, 3), name="series"), keras.Input((3, 6), dtype="int32", name="texts")
    masked = layers.Masking()(series)
    return keras.Model(
        [series, texts],
        [layers.Flatten()(inner([masked, masked])), layers.LSTM(2)(inner([masked, series])),
         layers.GRU(3)(layers.TimeDistributed(encoder)(texts))],
    )  # fmt: skip


@model
def states_in_and_out(keras: Any, layers: Any) -> Any:
    x, state = keras.Input((6, 3), name="series"), keras.Input((5,), name="state")
    y, final = layers.GRU(5, return_state=True, return_sequences=True)(x, initial_state=state)
    z, hidden, cell = layers.LSTM(4, return_state=True)(y)
    again = layers.LSTM(4)(y, initial_state=[hidden, cell])
    return keras.Model([x, state], [final, z, again])


@model
def cells(keras: Any, layers: Any) -> Any:
    stacked = layers.RNN(layers.StackedRNNCells([layers.LSTMCell(4), layers.GRUCell(3, reset_after=False)]))
    x = keras.Input((6, 3), name="series")
    return keras.Model(x, [stacked(x), layers.RNN(layers.SimpleRNNCell(5), return_sequences=True)(x)])


@model
def moving_pictures(keras: Any, layers: Any) -> Any:
    x = keras.Input((4, 6, 6, 2), name="film")
    y = layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True)(x)
    y = layers.TimeDistributed(keras.Sequential([layers.Conv2D(2, 3), layers.BatchNormalization()]))(y)
    return keras.Model(x, layers.ConvLSTM2D(2, 2)(y))


@model
def nested_with_batch_normalization(keras: Any, layers: Any) -> Any:
    image = keras.Input((10, 10, 3), name="image")
    inner = keras.Sequential(
        [keras.Input((10, 10, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(axis=[3]), layers.ReLU()],
        name="inner",
    )
    x = keras.Input((8, 8, 4))
    outer = keras.Model(x, layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x)), name="head")
    return keras.Model(image, layers.Dense(3)(outer(inner(image))))


@model
def frozen_base(keras: Any, layers: Any) -> Any:
    base = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Conv2D(4, 3)], name="base"
    )
    base.trainable = False
    partly = keras.Sequential(
        [layers.Conv2D(4, 1, name="first"), layers.BatchNormalization(), layers.Conv2D(4, 1, name="second")],
        name="partly",
    )
    partly.layers[0].trainable = False
    image = keras.Input((8, 8, 3), name="image")
    y = layers.GlobalAveragePooling2D()(partly(base(image, training=False)))
    return keras.Model(image, layers.Dense(2)(y))


@model
def several_inputs_and_outputs(keras: Any, layers: Any) -> Any:
    image, facts = keras.Input((6, 6, 1), name="image"), keras.Input((4,), name="facts")
    x = layers.Concatenate()([layers.Flatten()(image), facts])
    return keras.Model([facts, image], [layers.Dense(2, name="size")(x), layers.Dense(3, "softmax", name="kind")(x)])


@model
def dictionaries(keras: Any, layers: Any) -> Any:
    inputs = {"zeta": keras.Input((3,), name="zeta"), "alpha": keras.Input((4,), name="alpha")}
    x = layers.Concatenate()([inputs["zeta"], inputs["alpha"]])
    return keras.Model(inputs, {"second": layers.Dense(2)(x), "first": layers.Dense(3)(x)})


@model
def shared_layers(keras: Any, layers: Any) -> Any:
    left, right = keras.Input((5,), name="left"), keras.Input((5,), name="right")
    shared, tower = layers.Dense(4, "tanh", name="shared"), keras.Sequential([layers.Dense(3)], name="tower")
    a, b = tower(shared(left)), tower(shared(right))
    merges = [layers.Dot(1, normalize=True)([a, b]), layers.Average()([a, b]), layers.Subtract()([a, b])]
    return keras.Model([left, right], [*merges, layers.Maximum()([a, b]), layers.Minimum()([a, b])])


@model
def arithmetic(keras: Any, layers: Any) -> Any:
    import tensorflow as tf

    x, y = keras.Input((6, 4), name="x"), keras.Input((6, 4), name="y")
    z = tf.nn.relu(x * 2 - 1) / (tf.abs(y) + 1.5) + 3 - (-x) ** 2
    z = tf.concat([z, y], axis=-1)
    z = z + np.arange(8, dtype=np.float32)
    z = layers.Dense(5)(z)
    picked = z[:, 1:, ::2]
    last = z[:, -1]
    added = picked[:, :, :, tf.newaxis]
    stacked = tf.stack([z, z * 0.5], axis=1)
    parts = tf.split(z, 3, axis=1)
    return keras.Model(
        [x, y],
        [
            tf.reduce_mean(z, axis=[1, 2], keepdims=True), last, added, tf.transpose(stacked, [0, 2, 1, 3]), parts[1],
            1.0 - tf.sigmoid(last), tf.clip_by_value(last, -0.5, 0.5), tf.math.top_k(last, 2).values,
            tf.cast(tf.argmax(last, axis=-1), tf.float32), tf.where(last > 0, last, last * 0.1),
            tf.matmul(z, x, transpose_a=True), tf.nn.softmax(last), tf.math.maximum(last, 0.0),
        ],
    )  # fmt: skip


@model
def ellipsis(keras: Any, layers: Any) -> Any:
    x = keras.Input((6, 4), name="x")
    return keras.Model(x, [x[..., 1], x[:, ..., :2]])


@model
def operations_of_tensorflow_2_0(keras: Any, layers: Any) -> Any:
    import tensorflow as tf
    from tf_keras.src.engine.base_layer import TensorFlowOpLayer

    def node(operation: str, count: int, constants: dict[int, Any], **types: Any) -> Any:
        definition = tf.compat.v1.NodeDef(name=f"{operation}_{len(constants)}", op=operation)
        definition.input.extend(f"in_{index}" for index in range(count))
        for key, value in types.items():
            attribute = definition.attr[key]
            if isinstance(value, tf.DType):
                attribute.type = value.as_datatype_enum
            else:
                attribute.i = value
        return TensorFlowOpLayer(definition.SerializeToString(), definition.name, constants)

    x = keras.Input((6, 4), name="x")
    y = node("Mul", 2, {1: np.float32(2)}, T=tf.float32)(x)
    y = node("AddV2", 2, {0: np.arange(4, dtype=np.float32)}, T=tf.float32)(y)
    y = node("Relu", 1, {}, T=tf.float32)(layers.Dense(4)(y))
    z = node("ConcatV2", 3, {2: np.int32(1)}, N=2, T=tf.float32, Tidx=tf.int32)([x, y])
    first = node("StridedSlice", 4, {1: [0, 0, 1], 2: [0, 0, 4], 3: [1, 1, 2]}, T=tf.float32, Index=tf.int32,
                 begin_mask=3, end_mask=3, ellipsis_mask=0, new_axis_mask=0, shrink_axis_mask=0)(z)  # fmt: skip
    left = node("Unpack", 1, {}, T=tf.float32, num=6, axis=1)(y)
    return keras.Model(x, [first, left[0], node("Sum", 2, {1: [1]}, T=tf.float32, Tidx=tf.int32)(z)])


@model
def reshapes_by_shape(keras: Any, layers: Any) -> Any:
    import tensorflow as tf

    x = keras.Input((6, 4), name="x")
    flat = tf.reshape(x, [tf.shape(x)[0], 3, 8])
    y = layers.Dense(2)(flat)
    return keras.Model(x, [y, tf.reshape(y, (-1, 6)), tf.squeeze(tf.expand_dims(y, 1), axis=1), tf.tile(y, [1, 2, 1])])


@model
def activations_of_the_backend(keras: Any, layers: Any) -> Any:
    x = keras.Input((6, 4), name="x")
    backend = keras.backend
    return keras.Model(
        x,
        [
            keras.activations.hard_sigmoid(x), keras.activations.relu(x, max_value=0.5), backend.mean(x, axis=1),
            backend.l2_normalize(x, axis=-1), backend.sum(backend.square(x), axis=-1, keepdims=True),
            backend.permute_dimensions(x, (0, 2, 1)), backend.concatenate([x, x], axis=1), backend.hard_sigmoid(x),
        ],
    )  # fmt: skip


@model
def attention(keras: Any, layers: Any) -> Any:
    x, y = keras.Input((5, 8), name="x"), keras.Input((6, 8), name="y")
    many = layers.MultiHeadAttention(2, 3, value_dim=4, dropout=0.1)(x, y)
    causal = layers.MultiHeadAttention(2, 4, use_bias=False)(many, many, use_causal_mask=True)
    scaled = layers.Attention(use_scale=True)([causal, y])
    return keras.Model(
        [x, y], [scaled, layers.AdditiveAttention()([x, y]), layers.Attention(score_mode="concat")([x, y])]
    )


@model
def normalizations(keras: Any, layers: Any) -> Any:
    x = keras.Input((6, 6, 8), name="x")
    y = layers.LayerNormalization(axis=[1, 2])(layers.GroupNormalization(4)(x))
    y = layers.UnitNormalization()(layers.LayerNormalization(epsilon=1e-5, scale=False)(y))
    y = layers.BatchNormalization(axis=1, center=False)(y)
    statistics = layers.Normalization(mean=[1.0] * 8, variance=[2.0] * 8)
    return keras.Model(
        x, [y, layers.Rescaling(0.5, 1.0)(statistics(x)), layers.EinsumDense("abcd,de->abce", (None, 6, 5))(x)]
    )


@model
def learned_statistics(keras: Any, layers: Any) -> Any:
    statistics = layers.Normalization(axis=-1)
    statistics.adapt(np.random.default_rng(5).normal(3, 2, (64, 5)).astype(np.float32))
    borders = layers.Discretization([-1.0, 0.0, 1.5])
    x = keras.Input((5,), name="x")
    return keras.Model(x, [statistics(x), layers.CategoryEncoding(4, "multi_hot")(borders(x))])


@model
def integers(keras: Any, layers: Any) -> Any:
    pixels = keras.Input((6, 6, 1), dtype="uint8", name="pixels")
    numbers = keras.Input((3,), dtype="int64", name="numbers")
    x = layers.Flatten()(layers.Rescaling(1 / 255.0)(pixels))
    y = layers.Dense(4)(numbers)
    once = layers.CategoryEncoding(6, "one_hot")(numbers[:, :1])
    counted = layers.CategoryEncoding(6, "count")(numbers)
    hashed = layers.Hashing(7, salt=3)(numbers)
    looked = layers.IntegerLookup(vocabulary=[3, 1, 4], output_mode="multi_hot")(numbers)
    return keras.Model([pixels, numbers], [x, y, once, counted, hashed, looked, numbers * 2 + 1, numbers // 2])


@model
def text(keras: Any, layers: Any) -> Any:
    vectors = layers.TextVectorization(output_sequence_length=5)
    vectors.adapt(["the cat sat", "the dog sat down", "a cat"])
    words = layers.StringLookup(vocabulary=["cat", "dog"], output_mode="multi_hot")
    raw = keras.Input((), dtype="string", name="raw")
    pairs = keras.Input((2,), dtype="string", name="pairs")
    return keras.Model([raw, pairs], [layers.Embedding(12, 3)(vectors(raw)), words(pairs), layers.Hashing(5)(pairs)])


@model
def pictures(keras: Any, layers: Any) -> Any:
    x = keras.Input((12, 10, 3), name="image")
    y = layers.RandomFlip()(layers.RandomRotation(0.2)(layers.RandomZoom(0.1)(layers.RandomContrast(0.2)(x))))
    y = layers.RandomTranslation(0.1, 0.1)(layers.RandomBrightness(0.2)(y))
    y = layers.RandomHeight(0.1)(layers.RandomWidth(0.1)(y))
    return keras.Model(
        x,
        [
            y, layers.Resizing(7, 9)(x), layers.Resizing(5, 5, "nearest")(x), layers.CenterCrop(6, 5)(x),
            layers.Resizing(6, 6, crop_to_aspect_ratio=True)(x), layers.RandomCrop(7, 7)(x),
            layers.Resizing(20, 30, "bicubic")(x),
            layers.UpSampling2D(2, interpolation="bicubic")(x), layers.UpSampling2D((2, 3), interpolation="nearest")(x),
        ],
    )  # fmt: skip


@model
def shapes(keras: Any, layers: Any) -> Any:
    x = keras.Input((6, 4), name="x")
    y = layers.Permute((2, 1))(layers.Reshape((3, 8))(x))
    noisy = layers.GaussianNoise(0.1)(layers.GaussianDropout(0.1)(layers.AlphaDropout(0.1)(y)))
    z = layers.RepeatVector(3)(layers.Flatten()(layers.ActivityRegularization(0.1)(noisy)))
    return keras.Model(x, [z, layers.GlobalMaxPooling1D(keepdims=True)(y), layers.AveragePooling1D(2)(y)])


@model
def mobile(keras: Any, layers: Any) -> Any:
    return keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=5)


@model
def dense_net_with_slashes(keras: Any, layers: Any) -> Any:
    x = y = keras.Input((8, 8, 4), name="image")
    for block in ("conv1", "conv2"):
        y = layers.BatchNormalization(name=f"{block}/bn")(layers.Conv2D(4, 3, padding="same", name=f"{block}/conv")(y))
        y = layers.Activation("relu", name=f"{block}/relu")(y)
    return keras.Model(x, layers.GlobalAveragePooling2D(name="top/pool")(y))


@model
def half_precision(keras: Any, layers: Any) -> Any:
    policy = keras.mixed_precision.Policy("mixed_float16")
    x = keras.Input((6,), name="x")
    y = layers.Dense(8, "relu", dtype=policy)(x)
    return keras.Model(x, layers.Dense(3, dtype="float32")(y))


@model
def stateful(keras: Any, layers: Any) -> Any:
    return keras.Sequential([keras.Input(batch_shape=(4, 6, 3), name="series"), layers.LSTM(5, stateful=True)])


@model
def layer_of_the_user_s(keras: Any, layers: Any) -> Any:
    class Shifted(layers.Layer):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self, by: float = 1.0, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.by = by

        def build(self, shape: Any) -> None:
            self.scale = self.add_weight("scale", (shape[-1],))

        def call(self, inputs: Any) -> Any:
            return inputs * self.scale + self.by

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "by": self.by}

    return keras.Sequential([keras.Input((4,), name="x"), Shifted(0.5), layers.Dense(3)])


@model
def cudnn_lstm(keras: Any, layers: Any) -> Any:
    from tf_keras.src.layers.rnn.cudnn_lstm import CuDNNLSTM

    return keras.Sequential([keras.Input((7, 3), name="series"), CuDNNLSTM(4, return_sequences=True), CuDNNLSTM(5)])


@model
def cudnn_gru(keras: Any, layers: Any) -> Any:
    from tf_keras.src.layers.rnn.cudnn_gru import CuDNNGRU

    return keras.Sequential([keras.Input((7, 3), name="series"), CuDNNGRU(4, return_sequences=True), CuDNNGRU(5)])


@model
def cudnn_bidirectional(keras: Any, layers: Any) -> Any:
    from tf_keras.src.layers.rnn.cudnn_lstm import CuDNNLSTM

    return keras.Sequential([keras.Input((7, 3), name="series"), layers.Bidirectional(CuDNNLSTM(4))])


def plain(keras: Any, made: Any, weights: Path) -> Any:
    """The same model with layers that run without a GPU, its weights read from the file by tf-keras itself."""
    from tf_keras.src.layers.rnn import cudnn_gru, cudnn_lstm

    swap = {cudnn_lstm.CuDNNLSTM: keras.layers.LSTM, cudnn_gru.CuDNNGRU: keras.layers.GRU}

    def swapped(layer: Any) -> Any:
        if type(layer) in swap:
            return swap[type(layer)](layer.units, return_sequences=layer.return_sequences, name=layer.name)
        if type(layer).__name__ == "Bidirectional":
            return keras.layers.Bidirectional(swapped(layer.forward_layer), name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    other = keras.Sequential([keras.Input((7, 3), name="series"), *map(swapped, made.layers)])
    other.load_weights(weights)
    return other


def randomize(made: Any, rng: np.random.Generator) -> None:
    """Weights that tell each other apart; variances and counts stay positive."""
    values = []
    for variable in made.weights:
        if variable.dtype.is_floating and "count" not in variable.name:
            value = rng.normal(0, 1 / np.sqrt(max(np.prod(variable.shape[:-1]), 4)), variable.shape)
            values.append(np.abs(value) + 0.5 if "variance" in variable.name or "gamma" in variable.name else value)
        else:
            values.append(variable.numpy())
    made.set_weights(values)


def sample(tensor: Any, rng: np.random.Generator) -> np.ndarray:
    """A few rows for one input; some steps of a series are zero, so that masks have something to hide."""
    shape = (tensor.shape[0] or 4, *tensor.shape[1:])
    if tensor.dtype == "string":
        return rng.choice(["cat", "dog", "the cat sat on a dog", "mouse"], shape).astype(object)
    if tensor.dtype.is_integer:
        return rng.integers(0, 5, shape).astype(tensor.dtype.as_numpy_dtype)
    values = rng.normal(0, 1, shape).astype(np.float32)
    if tensor.name == "series":
        values[:, -2:] = 0
    return values


def write(keras: Any, name: str, folder: Path) -> None:
    """Make, save and run one model."""
    import tensorflow as tf

    keras.backend.clear_session()
    rng = np.random.default_rng(len(name))
    made = MODELS[name](keras, keras.layers)
    if name not in {"learned statistics", "text"}:
        randomize(made, rng)
    inputs = [sample(tensor, rng) for tensor in tf.nest.flatten(made.inputs)]
    if name not in KERAS_ONLY:
        made.save(folder / f"{name}.h5")
    runs = plain(keras, made, folder / f"{name}.h5") if name in CUDNN else made
    if name not in H5_ONLY:
        made.save(folder / f"{name}.keras")
    outputs = tf.nest.flatten(runs(tf.nest.pack_sequence_as(made.input, inputs), training=False))
    arrays = {
        f"in_{index}": value.astype("U") if value.dtype == object else value for index, value in enumerate(inputs)
    }
    arrays |= {f"out_{index}": np.asarray(value) for index, value in enumerate(outputs)}
    np.savez(folder / f"{name}.npz", **arrays)


if __name__ == "__main__":
    import tf_keras

    for each in sys.argv[2:] or MODELS:
        write(tf_keras, each, Path(sys.argv[1]))
