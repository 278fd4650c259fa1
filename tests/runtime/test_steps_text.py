"""Steps on text and categories without TensorFlow: what they give, and what they refuse.

`tests/convert/test_lift_layers.py` holds them against the Keras layers; the numbers here were written down from those.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import EdgepackError, InputError, PackError, StepError
from edgepack.runtime.steps import Step, Steps, prepare
from edgepack.runtime.steps.assets import resolve, separate
from edgepack.runtime.steps.hashes import fingerprint, siphash
from edgepack.runtime.steps.raw import raw_values
from edgepack.runtime.steps.samples import Preparation
from edgepack.runtime.tensor import TensorSpec


def step(kind: str, /, **options: Any) -> Callable[[Any], Any]:
    return prepare([Step(kind, options)])


# tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("  many\t\r\n blanks \x0b\x0c", ["many", "blanks"]),
        ("", []),
        (" ", []),
        ("!?", []),
        ("İSTANBUL Straße", ["İstanbul", "straße"]),
        ("很好\uff0c很差。", ["很好\uff0c很差。"]),
        ("a\u3000b\xa0c", ["a\u3000b\xa0c"]),
        ("a\x00b", ["a\x00b"]),
        ("don't", ["dont"]),
        (b"caf\xc3\xa9 \xff", ["café", "\udcff"]),
    ],
    ids=[
        "words", "blanks", "nothing", "a-blank", "signs", "letters-beyond-ascii", "full-width", "other-blanks", "nul",
        "apostrophe", "bytes",
    ],
)  # fmt: skip
def test_lower_case_blanks_and_signs_are_those_of_ascii(text: str | bytes, tokens: list[str]) -> None:
    assert step("tokenize", standardize="lower_and_strip_punctuation", split="whitespace")(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("很 好", ["很", " ", "好"]),
        ("e\u0301👩\u200d👧", ["e", "\u0301", "👩", "\u200d", "👧"]),
        ("\ufeffa", ["\ufeff", "a"]),
        (b"a\xe4\xbdb\xff", ["a", "\ufffd", "b", "\ufffd"]),
        ("", []),
    ],
    ids=["chinese", "marks-and-joined", "byte-order-mark", "broken-utf8", "nothing"],
)
def test_characters_are_code_points(text: str | bytes, tokens: list[str]) -> None:
    assert step("tokenize", split="character")(text) == tokens


@pytest.mark.parametrize(
    ("standardize", "found"),
    [(None, "A, b!"), ("lower", "a, b!"), ("strip_punctuation", "A b"), ("lower_and_strip_punctuation", "a b")],
)
def test_a_text_is_made_uniform_as_it_was_for_training(standardize: str | None, found: str) -> None:
    assert step("tokenize", standardize=standardize)(np.array(["A, b!"], object)).tolist() == [found]


@pytest.mark.parametrize(
    ("widths", "tokens"),
    [([1, 2], ["a", "b", "c", "a b", "b c"]), ([3, 1], ["a b c", "a", "b", "c"]), ([4], []), ([], ["a", "b", "c"])],
    ids=str,
)
def test_n_grams_come_width_by_width(widths: list[int], tokens: list[str]) -> None:
    assert step("tokenize", split="whitespace", ngrams=widths)("a b c") == tokens


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(StepError, match=r"holds '\\ud83d' at 1, half of a surrogate pair"):
        step("tokenize", split="character")("a\ud83d")


# hashes


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 1936946117179621456), ("a", 3694432073954588132), ("abcd", 1897425971756105985),
        ("Hello", 6181326957702750344), ("0123456789abcdef", 6105018409752412263), ("x" * 32, 3678204687145032710),
        ("x" * 64, 6916188127298655160), ("x" * 200, 4715616229117174720),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_fingerprints_are_those_of_farmhash(text: str, number: int) -> None:
    assert fingerprint(text.encode()) % (2**63 - 1) == number  # tf.strings.to_hash_bucket_fast(text, 2**63 - 1)


def test_keyed_hashes_are_those_of_siphash() -> None:
    # The first and the last vector of the reference implementation (github.com/veorq/SipHash, vectors.h).
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    assert siphash(b"", key) == 0x726FDB47DD0E0E31
    assert siphash(bytes(range(63)), key) == 0x958A324CEB064572


def test_buckets_are_those_of_tensorflow_s_own_examples() -> None:
    texts = np.array(["Hello", "TensorFlow", "2.x"], object)
    assert step("hash", num_bins=3)(texts).tolist() == [0, 2, 2]
    assert step("hash", num_bins=3, salt=[1, 2])(np.array(["Hello", "TF"], object)).tolist() == [2, 0]


# lookup, encode, pad


def test_words_become_numbers_behind_the_places_for_others() -> None:
    find = step("lookup", vocabulary=["a", "b"], mask_token="")
    assert find(["b", "a", "z", ""]).tolist() == [3, 2, 1, 0]
    assert find(np.array([["a"], ["b"]], object)).tolist() == [[2], [3]]


def test_a_token_that_ends_in_nul_is_another_one() -> None:
    assert step("lookup", vocabulary=["a", "a\x00"])(["a\x00", "a"]).tolist() == [2, 1]


def test_unknown_words_without_a_place_are_refused_by_name() -> None:
    with pytest.raises(StepError, match="'z' is not in the vocabulary"):
        step("lookup", vocabulary=["a"], num_oov_indices=0)(["a", "z"])


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e19])
def test_a_float_that_is_no_whole_number_of_64_bits_has_no_category(number: float) -> None:
    with pytest.raises(StepError, match="it has no category"):
        step("hash", num_bins=5)(np.array([number]))


@pytest.mark.parametrize(
    ("mode", "found"),
    [("multi_hot", [0, 1, 0, 1]), ("count", [0, 1, 0, 2]), ("one_hot", [[0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]])],
)
def test_categories_become_places(mode: str, found: Any) -> None:
    numbers = np.array([3, 1, 3])
    assert step("encode", mode=mode, depth=4)(numbers).tolist() == found


def test_numbers_without_a_place_are_passed_over() -> None:
    masked = step("lookup", vocabulary=["a"], mask_token="", encoded=True)(["", "a"])
    assert step("encode", mode="count", depth=2)(masked).tolist() == [0, 1]
    assert step("encode", mode="one_hot", depth=2)(masked).tolist() == [[0, 0], [0, 1]]


def test_a_negative_category_is_refused() -> None:
    with pytest.raises(StepError, match="category -1 is negative"):
        step("encode", mode="count", depth=2)(np.array([-1]))


@pytest.mark.parametrize(
    ("length", "row"), [(2, [1, 2]), (3, [1, 2, 3]), (5, [1, 2, 3, 0, 0]), (0, []), (None, [1, 2, 3])]
)
def test_rows_are_cut_and_filled_up(length: int | None, row: list[int]) -> None:
    found = step("pad", length=length)(np.array([1, 2, 3]))
    assert (found.tolist(), found.dtype) == (row, np.int64)


# Raw samples.

TAKE = Step("take", {"name": "text", "shape": [1], "dtype": "string"})
CHARACTERS = (
    TAKE,
    Step("tokenize", {"split": "character"}),
    Step("lookup", {"vocabulary": ["a", "b"], "mask_token": ""}),
)


def preparation(*chain: Step) -> Preparation:
    return Preparation([TensorSpec("text", (None, None), "int64")], Steps(inputs={"text": chain}))


def test_rows_of_no_fixed_length_are_filled_up_to_the_longest() -> None:
    found = preparation(*CHARACTERS, Step("pad", {"length": None}))(["ab", "", "abca"])
    assert found["text"].tolist() == [[2, 3, 0, 0], [0, 0, 0, 0], [2, 3, 1, 2]]


def test_rows_that_are_not_padded_must_agree() -> None:
    with pytest.raises(InputError, match=r"differ in shape \(\(2,\), \(1,\)\); run them one by one"):
        preparation(*CHARACTERS)(["ab", "a"])


@pytest.mark.parametrize(
    ("shape", "dtype", "sample", "message"),
    [
        ([1], "string", 3, "is text; this one holds int 3"),
        ([1], "string", ["a", "b"], r"shape string \(1,\); this one \(2,\)"),
        ([2], "string", "a", r"shape string \(2,\); this one \(\)"),
        ([2], "string", ["a", None], "holds NoneType None"),
        ([2], "int64", [1, 2, 3], r"shape int64 \(2,\); this one \(3,\)"),
        ([2], "int64", ["a", "b"], "element type <U1; the model takes int64"),
        ([2], "int64", [0.5, 1], "element type float64; the model takes int64"),
        ([1], "float32", np.array([1]), "element type int64; the model takes float32"),
    ],
    ids=["number", "two", "one", "nothing", "three", "text-for-numbers", "halves", "typed-integers"],
)
def test_a_sample_of_another_kind_is_refused(shape: list[int], dtype: str, sample: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        step("take", name="x", shape=shape, dtype=dtype)(sample)


@pytest.mark.parametrize(
    "sample", [7, [7], np.int8(7), np.array([7], np.uint8)], ids=["number", "list", "scalar", "array"]
)
def test_a_number_is_taken_as_it_comes(sample: Any) -> None:
    found = step("take", name="x", shape=[1], dtype="int64")(sample)
    assert (found.tolist(), found.dtype) == ([7], np.int64)


def test_the_sample_of_the_caller_is_never_changed() -> None:
    sample = np.array([b"a"], object)
    assert step("take", name="x", shape=[1], dtype="string")(sample).tolist() == ["a"]
    assert sample.tolist() == [b"a"]


def crossed() -> tuple[list[TensorSpec], Steps]:
    def part(name: str, dtype: str) -> dict[str, Any]:
        return {"name": name, "steps": [{"step": "take", "options": {"name": name, "shape": [1], "dtype": dtype}}]}

    gather = Step("gather", {"of": [part("city", "string"), part("age", "int64")]})
    return [TensorSpec("cross", (None, 1), "int64")], Steps(
        inputs={"cross": (gather, Step("cross", {"num_bins": 1000}))}
    )


def test_several_raw_values_make_one_input() -> None:
    prepare_samples = Preparation(*crossed())
    assert prepare_samples.names == ("city", "age")
    assert prepare_samples([{"city": "Paris", "age": 3}])["cross"].shape == (1, 1)
    with pytest.raises(InputError, match=r"got 1 input \('city'\); the model takes 2 \('city', 'age'\)"):
        prepare_samples([{"city": "Paris"}])


def kinds(inputs: list[TensorSpec], steps: Steps) -> list[tuple[str, str]]:
    return [(raw.name, raw.kind) for raw in raw_values(inputs, steps)]


def test_one_text_is_told_from_other_samples() -> None:
    inputs = [TensorSpec("text", (None, None), "int64")]
    assert kinds(inputs, Steps(inputs={"text": CHARACTERS})) == [("text", "text")]
    assert kinds(inputs, Steps()) == [("text", "array")]
    assert kinds(*crossed()) == [("city", "text"), ("age", "array")]
    assert kinds([], Steps()) == []


# Options of a pack that is damaged or hostile.


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tokenize", {"standardize": "upper"}), ("tokenize", {"split": "word"}), ("tokenize", {"ngrams": [0]}),
        ("tokenize", {"ngrams": 2}), ("tokenize", {"split": ["character"]}), ("pad", {"length": -1}),
        ("pad", {"length": 10**12}), ("pad", {"length": "3"}), ("lookup", {}), ("lookup", {"vocabulary": 3}),
        ("lookup", {"vocabulary": [["a"]]}), ("lookup", {"vocabulary": ["a"], "num_oov_indices": -1}),
        ("lookup", {"vocabulary": ["a"], "num_oov_indices": 2, "salt": [1]}),
        ("lookup", {"vocabulary": ["a"], "oov_method": "md5"}), ("hash", {"num_bins": 0}), ("hash", {"num_bins": 2.5}),
        ("cross", {"num_bins": -1}), ("encode", {"mode": "int", "depth": 3}),
        ("encode", {"mode": "count", "depth": 10**12}), ("encode", {"mode": "tf_idf", "depth": 3}),
        ("encode", {"mode": "tf_idf", "depth": 3, "weights": [1.0]}), ("encode", {"mode": "count", "depth": "3"}),
        ("discretize", {"boundaries": [2, 1]}), ("discretize", {"boundaries": 1}),
        ("take", {"name": "x", "shape": 1, "dtype": "string"}), ("take", {"name": "x", "shape": [1], "dtype": "str3"}),
        ("gather", {"of": []}), ("gather", {"of": 3}), ("gather", {"of": [{"steps": []}]}),
        ("gather", {"of": [{"name": "x", "steps": [{"step": "gather", "options": {"of": []}}]}]}),
        ("normalize", {"mean": "a", "variance": 1}), ("rescale", {"factor": 1, "offset": [1]}),
        ("interpolate", {"height": 2, "width": 2, "method": "bicubic"}), ("interpolate", {"height": 0, "width": 2}),
        ("interpolate", {"height": 10**6, "width": 10**6}), ("crop", {"top": 0}),
    ],
    ids=lambda value: str(value)[:50],
)  # fmt: skip
def test_options_a_step_does_not_take_are_refused_when_the_pack_is_opened(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(PackError, match=rf"step '{name}' does not take these options"):
        step(name, **options)


_OPTIONS: dict[str, dict[str, Any]] = {
    "tokenize": {"split": "character"}, "pad": {"length": 3}, "lookup": {"vocabulary": ["a"]},
    "lookup_inverse": {"vocabulary": ["a"], "oov_token": "?"}, "hash": {"num_bins": 3}, "cross": {"num_bins": 3},
    "discretize": {"boundaries": [1]}, "encode": {"mode": "count", "depth": 3}, "normalize": {"mean": 0, "variance": 1},
    "rescale": {"factor": [1], "offset": [1]}, "interpolate": {"height": 2, "width": 2},
    "crop": {"top": 0, "left": 0, "height": 1, "width": 1}, "gather": {"of": [{"name": "x"}]},
    "take": {"name": "x", "shape": [2], "dtype": "float32"},
}  # fmt: skip


@pytest.mark.parametrize("name", _OPTIONS)
@pytest.mark.parametrize(
    "sample",
    [
        None,
        "text",
        "\ud800",
        3,
        -1,
        2.5,
        {},
        [[]],
        [1, "a"],
        [None],
        b"\xff",
        np.zeros((2, 0)),
        pytest.param(object(), id="an object"),
    ],
    ids=repr,
)
def test_no_step_crashes_on_another_kind_of_sample(name: str, sample: Any) -> None:
    with contextlib.suppress(EdgepackError):
        step(name, **_OPTIONS[name])(sample)


# Assets.


def test_large_options_go_and_come_back() -> None:
    words = [f"word{index}" for index in range(500)]
    inner = [{"name": "text", "steps": [{"step": "lookup", "options": {"vocabulary": words}}]}]
    steps = Steps(
        inputs={
            "a": (TAKE, Step("lookup", {"vocabulary": words, "num_oov_indices": 1})),
            "b": (
                Step("gather", {"of": inner}),
                Step("encode", {"mode": "tf_idf", "weights": [0.1] * 999, "depth": 999}),
            ),
        }
    )
    files: dict[str, bytes] = {}

    def add(data: bytes) -> str:
        path = next((path for path, known in files.items() if known == data), f"assets/{len(files)}.json")
        files[path] = data
        return path

    separated = separate(steps, add)
    assert separated.inputs["a"][1].options == {"vocabulary": {"asset": "assets/0.json"}, "num_oov_indices": 1}
    assert separated.inputs["a"][0] == TAKE
    assert len(files) == 2  # the vocabulary once
    assert resolve(separated, files.__getitem__) == steps


def test_an_asset_that_is_no_json_is_refused() -> None:
    steps = Steps(inputs={"a": (Step("lookup", {"vocabulary": {"asset": "x"}}),)})
    with pytest.raises(PackError, match="asset 'x' is not what a step needs"):
        resolve(steps, lambda _: b"[")


def test_options_that_go_too_deep_are_refused() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = {"a": deep}
    with pytest.raises(PackError, match="go deeper than any step needs"):
        resolve(Steps(inputs={"a": (Step("lookup", {"vocabulary": deep}),)}), lambda _: b"[]")
