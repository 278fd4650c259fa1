"""Preprocessing of words and keys: lookups, hashes, texts; steps of the pack where no engine can."""

from typing import Any

import numpy as np

from tests.conformance.making import Case, Tensor, between, configs, one, whole, words

_COLOURS = ("red", "green", "blue", "violet", "", "红")
_TEXTS = (
    "The cat sat on the mat.",
    "the DOG, the cat!  and\tthe bird",
    "",
    "nothing known here: zebra",
    "a b c d e f g h",
    "我 喜欢 这个 电影",
    "这部电影很好看，我喜欢！",
    "Ünïcode straße İstanbul",
    "don't stop—believing",
    "mat mat mat cat",
)
_WORDS = ["the", "cat", "dog", "sat", "mat", "on", "我", "喜欢", "电影"]
_SIGNS = list("thecaodgmn我喜欢电影这好")


def cases() -> list[Case]:
    """Every case of this family."""
    return [*_hashes(), *_lookups(), *_texts(), *_models()]


def _hashes() -> list[Case]:
    text, number = Tensor((3,), "string", words(*_COLOURS)), Tensor((3,), "int64", whole(-50, 1000))
    table = {"num_bins": 7}
    pair = (Tensor((1,), "string", words(*_COLOURS)), Tensor((1,), "string", words(*_TEXTS)))
    return [
        *configs(
            "Hashing",
            text,
            {
                "string": table,
                "salt": {**table, "salt": 42},
                "salts": {**table, "salt": [1, 99]},
                "mask": {**table, "mask_value": ""},
                "multi_hot": {**table, "output_mode": "multi_hot"},
                "count": {**table, "output_mode": "count"},
            },
        ),
        *configs("Hashing", Tensor((1,), "string", words(*_COLOURS)), {"one_hot": {**table, "output_mode": "one_hot"}}),
        *configs("Hashing", number, {"int64": table, "int64_salt": {**table, "salt": 7}}),
        *configs("Hashing", Tensor((3,), "int32"), {"int32": table}),
        *configs("HashedCrossing", pair, {"strings": table, "one_hot": {**table, "output_mode": "one_hot"}}),
        *configs("HashedCrossing", (pair[0], Tensor((1,), "int64")), {"string_int": {"num_bins": 50}}),
        *configs("HashedCrossing", (Tensor((1,), "int64"), Tensor((1,), "int64")), {"ints": {"num_bins": 50}}),
    ]


def _lookups() -> list[Case]:
    text, single = Tensor((4,), "string", words(*_COLOURS)), Tensor((1,), "string", words(*_COLOURS))
    number = Tensor((4,), "int64", whole(8, 16))
    strings, numbers = {"vocabulary": ["red", "green", "红"]}, {"vocabulary": [10, 12, 15]}
    table: dict[str, dict[str, Any]] = {
        "int": {},
        "no_oov": {"num_oov_indices": 0},
        "three_oov": {"num_oov_indices": 3},
        "multi_hot": {"output_mode": "multi_hot"},
        "count": {"output_mode": "count"},
        "tf_idf": {"output_mode": "tf_idf", "idf_weights": [0.4, 1.3, 0.7]},
        "pad_to_max": {"output_mode": "multi_hot", "max_tokens": 8, "pad_to_max_tokens": True},
    }
    known = Tensor((4,), "string", words("red", "green", "红"))
    counted = Tensor((4,), "int64", lambda rng, shape: rng.choice([10, 12, 15], shape))
    return [
        *(
            case
            for name, more in table.items()
            for case in (
                *configs("StringLookup", known if name == "no_oov" else text, {name: {**strings, **more}}),
                *configs("IntegerLookup", counted if name == "no_oov" else number, {name: {**numbers, **more}}),
            )
        ),
        *configs(
            "StringLookup",
            text,
            {"mask_token": {**strings, "mask_token": ""}, "oov_token": {**strings, "oov_token": "?"}},
        ),
        *configs("StringLookup", single, {"one_hot": {**strings, "output_mode": "one_hot"}}),
        *configs("StringLookup", Tensor((3,), "int64", whole(0, 3)), {"invert": {**strings, "invert": True}}),
        *configs("IntegerLookup", number, {"mask_token": {**numbers, "mask_token": 9}}),
        *configs(
            "IntegerLookup", Tensor((1,), "int64", whole(8, 16)), {"one_hot": {**numbers, "output_mode": "one_hot"}}
        ),
        *configs("IntegerLookup", Tensor((3,), "int64", whole(0, 3)), {"invert": {**numbers, "invert": True}}),
        *configs("IntegerLookup", Tensor((4,), "int32", whole(8, 16)), {"int32": numbers}),
        one(
            "StringLookup",
            "embedded",
            text,
            lambda layers, x: layers.Embedding(4, 3)(layers.StringLookup(**strings)(x)),
        ),
        one(
            "IntegerLookup",
            "embedded",
            number,
            lambda layers, x: layers.Embedding(4, 3)(layers.IntegerLookup(**numbers)(x)),
        ),
    ]


def _texts() -> list[Case]:
    base: dict[str, Any] = {"vocabulary": _WORDS, "output_sequence_length": 6}
    signs: dict[str, Any] = {"vocabulary": _SIGNS, "split": "character", "output_sequence_length": 8}
    bag = {"vocabulary": _WORDS}
    table: dict[str, dict[str, Any]] = {
        "int": base,
        "characters": signs,
        "lower": {**base, "standardize": "lower"},
        "raw": {**base, "standardize": None},
        "strip": {**base, "standardize": "strip_punctuation"},
        "max_tokens": {**base, "max_tokens": 6, "vocabulary": _WORDS[:4]},
        "whole": {"vocabulary": ["the cat sat on the mat", "mat mat mat cat"], "split": None},
        "multi_hot": {**bag, "output_mode": "multi_hot"},
        "count": {**bag, "output_mode": "count"},
        "tf_idf": {**bag, "output_mode": "tf_idf", "idf_weights": [0.5 + 0.1 * index for index in range(9)]},
        "bigrams": {**base, "ngrams": 2, "vocabulary": [*_WORDS, "the cat", "cat sat", "我 喜欢"]},
        "trigrams_only": {**base, "ngrams": (3,), "vocabulary": ["the cat sat", "mat mat mat"]},
        "count_bigrams": {**bag, "ngrams": 2, "output_mode": "count", "vocabulary": [*_WORDS, "the cat"]},
    }
    text, column = Tensor((), "string", words(*_TEXTS)), Tensor((1,), "string", words(*_TEXTS))
    said = Tensor((), "string", words(*filter(None, _TEXTS)))  # the mean over no words is NaN in Keras
    return [
        *configs("TextVectorization", text, table),
        *configs(
            "TextVectorization",
            column,
            {"column": base, "column_characters": signs, "column_count": {**bag, "output_mode": "count"}},
        ),
        one("TextVectorization", "adapted", text, _adapted_text),
        one(
            "TextVectorization",
            "classifier",
            said,
            lambda layers, x: layers.Dense(2, activation="softmax")(
                layers.GlobalAveragePooling1D()(
                    layers.Embedding(24, 6, mask_zero=True)(layers.TextVectorization(**signs)(x))
                )
            ),
        ),
        one(
            "TextVectorization",
            "lstm",
            column,
            lambda layers, x: layers.Dense(1, activation="sigmoid")(
                layers.LSTM(5)(layers.Embedding(24, 6, mask_zero=True)(layers.TextVectorization(**signs)(x)))
            ),
        ),
        one(
            "TextVectorization",
            "bag_dense",
            column,
            lambda layers, x: layers.Dense(2)(
                layers.TextVectorization(**bag, output_mode="tf_idf", idf_weights=[0.5] * 9)(x)
            ),
        ),
    ]


def _adapted_text(layers: Any, x: Any) -> Any:
    layer = layers.TextVectorization(max_tokens=20, output_sequence_length=5)
    layer.adapt(np.array(_TEXTS))
    return layer(x)


def _models() -> list[Case]:
    colour, age = Tensor((1,), "string", words(*_COLOURS), "colour"), Tensor((1,), "float32", between(18, 90), "age")
    return [one("StringLookup", "tabular", (colour, age, Tensor((1,), "int64", whole(8, 16), "shop")), _tabular)]


def _tabular(layers: Any, colour: Any, age: Any, shop: Any) -> Any:
    parts = [
        layers.StringLookup(vocabulary=["red", "green", "红"], output_mode="one_hot")(colour),
        layers.Normalization(mean=40.0, variance=200.0)(age),
        layers.IntegerLookup(vocabulary=[10, 12, 15], output_mode="one_hot")(shop),
    ]
    return layers.Dense(1, activation="sigmoid")(layers.Dense(8, activation="relu")(layers.Concatenate()(parts)))
