"""Steps against the Keras layers they stand for: the same numbers, on thousands of random strings and numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgepack.convert.edge import raw_edge
from edgepack.convert.lift_layers import lift_layer
from edgepack.quiet import import_keras
from edgepack.runtime.errors import ConvertError, StepError
from edgepack.runtime.steps import Steps
from edgepack.runtime.steps.samples import Preparation
from edgepack.runtime.tensor import Array, TensorSpec

_keras = import_keras("tests preprocessing layers", "convert")
layers = _keras.layers

# Letters that other languages lower otherwise, marks, joined emoji, full-width signs, every blank there is, NUL.
_SPECIAL = (
    "aAbBzZ09 \t\n\r\x0b\x0c\x00\x1c\x1f\x7f\x85\xa0.,!?;:'\"-_/\\[]{}()<>@#$%^&*+=|`~"
    "İıßẞΣςÀàÉéÑñǅ\u0301\u0308\u200b\u200d\u2028\u3000\ufeff\ufffd\uff0c。\uff01\uff1f、\uff1b\uff1a“”\uff08\uff09《》中文差评很好的"
    "😀👩‍👩‍👧🇨🇳𠀀"
)
_TEXT = st.one_of(
    st.text(st.sampled_from(_SPECIAL), max_size=40),
    st.text(max_size=20),
    st.lists(st.sampled_from(["good", "bad", "Good!", "很好", "差评", "", " ", "don't"]), max_size=8).map(" ".join),
)
_BROKEN = (b"\xe4", b"\xbd\xa0", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"a", b" ", b"\xff")
_BYTES = st.one_of(
    st.binary(max_size=20),
    st.lists(st.sampled_from(_BROKEN), max_size=8).map(b"".join),
)
_VOCABULARY = [
    "good",
    "bad",
    "很",
    "好",
    "差",
    "a",
    "b",
    "İ",
    "ß",
    "don't",
    "dont",
    "\uff0c",
    "😀",
    "\u0301",
    "good bad",
    "很 好",
]


@pytest.fixture(params=[6, pytest.param(200, marks=pytest.mark.slow)], ids=["some", "many"])
def many(request: pytest.FixtureRequest) -> settings:
    """How often hypothesis tries, each time with dozens of strings."""
    return settings(
        max_examples=request.param, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def stepped(layer: Any, shapes: Sequence[tuple[int | None, ...]], dtypes: Sequence[str], raw: Sequence[Any]) -> Array:
    """What the steps of a layer make of rows of raw values, one array or list for each input."""
    names = [f"x{index}" for index in range(len(shapes))]
    edge = lift_layer(layer, [raw_edge(*each) for each in zip(names, shapes, dtypes, strict=True)])
    prepare = Preparation([TensorSpec("x0", (None, *edge.shape), edge.dtype)], Steps(inputs={"x0": edge.steps}))
    made = prepare([dict(zip(names, row, strict=True)) for row in zip(*raw, strict=True)])["x0"]
    assert made.dtype == np.dtype(edge.dtype)
    assert all(size in {None, got} for size, got in zip(edge.shape, made.shape[1:], strict=True))
    return made


def kept(layer: Any, raw: Sequence[Any]) -> Array:
    """What Keras makes of them."""
    import tensorflow as tf

    tensors = [tf.constant(array) for array in raw]
    found = layer(tensors if len(tensors) > 1 else tensors[0])
    return np.asarray(tf.sparse.to_dense(found) if isinstance(found, tf.SparseTensor) else found)


def check(layer: Any, shape: tuple[int | None, ...], dtype: str, raw: Any) -> None:
    array = np.array(raw, dtype=object).reshape(len(raw), *shape) if dtype == "string" else raw
    wanted = kept(layer, [array])
    made = stepped(layer, [shape], [dtype], [array])
    assert made.shape == wanted.shape
    np.testing.assert_array_equal(made, wanted)


def vectorization(**options: Any) -> Any:
    return layers.TextVectorization(vocabulary=_VOCABULARY, **options)


_WEIGHTS = [0.1 * index + 0.05 for index in range(len(_VOCABULARY))]
_TEXT_LAYERS: dict[str, Callable[[], Any]] = {
    "by default": vectorization,
    "characters": lambda: vectorization(split="character", output_sequence_length=12),
    "characters as they are": lambda: vectorization(standardize=None, split="character"),
    "lower": lambda: vectorization(standardize="lower", output_sequence_length=4),
    "strip": lambda: vectorization(standardize="strip_punctuation"),
    "bigrams": lambda: vectorization(ngrams=2),
    "widths": lambda: vectorization(ngrams=(3, 1), split="character", output_sequence_length=9),
    "several": lambda: vectorization(output_mode="multi_hot"),
    "padded": lambda: vectorization(output_mode="multi_hot", max_tokens=40, pad_to_max_tokens=True),
    "counts": lambda: vectorization(output_mode="count", split="character"),
    "weighted": lambda: vectorization(output_mode="tf_idf", idf_weights=_WEIGHTS, ngrams=2),
    "weighted and padded": lambda: vectorization(
        output_mode="tf_idf", idf_weights=_WEIGHTS, max_tokens=40, pad_to_max_tokens=True, split="character"
    ),
    "sparse": lambda: vectorization(output_mode="count", sparse=True),
    "empty rows": lambda: vectorization(output_sequence_length=0),
}


@pytest.mark.parametrize("shape", [(), (1,)], ids=["scalar", "one"])
@pytest.mark.parametrize("make", _TEXT_LAYERS.values(), ids=_TEXT_LAYERS)
def test_text_becomes_the_same_numbers(make: Callable[[], Any], shape: tuple[int, ...], many: settings) -> None:
    layer = make()

    @many
    @given(st.lists(_TEXT, min_size=20, max_size=60))
    @example(list(_SPECIAL))
    @example(["", " ", "Good, BAD!", "İstanbul STRASSE ẞ", "a\x00b", "  many   blanks\t\n", "很好\uff0c很差。"])
    def run(texts: list[str]) -> None:
        check(layer, shape, "string", texts)

    run()


@pytest.mark.parametrize("make", _TEXT_LAYERS.values(), ids=_TEXT_LAYERS)
def test_bytes_that_are_no_utf8_become_the_same_numbers(make: Callable[[], Any], many: settings) -> None:
    layer = make()

    @many
    @given(st.lists(_BYTES, min_size=20, max_size=60))
    def run(texts: list[bytes]) -> None:
        check(layer, (1,), "string", texts)

    run()


@pytest.mark.parametrize(
    "options",
    [
        {}, {"output_sequence_length": 2}, {"output_sequence_length": 5}, {"ngrams": 2}, {"ngrams": (2,)},
        {"ngrams": 2, "output_sequence_length": 4}, {"output_mode": "one_hot"}, {"output_mode": "multi_hot"},
    ],
    ids=str,
)  # fmt: skip
def test_text_that_is_split_already_becomes_the_same_numbers(options: dict[str, Any], many: settings) -> None:
    layer = vectorization(split=None, **options)

    @many
    @given(st.lists(st.tuples(_TEXT, _TEXT, _TEXT), min_size=10, max_size=20))
    def run(rows: list[tuple[str, str, str]]) -> None:
        check(layer, (3,), "string", rows)
        if set(options) <= {"output_mode"} and options.get("output_mode") != "multi_hot":
            check(layer, (), "string", [row[0] for row in rows])

    run()


_TOKENS = st.one_of(st.sampled_from([*_VOCABULARY, "", "[UNK]", "mask"]), _TEXT)
_LOOKUPS: dict[str, dict[str, Any]] = {
    "one unknown": {}, "masked": {"mask_token": "mask"}, "masked by nothing": {"mask_token": ""},
    "three unknown": {"num_oov_indices": 3}, "salted": {"num_oov_indices": 5, "salt": 7},
    "salted by two": {"num_oov_indices": 5, "salt": [133, -137], "mask_token": "mask"},
    "many unknown and masked": {"num_oov_indices": 1000, "mask_token": "mask"},
}  # fmt: skip


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count", "tf_idf"])
@pytest.mark.parametrize("options", _LOOKUPS.values(), ids=_LOOKUPS)
def test_looked_up_strings_are_the_same_numbers(options: dict[str, Any], mode: str, many: settings) -> None:
    weights = {"idf_weights": _WEIGHTS} if mode == "tf_idf" else {}
    layer = layers.StringLookup(vocabulary=_VOCABULARY, output_mode=mode, **options, **weights)

    @many
    @given(st.lists(st.tuples(_TOKENS, _TOKENS), min_size=10, max_size=30))
    def run(rows: list[tuple[str, str]]) -> None:
        check(layer, (2,), "string", rows)
        check(layer, (1,), "string", [row[0] for row in rows])

    run()


_NUMBERS = st.one_of(st.integers(-5, 40), st.integers(-(2**62), 2**62))
_INTEGERS = [3, 1, -2, 17, 2**40, 0]


@pytest.mark.parametrize(
    "options",
    [
        {}, {"mask_token": 0}, {"num_oov_indices": 4}, {"num_oov_indices": 4, "mask_token": 0},
        {"num_oov_indices": 4, "oov_method": "farmhash"}, {"num_oov_indices": 4, "oov_method": "farmhash", "salt": 3},
        {"output_mode": "multi_hot", "num_oov_indices": 2}, {"output_mode": "count", "mask_token": 0},
        {"output_mode": "one_hot", "max_tokens": 20, "pad_to_max_tokens": True},
    ],
    ids=str,
)  # fmt: skip
def test_looked_up_integers_are_the_same_numbers(options: dict[str, Any], many: settings) -> None:
    vocabulary = [number for number in _INTEGERS if number != options.get("mask_token")]
    layer = layers.IntegerLookup(vocabulary=vocabulary, **options)

    @many
    @given(st.lists(st.tuples(_NUMBERS, _NUMBERS), min_size=10, max_size=30))
    def run(rows: list[tuple[int, int]]) -> None:
        check(layer, (2,), "int64", np.array(rows, np.int64))
        check(layer, (1,), "int64", np.array(rows, np.int64)[:, :1])

    run()


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8", "bool"])
@pytest.mark.parametrize("kind", ["lookup", "hash"])
def test_numbers_of_other_types_are_cast_as_keras_casts_them(kind: str, dtype: str) -> None:
    layer = layers.IntegerLookup(vocabulary=[1, 2, -3]) if kind == "lookup" else layers.Hashing(1000)
    numbers = np.array([[1.9, 2.0, -3.7, 0.0, 1.0]]).astype(dtype)
    check(layer, (5,), dtype, numbers)


def test_tokens_come_back_from_their_indices() -> None:
    for options in ({}, {"mask_token": "mask"}, {"num_oov_indices": 3}):
        layer = layers.StringLookup(vocabulary=_VOCABULARY, invert=True, **options)
        indices = np.arange(-2, 30).reshape(-1, 2)
        made = stepped_text(layer, indices)
        wanted = [[token.decode() for token in row] for row in kept(layer, [indices]).tolist()]
        assert made == wanted
    layer = layers.IntegerLookup(vocabulary=[5, 6], invert=True, mask_token=9)
    check(layer, (2,), "int64", np.arange(-2, 8).reshape(-1, 2))


def stepped_text(layer: Any, indices: Array) -> list[list[str]]:
    edge = lift_layer(layer, [raw_edge("x", (2,), "int64")])
    made: list[list[str]] = Preparation([TensorSpec("x", (None, 2), "string")], Steps(inputs={"x": edge.steps}))(
        list(indices)
    )["x"].tolist()
    return made


@pytest.mark.parametrize(
    "options",
    [
        {}, {"mask_value": "mask"}, {"salt": 7}, {"salt": [133, 137], "mask_value": ""}, {"num_bins": 1},
        {"num_bins": 1, "mask_value": "mask"}, {"num_bins": 2**40}, {"output_mode": "one_hot"},
        {"output_mode": "multi_hot"}, {"output_mode": "count", "mask_value": "mask"}, {"dtype": "int32"},
    ],
    ids=str,
)  # fmt: skip
def test_hashed_strings_are_the_same_numbers(options: dict[str, Any], many: settings) -> None:
    layer = layers.Hashing(**{"num_bins": 7, **options})

    @many
    @given(st.lists(st.tuples(_TOKENS, _TOKENS), min_size=10, max_size=30))
    @example([("x" * size, "y" * size) for size in range(0, 300, 3)])
    def run(rows: list[tuple[str, str]]) -> None:
        check(layer, (2,), "string", rows)
        check(layer, (1,), "string", [row[0] for row in rows])

    run()


@pytest.mark.parametrize("options", [{}, {"mask_value": 0}, {"salt": 7, "mask_value": 5}], ids=str)
@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_hashed_numbers_are_the_same_numbers(dtype: str, options: dict[str, Any]) -> None:
    layer = layers.Hashing(1_000_003, **options)
    rng = np.random.default_rng(0)
    check(
        layer, (2,), dtype, (rng.integers(-9, 9, (500, 2)) * rng.choice([1, 0.5, 12345, 2**40], (500, 2))).astype(dtype)
    )


@pytest.mark.parametrize("mode", ["int", "one_hot"])
@pytest.mark.parametrize("shape", [(), (1,)], ids=["scalar", "one"])
def test_crossed_values_are_the_same_numbers(shape: tuple[int, ...], mode: str, many: settings) -> None:
    layer = layers.HashedCrossing(11 if mode == "one_hot" else 10**9, output_mode=mode)

    @many
    @given(st.lists(st.tuples(_TOKENS, _NUMBERS, _TOKENS), min_size=10, max_size=30))
    def run(rows: list[tuple[str, int, str]]) -> None:
        columns = [
            np.array([row[place] for row in rows], dtype).reshape(len(rows), *shape)
            for place, dtype in ((0, object), (1, np.int64), (2, object))
        ]
        made = stepped(layer, [shape] * 3, ["string", "int64", "string"], columns)
        wanted = kept(layer, columns)
        assert made.shape == wanted.shape
        np.testing.assert_array_equal(made, wanted)

    run()


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_discretized_numbers_are_the_same_numbers(dtype: str, mode: str) -> None:
    boundaries = [-1.5, 0.0, 0.1, 2.0, 16_777_216.0]
    layer = layers.Discretization(bin_boundaries=boundaries, output_mode=mode)
    rng = np.random.default_rng(0)
    numbers = rng.choice([*boundaries, 16_777_217, np.float32(0.1), -3, 1, 1e30 if dtype == "float32" else 7], (300, 3))
    check(layer, (3,), dtype, numbers.astype(dtype))


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("shape", [(1,), (3,)], ids=str)
def test_encoded_categories_are_the_same_numbers(shape: tuple[int, ...], mode: str) -> None:
    layer = layers.CategoryEncoding(num_tokens=6, output_mode=mode)
    check(layer, shape, "int64", np.random.default_rng(0).integers(0, 6, (200, *shape)))


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_resized_images_are_the_same_numbers(method: str) -> None:
    rng = np.random.default_rng(0)
    for height, width, new_height, new_width in rng.integers(1, 60, (30, 4)).tolist():
        layer = layers.Resizing(new_height, new_width, interpolation=method)
        pixels = (rng.random((2, height, width, 3)) * 255).astype(np.float32)
        check(layer, (height, width, 3), "float32", pixels)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_cropped_images_are_the_same_numbers(dtype: str) -> None:
    pixels = (np.random.default_rng(0).random((2, 9, 8, 3)) * 255).astype(dtype)
    check(layers.CenterCrop(4, 5), (9, 8, 3), dtype, pixels)
    check(layers.CenterCrop(9, 8), (9, 8, 3), dtype, pixels)


@pytest.mark.parametrize(
    "options",
    [{"scale": 1 / 255}, {"scale": [0.1, 2, 3.3], "offset": [-1, 0, 1.7]}, {"scale": 2, "offset": -0.3}],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int32"])
def test_rescaled_numbers_are_the_same_numbers(dtype: str, options: dict[str, Any]) -> None:
    check(layers.Rescaling(**options), (5, 3), dtype, (np.random.default_rng(0).random((50, 5, 3)) * 255).astype(dtype))


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("axis", [None, -1, (1, 2)], ids=str)
def test_normalized_numbers_are_the_same_numbers(axis: Any, invert: bool) -> None:
    numbers = (np.random.default_rng(0).standard_normal((80, 5, 3)) * 100).astype(np.float32)
    layer = layers.Normalization(axis=axis, invert=invert)
    layer.adapt(numbers)
    check(layer, (5, 3), "float32", numbers)


def test_a_token_without_a_place_is_refused_by_both() -> None:
    layer = layers.StringLookup(vocabulary=["a"], num_oov_indices=0)
    with pytest.raises(Exception, match="all inputs should be in vocabulary"):
        kept(layer, [np.array([["b"]], object)])
    with pytest.raises(
        StepError, match=r"'b' is not in the vocabulary, and the model has no place .*num_oov_indices=0"
    ):
        stepped(layer, [(1,)], ["string"], [[["b"]]])


def adapted(**options: Any) -> Any:
    layer = layers.TextVectorization(**options)
    layer.adapt(["a b", "c"])
    return layer


class Own(layers.StringLookup):  # type: ignore[misc, name-defined]
    """Not Keras's."""


@pytest.mark.parametrize(
    ("make", "shape", "dtype", "message"),
    [
        (lambda: adapted(standardize=lambda text: text), (1,), "string", "its standardize is a function of its own"),
        (lambda: adapted(split=_split), (1,), "string", "its split is a function of its own"),
        (lambda: adapted(ragged=True), (1,), "string", "ragged tensors, which no engine takes: leave ragged out"),
        (lambda: adapted(split=None, ngrams=2), (), "string", r"mixes the samples of a batch: give .* shape of \(n,\)"),
        (lambda: adapted(split=None, output_mode="count"), (), "string", "mixes samples or axes"),
        (adapted, (3, 1), "string", r"splits one text a sample, and its input has shape \(3, 1\)"),
        (lambda: adapted(output_mode="one_hot"), (1,), "string", "one_hot needs a number of values that is fixed"),
        (layers.TextVectorization, (1,), "string", "has no vocabulary yet: call adapt"),
        (layers.StringLookup, (1,), "string", "has no vocabulary yet: call adapt"),
        (lambda: Own(vocabulary=["a"]), (1,), "string", "a class of its own; steps exist for Keras's layers alone"),
        (lambda: layers.StringLookup(vocabulary=["a"], output_mode="multi_hot"), (), "string", "mixes samples or axes"),
        (lambda: layers.Hashing(3, output_mode="count"), (2, 2), "int64", "mixes samples or axes in Keras itself"),
        (lambda: layers.Hashing(3, output_mode="one_hot"), (None,), "int64", "one_hot needs a number of values"),
        (lambda: layers.StringLookup(vocabulary=["a"]), (1,), "int64", "looks up string and gets int64"),
        (lambda: layers.Discretization(num_bins=3), (1,), "float32", "has no boundaries yet"),
        (lambda: layers.Resizing(4, 4, interpolation="bicubic"), (9, 9, 3), "float32", "no step does bicubic exactly"),
        (lambda: layers.Resizing(4, 4, antialias=True), (9, 9, 3), "float32", "bilinear with antialias exactly"),
        (lambda: layers.Resizing(4, 4, pad_to_aspect_ratio=True), (9, 9, 3), "float32", "keeps the aspect ratio"),
        (lambda: layers.Resizing(4, 4), (9, 9, 3), "uint8", "Keras rounds resized uint8 pixels"),
        (lambda: layers.CenterCrop(4, 4), (3, 9, 3), "float32", "enlarges images smaller than 4 x 4"),
        (lambda: layers.CenterCrop(4, 4, data_format="channels_first"), (3, 9, 9), "float32", "takes images of"),
        (lambda: layers.Rescaling(2.0, dtype="float16"), (3,), "float32", "computes in float16"),
        (layers.Normalization, (3,), "float32", "has no mean yet"),
    ],
    ids=[
        "standardize", "split", "ragged", "whole-batch", "whole-batch-either", "several-texts", "ragged-one-hot",
        "no-vocabulary", "no-vocabulary-either", "own-class", "scalars", "two-axes", "free-axis", "numbers-for-text",
        "no-boundaries", "bicubic", "antialias", "aspect-ratio", "integer-pixels", "small-image", "channels-first",
        "half-precision", "no-mean",
    ],
)  # fmt: skip
def test_what_no_step_does_exactly_is_refused_with_its_reason(
    make: Callable[[], Any], shape: tuple[int | None, ...], dtype: str, message: str
) -> None:
    with pytest.raises(ConvertError, match=message):
        lift_layer(make(), [raw_edge("x", shape, dtype)])


def _split(text: Any) -> Any:
    import tensorflow as tf

    return tf.strings.split(text)


def test_padding_is_not_counted_where_it_depends_on_the_batch() -> None:
    edge = lift_layer(vectorization(), [raw_edge("x", (1,), "string")])
    with pytest.raises(ConvertError, match="depends on the longest text of a batch: give output_sequence_length"):
        lift_layer(layers.CategoryEncoding(20), [edge])
