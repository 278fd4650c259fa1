"""Every kind of Keras model comes in: classes of one's own, nested, many-headed, of integers, of half precision."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert import convert_model
from edgepack.convert.source import Source, freeze, open_source
from edgepack.runtime.errors import ModelError

_ROWS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def _names(source: Source) -> tuple[list[str], list[str]]:
    return [spec.name for spec in source.inputs], [spec.name for spec in source.outputs]


@pytest.fixture
def own(keras: Any) -> Any:
    """Classes of models, each with another way to be called."""

    class Own:
        class Single(keras.Model):  # type: ignore[misc, unused-ignore]
            def __init__(self) -> None:
                super().__init__(name="single")
                self.dense = keras.layers.Dense(2)

            def build(self, shape: tuple[int | None, ...]) -> None:
                self.dense.build(shape)

            def call(self, features: Any) -> Any:
                return self.dense(features)

        class Pair(keras.Model):  # type: ignore[misc, unused-ignore]
            def __init__(self) -> None:
                super().__init__(name="pair")
                self.dense = keras.layers.Dense(3)

            def call(self, left: Any, right: Any, training: bool = False) -> dict[str, Any]:
                return {"sum": self.dense(left) + self.dense(right), "own": self.dense(left)}

        class Words(keras.Model):  # type: ignore[misc, unused-ignore]
            def __init__(self) -> None:
                super().__init__(name="words")
                self.table = keras.layers.Embedding(9, 4)
                self.dense = keras.layers.Dense(2)

            def call(self, inputs: dict[str, Any]) -> list[Any]:
                embedded = keras.ops.mean(self.table(inputs["words"]), axis=1)
                kept = keras.ops.where(inputs["keep"], 1.0, 0.0)
                return [self.dense(embedded), {"kept": embedded * kept}]

        class Nothing(keras.Model):  # type: ignore[misc, unused-ignore]
            def call(self, x: Any) -> dict[str, Any]:
                return {"y": x, "aux": None}

    return Own


def test_a_class_is_called_on_its_input_signature(own: Any) -> None:
    import tensorflow as tf

    model = own.Single()
    source = open_source(model, input_signature={"rows": tf.TensorSpec((None, 4))})
    assert _names(source) == (["rows"], ["single"])
    np.testing.assert_allclose(source.predict({"rows": _ROWS})["single"], model(_ROWS), atol=1e-6)


def test_a_class_that_was_called_needs_no_signature(own: Any) -> None:
    model = own.Single()
    model(np.zeros((1, 4), np.float32))
    source = open_source(model)
    assert _names(source) == (["features"], ["single"])
    np.testing.assert_allclose(source.predict({"features": _ROWS})["single"], model(_ROWS), atol=1e-6)


def test_a_class_that_was_called_on_several_tensors_says_what_it_lacks(own: Any) -> None:
    model = own.Pair()
    model(np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32))
    with pytest.raises(
        ModelError, match=r"is called on left, right, .* pass input_signature=\{'left': …, 'right': …\}"
    ):
        open_source(model)


def test_a_class_that_was_built_needs_no_signature(own: Any) -> None:
    model = own.Single()
    model.build((None, 4))
    assert [str(spec) for spec in open_source(model).inputs] == ["features: float32 (any, 4)"]


@pytest.mark.parametrize("kind", ["dict", "list", "arrays"])
def test_arguments_come_by_name_or_in_order(keras: Any, own: Any, kind: str) -> None:
    given: Any = {
        "dict": {"right": keras.Input((4,)), "left": keras.Input((4,))},
        "list": [keras.Input((4,), name="left"), keras.Input((4,), name="right")],
        "arrays": {"left": _ROWS, "right": _ROWS},
    }[kind]
    model = own.Pair()
    source = open_source(model, input_signature=given)
    got = source.predict({"left": _ROWS, "right": 2 * _ROWS})["own"]
    np.testing.assert_allclose(got, model(_ROWS, _ROWS)["own"], atol=1e-6)


def test_integers_booleans_and_nested_outputs_keep_their_place(own: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    model = own.Words()
    given = {"words": tf.TensorSpec((None, 6), tf.int32), "keep": tf.TensorSpec((None, 1), tf.bool)}
    source = open_source(model, input_signature=given)
    assert [str(spec) for spec in source.inputs] == ["keep: bool (any, 1)", "words: int32 (any, 6)"]
    assert _names(source)[1] == ["words_output", "1_kept"]
    report = convert_model(model, tmp_path / "words.edgepack", input_signature=given)
    assert len(report.passed) == 2


def test_an_output_that_is_none_is_refused(own: Any) -> None:
    with pytest.raises(
        ModelError, match=r"model 'nothing' gives None, which is no tensor, among its outputs; return a dict or"
    ):
        open_source(own.Nothing(), input_signature=[_ROWS])


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, r"does not know its inputs; pass input_signature="),
        ({"x": 3}, r"input_signature has int for 'x'; it takes tf.TensorSpec, keras.Input or an array"),
        ({"x": np.float32(1)}, r"input_signature has shape \(\) for 'x'; the first axis"),
        ([_ROWS, _ROWS, _ROWS], r"model 'single' cannot be called on its input signature: "),
    ],
    ids=["nothing", "a number", "no rows", "too many"],
)
def test_what_no_signature_can_be_made_of_is_told(own: Any, given: Any, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        open_source(own.Single(), input_signature=given)


def _nested(keras: Any) -> Any:
    """Nested and shared models and layers, inputs and outputs in nested structures."""
    layers = keras.layers
    tower = keras.Sequential([layers.Dense(3, "tanh"), layers.Dense(2)], name="tower")
    x = keras.Input((4,))
    inner = keras.Model(x, [tower(x), layers.Dense(2)(x)], name="inner")
    inputs = {
        "zeta": keras.Input((4,), name="zeta"),
        "pair": [keras.Input((4,), name="first"), keras.Input((4,), name="second")],
    }
    a, b = inner(inputs["zeta"])
    c, _ = inner(inputs["pair"][0])
    d = tower(inputs["pair"][1])
    return keras.Model(inputs, {"z": {"deep": [a, b]}, "a": layers.Add()([c, d])})


def test_nested_models_and_structures_keep_names_and_order(keras: Any, tmp_path: Path) -> None:
    model = _nested(keras)
    source = open_source(model)
    assert _names(source) == (["pair_0", "pair_1", "zeta"], ["a", "z_deep_0", "z_deep_1"])
    given = {"pair_0": _ROWS, "pair_1": 2 * _ROWS, "zeta": 3 * _ROWS}
    wanted = model({"zeta": 3 * _ROWS, "pair": [_ROWS, 2 * _ROWS]}, training=False)
    got = source.predict(given)
    for name, value in zip(_names(source)[1], keras.tree.flatten(wanted), strict=True):
        np.testing.assert_allclose(got[name], value, atol=1e-6)
    assert len(convert_model(model, tmp_path / "nested.edgepack").passed) == 2


def test_an_output_called_like_an_input_gets_a_name_of_its_own(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((4,), name="image")
    model = keras.Model({"image": x}, {"image": keras.layers.Dense(4)(x)})
    assert _names(open_source(model)) == (["image"], ["image_output"])
    assert len(convert_model(model, tmp_path / "same.edgepack").passed) == 2


def test_a_list_of_outputs_is_named_after_its_layers_in_order(keras: Any) -> None:
    x, y = keras.Input((4,), name="x"), keras.Input((4,), name="b")
    model = keras.Model([x, y], [keras.layers.Dense(1, name="z")(x), keras.layers.Dense(2, name="a")(y)])
    assert _names(open_source(model)) == (["x", "b"], ["z", "a"])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_is_left_to_the_files(keras: Any, tmp_path: Path, policy: str) -> None:
    x = keras.Input((4,), name="x", dtype="float32")
    hidden = keras.layers.LayerNormalization(dtype=policy)(keras.layers.Dense(64, "relu", dtype=policy)(x))
    model = keras.Model(x, keras.layers.Dense(3, dtype=policy, name="y")(hidden))
    source = open_source(model)
    assert source.outputs[0].dtype == "float32"
    exact = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(64, "relu"), keras.layers.LayerNormalization(), keras.layers.Dense(3)]
    )
    exact.set_weights([np.asarray(weight, np.float32) for weight in model.get_weights()])
    np.testing.assert_allclose(source.predict({"x": _ROWS})["y"], exact(_ROWS), atol=1e-6)
    assert len(convert_model(model, tmp_path / "half.edgepack").passed) == 2
    assert model.layers[1].dtype_policy.name == policy  # the model in memory stays as it was


def test_a_number_of_rows_that_was_declared_is_kept(keras: Any, tmp_path: Path) -> None:
    x = keras.Input(batch_shape=(3, 4), name="x")
    model = keras.Model(x, keras.layers.Dense(2, name="y")(x))
    source = open_source(model)
    assert source.batch == 3
    assert source.inputs[0].shape == (None, 4)
    np.testing.assert_allclose(source.predict({"x": _ROWS})["y"], model.layers[-1](_ROWS), atol=1e-6)
    assert freeze(source, 1).function.inputs[0].shape == (3, 4)
    assert len(convert_model(model, tmp_path / "three.edgepack").passed) == 2


def test_a_file_of_another_backend_is_read(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    keras.Model(x, keras.layers.Dense(2, name="y")(x)).save(tmp_path / "tf.keras")
    with zipfile.ZipFile(tmp_path / "tf.keras") as old, zipfile.ZipFile(tmp_path / "jax.keras", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "metadata.json":
                data = json.dumps({**json.loads(data), "backend": "jax"}).encode()
            new.writestr(name, data)
    assert _names(open_source(tmp_path / "jax.keras")) == (["x"], ["y"])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_the_dropout_of_recurrent_layers_vanishes(keras: Any, tmp_path: Path, kind: str) -> None:
    layer = getattr(keras.layers, kind)(4, dropout=0.2, recurrent_dropout=0.3)
    model = keras.Sequential([keras.Input((6, 3), name="series"), keras.layers.Bidirectional(layer)])
    assert len(convert_model(model, tmp_path / "series.edgepack").passed) == 2
    seeds = model.layers[-1].forward_layer.cell.seed_generator
    assert np.any(np.asarray(seeds.next()) != np.asarray(seeds.next()))  # the model in memory stays as it was


def test_dropout_noise_and_augmentation_vanish(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            layers.RandomFlip(), layers.RandomRotation(0.3), layers.GaussianNoise(0.5), layers.Dropout(0.5),
            layers.SpatialDropout2D(0.5), layers.GaussianDropout(0.5), layers.AlphaDropout(0.5),
            layers.RandomZoom(0.2), layers.RandomContrast(0.2), layers.RandomBrightness(0.2),
            layers.RandomTranslation(0.1, 0.1), layers.RandomErasing(), layers.RandAugment(), layers.MixUp(),
        ]
    )  # fmt: skip
    images = np.random.default_rng(1).random((3, 8, 8, 3)).astype(np.float32)
    source = open_source(model)
    np.testing.assert_array_equal(source.predict({"image": images})[source.outputs[0].name], images)
    nodes = freeze(source, 1).function.graph.as_graph_def().node
    assert {node.op for node in nodes} <= {"Placeholder", "Identity", "NoOp", "Const"}


@pytest.mark.parametrize("kind", ["sparse", "bfloat16"])
def test_tensors_that_no_light_engine_has_are_refused(keras: Any, kind: str) -> None:
    options = {"sparse": True} if kind == "sparse" else {"dtype": "bfloat16"}
    x = keras.Input((4,), name="x", **options)
    with pytest.raises(ModelError, match=rf"tensor 'x' .*{kind}"):
        open_source(keras.Model(x, keras.layers.Dense(2)(x)))
