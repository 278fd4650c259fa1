"""Models whose edge becomes steps: cut in two, proved as a whole, and run without TensorFlow."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgepack
from edgepack.convert import Report, convert_model
from edgepack.convert.lift import Lifted, lift
from edgepack.convert.raw_samples import random_raw
from edgepack.convert.samples import read_samples
from edgepack.convert.source import Source, open_source
from edgepack.quiet import import_keras
from edgepack.runtime.errors import DataError, EdgepackError, InputError, ModelError, PackError, StepError
from edgepack.runtime.manifest import FORMAT_VERSION, Card, Step, Steps
from edgepack.runtime.pack import Pack, reference, write_pack
from edgepack.runtime.tensor import Array, TensorSpec
from edgepack.runtime.verify import verify

keras: Any = import_keras("tests models of text", "convert")
layers: Any = keras.layers

_GOOD, _BAD = "很好味道不错喜欢推荐下次还来", "差太难吃了失望不会再来服务慢"


def reviews(count: int, seed: int) -> tuple[list[str], Array]:
    """Texts of characters that are mostly good or mostly bad, with signs, letters and blanks among them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    texts = []
    for label in labels:
        pool = (_GOOD if label else _BAD) * 3 + _GOOD + _BAD + "\uff0c\uff01A b\u3000。😀"
        texts.append("".join(rng.choice(list(pool), int(rng.integers(0, 40)))))
    return texts, labels


@dataclass(frozen=True)
class Classifier:
    """A trained classifier of raw texts, its pack, and texts it has not seen."""

    model: Any
    pack: Path
    report: Report
    texts: list[str]

    def probabilities(self, texts: list[str]) -> Array:
        return np.asarray(self.model(_column(texts), training=False))


def _column(texts: list[str]) -> Any:
    import tensorflow as tf

    return tf.constant(np.array(texts, object)[:, np.newaxis])


def classifier(texts: list[str], labels: Array, *, length: int = 40, epochs: int = 2) -> Any:
    """A small model that starts with raw text, trained for a few steps."""
    keras.utils.set_random_seed(0)
    vectorize = layers.TextVectorization(split="character", max_tokens=3000, output_sequence_length=length)
    vectorize.adapt(texts)
    model = keras.Sequential(
        [
            keras.Input((1,), dtype="string", name="review"),
            vectorize,
            layers.Embedding(vectorize.vocabulary_size(), 16),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid", name="positive"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    model.fit(_column(texts), labels, epochs=epochs, batch_size=64, verbose=0)
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    folder = tmp_path_factory.mktemp("reviews")
    texts, labels = reviews(600, seed=1)
    model = classifier(texts, labels)
    model.save(folder / "reviews.keras")
    unseen, truth = reviews(200, seed=2)
    evaluation = {"review": np.array(unseen), "positive": truth}
    report = convert_model(folder / "reviews.keras", folder / "reviews.edgepack", evaluation=evaluation)
    return Classifier(model, folder / "reviews.edgepack", report, unseen)


def test_a_classifier_of_text_converts_to_both_formats(trained: Classifier) -> None:
    assert [one.variant for one in trained.report.passed] == ["tflite-float32", "onnx-float32"]
    assert all(one.parity and one.parity.max_abs <= 1e-6 for one in trained.report.passed)
    (layer,) = (one.name for one in trained.model.layers if type(one).__name__ == "TextVectorization")
    assert f"TextVectorization {layer!r} became steps of the pack, exact to Keras" in trained.report.notes


@pytest.mark.parametrize("variant", ["tflite-float32", "onnx-float32"])
def test_raw_texts_get_the_probabilities_of_keras(trained: Classifier, variant: str) -> None:
    texts = [*trained.texts, "", "   ", "Latin only!", "很" * 500, "差\x00评"]
    with edgepack.load(trained.pack, variant=variant) as session:
        found = np.stack(session.predict(texts))
    np.testing.assert_allclose(found, trained.probabilities(texts), atol=1e-6)  # float32, 3 layers


def test_one_text_is_one_sample(trained: Classifier) -> None:
    with edgepack.load(trained.pack) as session:
        assert session.text_input == "review"
        np.testing.assert_array_equal(session.predict("很好"), session.predict(["很好"])[0])
        np.testing.assert_array_equal(session.predict("很好".encode()), session.predict({"review": "很好"}))


def test_tensors_run_without_the_steps(trained: Classifier) -> None:
    with edgepack.load(trained.pack) as session:
        assert session.inputs == (TensorSpec("review", (None, 40), "int64"),)
        tensors = session.prepare(["很好", "差"])
        np.testing.assert_array_equal(session.run(tensors)["positive"], np.stack(session.predict(["很好", "差"])))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (3, r"a sample for input 'review' is text; this one holds int 3"),
        (None, "is text; this one holds NoneType"),
        (np.array(["a", "b"]), r"has shape string \(1,\); this one \(2,\): give several samples as a list"),
        ("\ud83d", "half of a surrogate pair"),
        ({"text": "a"}, r"got 1 input \('text'\); the model takes 1 \('review'\)"),
    ],
    ids=["number", "nothing", "array", "surrogate", "name"],
)
def test_what_is_no_text_is_refused(trained: Classifier, sample: Any, message: str) -> None:
    with edgepack.load(trained.pack) as session, pytest.raises(EdgepackError, match=message):
        session.predict(sample)


_SCRIPT = """
import json, sys
import edgepack
with edgepack.load(sys.argv[1]) as session:
    answers = [float(row[0]) for row in session.predict(json.loads(sys.stdin.read()))]
heavy = {"tensorflow", "keras", "onnx", "tf2onnx"} & set(sys.modules)
print(json.dumps({"answers": answers, "heavy": sorted(heavy)}))
"""


def test_it_runs_without_tensorflow(trained: Classifier) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(trained.pack)],
        input=json.dumps(trained.texts), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["heavy"] == []
    np.testing.assert_allclose(found["answers"], trained.probabilities(trained.texts)[:, 0], atol=1e-6)


def test_raw_golden_samples_show_that_the_steps_are_whole(trained: Classifier, tmp_path: Path) -> None:
    assert verify(trained.pack).failures == ()
    with Pack(trained.pack) as pack:
        chain = list(pack.manifest.steps.inputs["review"])
        chain[1] = Step("tokenize", chain[1].options | {"split": "whitespace"})
        steps = Steps(inputs={"review": tuple(chain)})
        files = {ref.path: pack.read(ref) for ref in pack.references()}
        write_pack(tmp_path / "other.edgepack", msgspec.structs.replace(pack.manifest, steps=steps), files)
    (failure,) = verify(tmp_path / "other.edgepack").failures
    assert failure.startswith("steps: input 'review' comes out otherwise than when the pack was built")


def test_the_command_runs_lines_of_a_file_and_texts(trained: Classifier, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_bytes("很好\r\n\n差评".encode())
    done = subprocess.run(
        [sys.executable, "-m", "edgepack", "run", trained.pack, lines, "--text", "-差", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {one["sample"]: one["result"][0] for one in json.loads(done.stdout)["results"]}
    wanted = trained.probabilities(["很好", "", "差评", "-差"])[:, 0]
    assert list(found) == [f"{lines}:1", f"{lines}:2", f"{lines}:3", "-差"]
    np.testing.assert_allclose(list(found.values()), wanted, atol=1e-6)


# The vocabulary as an asset.


@pytest.fixture(scope="module")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack whose vocabulary is too large for the manifest, with every hard token there is."""
    words = [*(f"word{index}" for index in range(2000)), "a\nb", "", "\u2028", "\x85", '"', "\\", "İ", "😀"]
    lookup = layers.StringLookup(vocabulary=words, mask_token=None)
    inputs = keras.Input((2,), dtype="string", name="words")
    model = keras.Model(inputs, layers.Embedding(2100, 4, name="vector")(lookup(inputs)))
    path = tmp_path_factory.mktemp("worded") / "words.edgepack"
    evaluation = np.array([["a\nb", ""], ["\u2028", "\x85"], ['"', "\\"], ["İ", "word1999"], ["😀", "none"]])
    convert_model(model, path, targets=("onnx",), evaluation=evaluation)
    return path


def test_a_large_vocabulary_is_an_asset(worded: Path) -> None:
    with Pack(worded) as pack:
        lookup = pack.manifest.steps.inputs["words"][-1]
        assert lookup.options["vocabulary"] == {"asset": "assets/0.json"}
        assert [ref.path for ref in pack.manifest.assets] == ["assets/0.json"]
        assert len(pack.steps().inputs["words"][-1].options["vocabulary"]) == 2008
    with edgepack.load(worded) as session:
        assert session.prepare([["a\nb", "word1999"], ["", "none"]])["words"].tolist() == [[2001, 2000], [2002, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1] + b" ", r"member 'assets/0.json' of .* has digest"),
        (lambda data: data + b" ", r"member 'assets/0.json' of .* bytes; its manifest says"),
        (None, "has no member 'assets/0.json'"),
    ],
    ids=["digest", "size", "missing"],
)
def test_a_damaged_asset_is_refused(
    worded: Path, tmp_path: Path, change: Callable[[bytes], bytes] | None, message: str
) -> None:
    target = tmp_path / "damaged.edgepack"
    with zipfile.ZipFile(worded) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            if info.filename != "assets/0.json":
                new.writestr(info, data)
            elif change:
                new.writestr(info.filename, change(data))
    with pytest.raises(PackError, match=message):
        edgepack.load(target)


@pytest.mark.parametrize(
    ("content", "listed", "message"),
    [
        (b"[1, 2", True, "asset 'assets/0.json' is not what a step needs"),
        (b"[" * 100_000, True, "asset 'assets/0.json' is not what a step needs"),
        (b"7", True, "step 'lookup' does not take these options"),
        (b"[]", False, "needs asset 'assets/0.json', which its manifest does not list"),
    ],
    ids=["no-json", "deep", "a-number", "unlisted"],
)
def test_an_asset_that_is_no_vocabulary_is_refused(
    worded: Path, tmp_path: Path, content: bytes, listed: bool, message: str
) -> None:
    with Pack(worded) as pack:
        files = {ref.path: pack.read(ref) for ref in pack.references()} | {"assets/0.json": content}
        assets = (reference("assets/0.json", content),) if listed else ()
        write_pack(tmp_path / "other.edgepack", msgspec.structs.replace(pack.manifest, assets=assets), files)
    with pytest.raises(PackError, match=message):
        edgepack.load(tmp_path / "other.edgepack")


# Shapes of models.


def cut(model: Any, **options: Any) -> Lifted:
    found = lift(open_source(model), **options)
    assert found is not None
    return found


def same(model: Any, raw: dict[str, Any], **options: Any) -> Lifted:
    """Cut a model, and hold both parts together against the whole on raw samples."""
    source = open_source(model)
    lifted = cut(model, **options)
    samples = lifted.tensors(read_samples(raw, source, "evaluation"))
    wanted, found = lifted.predict(samples), lifted.rest.predict(samples.inputs)
    assert list(wanted) == list(found)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=1e-6)
        assert found[name].shape == array.shape
    return lifted


def text_layer(**options: Any) -> Any:
    return layers.TextVectorization(vocabulary=["good", "bad", "film", "a"], **options)


_FILMS = ["A good film!", "bad, bad", "", "nothing known"]


def test_a_model_without_such_layers_is_left_alone(toy: Any) -> None:
    assert lift(open_source(toy.model)) is None


@pytest.mark.parametrize("shape", [(), (1,)], ids=["scalar", "one"])
@pytest.mark.parametrize("mode", ["multi_hot", "count"])
def test_bags_of_words_take_the_shape_they_really_have(mode: str, shape: tuple[int, ...]) -> None:
    inputs = keras.Input(shape, dtype="string", name="film")
    model = keras.Model(inputs, layers.Dense(2, name="kind")(text_layer(output_mode=mode)(inputs)))
    lifted = same(model, {"film": np.array(_FILMS)})
    assert lifted.rest.inputs == (TensorSpec("film", (None, 5), "float32"),)  # Keras declares (None, 1, 5) for (1,)
    assert lifted.rest.outputs == (TensorSpec("kind", (None, 2), "float32"),)


def test_rows_grow_to_the_longest_where_no_length_is_given() -> None:
    inputs = keras.Input((1,), dtype="string", name="film")
    embedded = layers.Embedding(10, 4, mask_zero=True)(text_layer()(inputs))
    model = keras.Model(inputs, layers.Dense(1, name="score")(layers.GlobalAveragePooling1D()(embedded)))
    lifted = same(model, {"film": np.array(_FILMS[:2])})
    assert lifted.rest.inputs == (TensorSpec("film", (None, None), "int64"),)


def test_lookups_with_encodings_and_plain_numbers_go_side_by_side() -> None:
    city, code, age = (
        keras.Input((1,), name="city", dtype="string"), keras.Input((3,), name="code", dtype="int64"),
        keras.Input((1,), name="age"),
    )  # fmt: skip
    known = layers.StringLookup(vocabulary=["Paris", "Berlin"])
    encoded = layers.CategoryEncoding(3, output_mode="one_hot")(known(city))
    hashed = layers.Hashing(8, output_mode="multi_hot")(code)
    joined = layers.Concatenate()([encoded, hashed, layers.Rescaling(0.1)(age)])
    model = keras.Model([age, city, code], layers.Dense(1, name="price")(joined))
    raw = {"city": np.array(["Paris", "Rome"]), "code": np.array([[1, 2, 3], [1, 1, 1]]), "age": np.float32([[1], [2]])}
    lifted = same(model, raw)
    assert [(spec.name, spec.shape) for spec in lifted.rest.inputs] == [
        ("age", (None, 1)), ("city", (None, 3)), ("code", (None, 8)),
    ]  # fmt: skip
    assert sorted(name.split()[0] for name in lifted.layers) == ["CategoryEncoding", "Hashing", "StringLookup"]


def crossing() -> Any:
    """A raw value that goes three ways: alone, crossed, and as a number."""
    age, city = keras.Input((1,), name="age"), keras.Input((1,), name="city", dtype="string")
    bucket = layers.Discretization([20.0, 40.0], name="bucket")(age)
    crossed = layers.HashedCrossing(16, output_mode="one_hot", name="age_in_city")([bucket, city])
    place = layers.StringLookup(vocabulary=["Paris"], output_mode="one_hot", name="place")(city)
    joined = layers.Concatenate()([crossed, place, layers.Rescaling(0.1)(age)])
    return keras.Model([city, age], layers.Dense(1, name="price")(joined))


def test_crossed_features_gather_what_they_are_made_of(tmp_path: Path) -> None:
    model = crossing()
    raw = {"city": np.array(["Paris", "Rome", "Paris"]), "age": np.float32([[19], [20], [55]])}
    lifted = same(model, raw)
    assert [spec.name for spec in lifted.rest.inputs] == ["place", "age", "age_in_city"]
    convert_model(model, tmp_path / "prices.edgepack", evaluation=raw)
    with edgepack.load(tmp_path / "prices.edgepack") as session:
        found = session.predict([{"city": "Paris", "age": 19.0}, {"city": "Rome", "age": [20.0]}])
        with pytest.raises(InputError, match=r"got 1 input \('city'\); the model takes 2 \('city', 'age'\)"):
            session.predict({"city": "Paris"})
        assert session.text_input is None
    wanted = lifted.original.predict(read_samples(raw, lifted.original, "evaluation").inputs)["price"]
    np.testing.assert_allclose(np.stack(found), wanted[:2], atol=1e-6)
    assert verify(tmp_path / "prices.edgepack").failures == ()


def test_one_text_may_be_read_in_two_ways() -> None:
    inputs = keras.Input((), dtype="string", name="film")
    words = layers.Embedding(9, 3)(text_layer(output_sequence_length=4, name="words")(inputs))
    marks = text_layer(split="character", output_mode="count", name="marks")(inputs)
    joined = layers.Concatenate()([layers.Flatten()(words), marks])
    lifted = same(keras.Model(inputs, layers.Dense(1, name="score")(joined)), {"film": np.array(_FILMS)})
    assert [spec.name for spec in lifted.rest.inputs] == ["words", "marks"]


def test_a_nested_model_of_preprocessing_is_opened() -> None:
    inputs = keras.Input((1,), dtype="string", name="text")
    front = keras.Sequential([inputs, text_layer(output_sequence_length=4)], name="front")
    body = keras.Sequential(
        [keras.Input((4,), dtype="int64"), layers.Embedding(9, 3), layers.Flatten(), layers.Dense(2)]
    )
    outer = keras.Input((1,), dtype="string", name="film")
    inner = keras.Model(outer, body(front(outer)), name="whole")
    last = keras.Input((1,), dtype="string", name="film")
    lifted = same(keras.Model(last, inner(last)), {"film": np.array(_FILMS)})
    assert [spec.name for spec in lifted.rest.inputs] == ["film"]
    assert [spec.name for spec in lifted.rest.outputs] == ["whole"]


def test_a_dict_of_inputs_and_outputs_keeps_its_keys() -> None:
    inputs = {"title": keras.Input((), dtype="string", name="title"), "stars": keras.Input((1,), name="stars")}
    bag = text_layer(output_mode="multi_hot")(inputs["title"])
    outputs = {"b": layers.Dense(1)(bag), "a": layers.Concatenate()([bag, inputs["stars"]])}
    lifted = same(keras.Model(inputs, outputs), {"title": np.array(_FILMS), "stars": np.float32([[1], [2], [3], [4]])})
    assert [spec.name for spec in lifted.rest.outputs] == ["a", "b"]


@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_a_model_that_is_nothing_but_preprocessing_goes_through_a_file_that_changes_nothing(
    target: str, tmp_path: Path
) -> None:
    model = only_preprocessing()
    same(model, {"x": np.array(_FILMS)})
    convert_model(model, tmp_path / "m.edgepack", targets=(target,), evaluation={"x": np.array(_FILMS)})
    with edgepack.load(tmp_path / "m.edgepack") as session:
        np.testing.assert_array_equal(np.stack(session.predict(_FILMS)), np.asarray(model(_column(_FILMS))))


def test_numbers_become_tokens_and_numbers_again() -> None:
    inputs = keras.Input((2,), dtype="int64", name="place")
    words = layers.StringLookup(vocabulary=["a", "b"], invert=True)(inputs)
    found = layers.Embedding(9, 2, name="vector")(layers.StringLookup(vocabulary=["b"])(words))
    same(keras.Model(inputs, found), {"place": np.array([[0, 1], [2, 7]])})


def test_layers_that_engines_run_are_lifted_only_where_it_is_asked_for(tmp_path: Path) -> None:
    inputs = keras.Input((9, 9, 3), name="image")
    normalized = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3])(layers.Rescaling(1 / 255)(inputs))
    cropped = layers.CenterCrop(6, 6)(layers.Resizing(8, 8)(normalized))
    model = keras.Model(inputs, layers.Dense(2, name="kind")(layers.Flatten()(cropped)))
    assert lift(open_source(model)) is None
    images = (np.random.default_rng(0).random((5, 9, 9, 3)) * 255).astype(np.float32)
    lifted = same(model, {"image": images}, everything=True)
    assert [step.step for step in lifted.steps.inputs["image"]] == ["take", "scale", "normalize", "interpolate", "crop"]
    convert_model(model, tmp_path / "images.edgepack", evaluation=images, lift_all=True)
    with edgepack.load(tmp_path / "images.edgepack") as session:
        assert session.inputs[0].shape == (None, 6, 6, 3)
        np.testing.assert_allclose(np.stack(session.predict(list(images))), model(images), atol=1e-5)


def test_a_card_comes_before_what_was_lifted(tmp_path: Path) -> None:
    inputs = keras.Input((4, 4, 1), name="image")
    model = keras.Model(inputs, layers.Dense(2, name="kind")(layers.Flatten()(layers.Rescaling(1 / 255)(inputs))))
    steps = Steps(
        {"image": (Step("image", {"mode": "grayscale"}), Step("scale", {"factor": 1.0}))},
        {"kind": (Step("classify", {"labels": ["a", "b"]}),)},
    )
    card = Card(FORMAT_VERSION, "kinds", steps=steps)
    convert_model(model, tmp_path / "kinds.edgepack", targets=("onnx",), card=card, lift_all=True)
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    with edgepack.load(tmp_path / "kinds.edgepack") as session:
        assert session.manifest is not None
        names = [step.step for step in session.manifest.steps.inputs["image"]]
        assert names == ["image", "scale", "take", "scale"]
        scores = {score.label: score.score for score in session.predict(pixels)}
    wanted = np.asarray(model(pixels[np.newaxis, :, :, np.newaxis].astype(np.float32)))[0]
    np.testing.assert_allclose([scores["a"], scores["b"]], wanted, atol=1e-6)
    assert verify(tmp_path / "kinds.edgepack").failures == ()


# What is refused.


def behind_dense() -> Any:
    inputs = keras.Input((4,), name="x")
    return keras.Model(inputs, layers.Embedding(9, 2)(layers.Hashing(8, name="bins")(layers.Dense(2)(inputs))))


def names_of_classes() -> Any:
    inputs = keras.Input((4,), name="x")
    best = keras.ops.argmax(layers.Dense(2)(inputs), axis=-1)
    return keras.Model(inputs, layers.StringLookup(vocabulary=["a"], invert=True, name="names")(best))


def unknown_before() -> Any:
    inputs = keras.Input((4,), dtype="int64", name="x")
    return keras.Model(inputs, layers.Embedding(9, 2)(layers.Hashing(8, name="bins")(layers.Reshape((2, 2))(inputs))))


def text_into_another_layer() -> Any:
    inputs = keras.Input((1,), dtype="string", name="x")
    found = layers.Dense(1)(text_layer(output_mode="count")(inputs))
    return keras.Model(inputs, [found, layers.Reshape((), name="beside")(inputs)])


def only_preprocessing() -> Any:
    inputs = keras.Input((1,), dtype="string", name="x")
    return keras.Model(inputs, text_layer(output_sequence_length=3)(inputs))


def tokens_out() -> Any:
    inputs = keras.Input((2,), dtype="int64", name="x")
    return keras.Model(inputs, layers.StringLookup(vocabulary=["a"], invert=True, name="names")(inputs))


def own_standardize() -> Any:
    inputs = keras.Input((1,), dtype="string", name="x")
    layer = text_layer(standardize=lambda text: text, output_mode="count")
    return keras.Model(inputs, layers.Dense(1)(layer(inputs)))


class Written(keras.Model):  # type: ignore[misc, name-defined]
    """A model that is a class of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.dense = text_layer(output_mode="count"), layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.dense(self.text(inputs))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (behind_dense, "Dense 'dense.*' stands before Hashing 'bins', which runs in no light engine"),
        (names_of_classes, "StringLookup 'names' .* takes what the model computes: .* into the card, as labels"),
        (unknown_before, "Reshape 'reshape.*' stands before Hashing 'bins'.* do its work before the model"),
        (text_into_another_layer, "Reshape 'beside' takes text, which no engine handles"),
        (tokens_out, "output 'names' is text, which no engine handles"),
        (own_standardize, "cannot become a step: its standardize is a function of its own"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_cut_off_is_refused_with_its_reason(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        lift(open_source(make()))


def test_a_model_that_is_a_class_of_its_own_cannot_be_cut() -> None:
    model = Written()
    model(_column(_FILMS))
    source = Source(model, "written", (TensorSpec("x", (None, 1), "string"),), (TensorSpec("y", (None, 1), "float32"),))
    wrapped = keras.Input((1,), dtype="string", name="film")
    for one in (source, open_source(keras.Model(wrapped, Written()(wrapped)))):
        with pytest.raises(
            ModelError, match=r"TextVectorization .* cannot be cut off Written .* a class of its own: bui"
        ):
            lift(one)


def test_a_bare_file_has_no_place_for_steps(trained: Classifier, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m.onnx has no place for the steps that TextVectorization .* -o m.edgepack"):
        convert_model(trained.model, tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"film": np.array([1, 2])}, "input 'film' takes text, and holds int 1"),
        ({"film": np.array([["a", "b"]])}, r"has shape \(1, 2\); the model takes \(any, 1\)"),
    ],
    ids=["numbers", "shape"],
)
def test_samples_that_are_no_text_are_refused(given: Any, message: str) -> None:
    inputs = keras.Input((1,), dtype="string", name="film")
    model = keras.Model(inputs, layers.Dense(1)(text_layer(output_mode="count")(inputs)))
    with pytest.raises(DataError, match=message):
        read_samples(given, open_source(model), "evaluation")


def test_samples_beyond_a_closed_vocabulary_are_refused() -> None:
    inputs = keras.Input((1,), dtype="string", name="film")
    found = layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(inputs)
    lifted = cut(keras.Model(inputs, layers.Embedding(3, 2)(found)))
    samples = read_samples({"film": np.array(["a", "b"])}, lifted.original, "evaluation")
    with pytest.raises(DataError, match="'b' is not in the vocabulary"):
        lifted.tensors(samples)


def test_random_samples_are_made_of_what_the_steps_know() -> None:
    inputs = keras.Input((1,), dtype="string", name="film")
    found = layers.StringLookup(vocabulary=["a", "b"], num_oov_indices=0)(inputs)
    lifted = cut(keras.Model(inputs, layers.Embedding(3, 2)(found)))
    samples = random_raw(lifted, 50)
    assert set(samples.raw["film"].ravel()) == {"a", "b"}
    assert set(samples.inputs["film"].ravel().tolist()) == {0, 1}
    assert len(set(random_raw(cut(crossing()), 50).inputs["age_in_city"].argmax(axis=1).tolist())) > 5


def test_a_step_without_a_place_for_a_token_says_so_while_running(tmp_path: Path) -> None:
    inputs = keras.Input((1,), dtype="string", name="film")
    found = layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(inputs)
    convert_model(keras.Model(inputs, layers.Embedding(3, 2)(found)), tmp_path / "m.edgepack", targets=("onnx",))
    with edgepack.load(tmp_path / "m.edgepack") as session, pytest.raises(StepError, match="'b' is not in the vocabul"):
        session.predict("b")


def test_rows_that_grow_have_no_raw_golden_samples(tmp_path: Path) -> None:
    inputs = keras.Input((1,), dtype="string", name="film")
    embedded = layers.GlobalAveragePooling1D()(layers.Embedding(10, 4)(text_layer()(inputs)))
    model = keras.Model(inputs, layers.Dense(1, name="score")(embedded))
    convert_model(model, tmp_path / "m.edgepack", targets=("onnx",), evaluation={"film": np.array(_FILMS[:2])})
    with Pack(tmp_path / "m.edgepack") as pack:
        assert pack.manifest.goldens[0].raw == {}
    assert verify(tmp_path / "m.edgepack").failures == ()
    with edgepack.load(tmp_path / "m.edgepack") as session:
        together = np.stack(session.predict(_FILMS[:2]))
    np.testing.assert_allclose(together, np.asarray(model(_column(_FILMS[:2]))), atol=1e-6)


def test_a_text_that_ends_in_nul_is_no_golden_sample(tmp_path: Path) -> None:
    inputs = keras.Input((1,), dtype="string", name="film")
    model = keras.Model(inputs, layers.Dense(1, name="score")(text_layer(output_mode="count")(inputs)))
    films = np.array(["good\0", "bad"], object)
    convert_model(model, tmp_path / "m.edgepack", targets=("onnx",), evaluation={"film": films})
    assert verify(tmp_path / "m.edgepack").failures == ()


def test_half_a_surrogate_pair_is_no_sample() -> None:
    inputs = keras.Input((1,), dtype="string", name="film")
    model = keras.Model(inputs, layers.Dense(1)(text_layer(output_mode="count")(inputs)))
    with pytest.raises(DataError, match=r"holds '\\ud83d', half of a surrogate pair"):
        read_samples({"film": np.array(["\ud83d"])}, open_source(model), "evaluation")
