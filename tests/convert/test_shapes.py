"""Batches and sizes of free axes: what may be asked, what is refused, and that a file has the sizes asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.convert import convert_model
from edgepack.convert.plan import make_plan
from edgepack.convert.shapes import batch_of, fixed, hint, read_shapes, read_texts, stretched
from edgepack.convert.source import open_source
from edgepack.runtime.errors import ConvertError, DataError, InputError, ModelError
from tests.convert.conftest import Toy


@pytest.mark.parametrize(
    ("texts", "shapes"),
    [
        (["image=1,96,96,1"], {"image": (1, 96, 96, 1)}),
        (["1,96,96,1"], {"": (1, 96, 96, 1)}),
        (["a=?,8", "b=batch,?"], {"a": (None, 8), "b": (None, None)}),
        (["a=-1, None, 3"], {"a": (None, None, 3)}),
        (["odd=name=2,3"], {"odd=name": (2, 3)}),
    ],
    ids=["named", "without-name", "free", "other-words", "equals-in-name"],
)
def test_shapes_are_read_as_they_are_written(texts: list[str], shapes: dict[str, Any]) -> None:
    assert read_texts(texts) == shapes


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["image=1,96,0"], "has the size '0'; it takes one number for each axis"),
        (["image=1,96,x"], "has the size 'x'"),
        (["image=1,batch"], "has the size 'batch'"),
        (["image="], "has the size ''"),
        (["=1,2"], "has no name before ="),
        (["1,2", "3,4"], "comes after another for the same input"),
        (["image=1,²"], "has the size '²'"),
    ],
    ids=["zero", "word", "batch-elsewhere", "nothing", "no-name", "twice", "superscript"],
)
def test_what_is_no_shape_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_texts(texts)


def test_python_takes_a_dict_or_one_bare_shape() -> None:
    assert read_shapes({"image": (1, None, 3)}) == {"image": (1, None, 3)}
    assert read_shapes([1, np.int64(96), -1]) == {"": (1, 96, None)}
    assert read_shapes(None) == {}
    for wrong in ({"image": "1,2"}, {"image": 3}, (1, 2.5), (True, 3), ()):
        with pytest.raises(InputError):
            read_shapes(wrong)  # type: ignore[arg-type]


def test_the_first_size_is_the_batch() -> None:
    assert batch_of({"a": (2, 3), "b": (None, 4)}, "auto") == 2
    assert batch_of({"a": (2, 3)}, 2) == 2
    assert batch_of({"a": (None, 3)}, "dynamic") == "dynamic"
    for shapes, batch in (({"a": (2, 3)}, 4), ({"a": (2, 3)}, "dynamic"), ({"a": (2,), "b": (3,)}, "auto")):
        with pytest.raises(InputError, match="give each the same"):
            batch_of(shapes, batch)


@pytest.mark.parametrize("batch", [0, -1, "many", True, 1.5])
def test_what_is_no_batch_is_refused(batch: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it takes 'auto', 'dynamic' or a number of rows"):
        make_plan(tmp_path / "m.edgepack", "onnx", "float32", batch, force=False)


@pytest.fixture(scope="module")
def images() -> Any:
    """Images of any size to two maps of half of it."""
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3), name="image")
    halves = keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(image)
    return keras.Model(image, keras.layers.Conv2D(2, 1, name="map")(halves))


@pytest.fixture(scope="module")
def pair() -> Any:
    """Two inputs, of which one is a series of any length."""
    import keras

    series, size = keras.Input((None, 4), name="series"), keras.Input((2,), name="size")
    joined = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling1D()(series), size])
    return keras.Model([series, size], keras.layers.Dense(3, name="y")(joined))


def test_fixed_sizes_reach_the_outputs(images: Any) -> None:
    source = fixed(open_source(images), {"": (1, 32, 48, 3)}, 1)
    assert [spec.shape for spec in (*source.inputs, *source.outputs)] == [(None, 32, 48, 3), (None, 16, 24, 2)]
    assert hint(source) == ""


def test_some_axes_may_stay_free(images: Any) -> None:
    source = fixed(open_source(images), {"image": (None, 32, None, 3)}, "auto")
    assert [spec.shape for spec in (*source.inputs, *source.outputs)] == [(None, 32, None, 3), (None, 16, None, 2)]
    assert "--input-shape image=1,32,N,3" in hint(source)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"picture": (1, 32, 32, 3)}, r"'picture', and the model takes image: float32 \(any, any, any, 3\); use these"),
        ({"image": (1, 32, 3)}, r"has 3 sizes, \(1, 32, 3\); the model takes 4, \(any, any, any, 3\): give one"),
        ({"image": (1, 32, 32, 1)}, r"is \(1, 32, 32, 1\); the model has \(any, any, any, 3\): only free sizes"),
    ],
    ids=["name", "rank", "fixed-size"],
)
def test_a_shape_that_the_model_does_not_take_is_refused(images: Any, shapes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fixed(open_source(images), shapes, "auto")


def test_a_shape_needs_a_name_where_there_are_several_inputs(pair: Any) -> None:
    with pytest.raises(InputError, match="has no name, and the model takes series"):
        fixed(open_source(pair), {"": (1, 8, 4)}, 1)


def test_a_model_that_insists_on_a_batch_takes_no_other() -> None:
    import keras

    given = keras.Input(batch_shape=(4, 5))
    source = open_source(keras.Model(given, keras.layers.Dense(2)(given)))
    assert fixed(source, {}, "auto") is source
    assert fixed(source, {}, 4) is source
    for batch in (2, "dynamic"):
        with pytest.raises(InputError, match=f"made for a batch of 4, and {batch} was asked"):
            fixed(source, {}, batch)


def test_sizes_that_the_model_cannot_run_on_are_refused() -> None:
    import keras

    given = keras.Input((None, 2), name="x")
    source = open_source(keras.Model(given, keras.layers.Conv1D(2, 9)(given)))
    with pytest.raises(ModelError, match=r"cannot be run on x: float32 \(any, 4, 2\)"):
        fixed(source, {"x": (1, 4, 2)}, 1)


def test_other_sizes_are_those_given_repeated(pair: Any) -> None:
    series = np.arange(24, dtype=np.float32).reshape(1, 6, 4)
    found = stretched(open_source(pair), {"series": series, "size": np.ones((1, 2), np.float32)})
    assert found is not None
    assert {name: array.shape for name, array in found.inputs.items()} == {"series": (1, 13, 4), "size": (1, 2)}
    np.testing.assert_array_equal(found.inputs["series"][0, 6:12], series[0])
    assert found.reference["y"].shape == (1, 3)
    assert "--input-shape series=1,N,4" in found.hint


def test_a_model_that_takes_even_sizes_alone_is_asked_for_those() -> None:
    import keras

    image = keras.Input((None, 2), name="x")
    halved = keras.layers.UpSampling1D()(keras.layers.MaxPooling1D()(image))
    source = open_source(keras.Model(image, keras.layers.Add()([image, halved])))
    found = stretched(source, {"x": np.ones((2, 6, 2), np.float32)})
    assert found is not None
    assert found.inputs["x"].shape == (2, 12, 2)


def file_shapes(path: Path) -> list[tuple[Any, ...]]:
    """The shapes that a file itself fixes, by its engine."""
    with edgepack.load(path) as session:
        return [spec.shape for spec in (*session._engine.inputs, *session._engine.outputs)]


@pytest.mark.parametrize(
    ("batch", "asked", "rows", "sizes"),
    [
        ("auto", None, {"tflite": 1, "onnx": None}, ((None, None), (None, None))),
        ("dynamic", ("?", 32, 32, 3), {"tflite": None, "onnx": None}, ((32, 32), (16, 16))),
        (2, (2, 32, 48, 3), {"tflite": 2, "onnx": 2}, ((32, 48), (16, 24))),
    ],
    ids=["free-sizes", "dynamic", "fixed"],
)
def test_the_files_have_the_sizes_asked_for_and_are_right(
    images: Any, tmp_path: Path, batch: Any, asked: Any, rows: dict[str, Any], sizes: tuple[Any, Any]
) -> None:
    report = convert_model(images, f"{tmp_path}/pack/", batch=batch, input_shapes=asked)
    assert [(one.verdict, one.delegation) for one in report.results] == [("right", "yes"), ("right", "–")]
    for kind, leading in rows.items():
        found = file_shapes(tmp_path / f"pack/variants/{kind}-float32.{kind}")
        assert found == [(leading, *sizes[0], 3), (leading, *sizes[1], 2)]
    assert [spec.shape for spec in report.inputs] == [(None, *sizes[0], 3)]


def test_samples_are_of_the_sizes_asked_for(images: Any, tmp_path: Path) -> None:
    evaluation = {"image": np.random.default_rng(0).random((3, 8, 8, 3), np.float32)}
    with pytest.raises(DataError, match=r"has shape \(3, 8, 8, 3\); the model takes \(any, 16, 8, 3\)"):
        convert_model(images, tmp_path / "m.onnx", evaluation=evaluation, input_shapes=(1, 16, 8, 3))
    report = convert_model(images, tmp_path / "m.onnx", evaluation=evaluation, input_shapes=(1, 8, 8, 3))
    assert report.sample_count == 3


def test_a_batch_of_a_model_that_insists_is_in_both_files(tmp_path: Path) -> None:
    import keras

    given = keras.Input(batch_shape=(4, 5), name="x")
    convert_model(keras.Model(given, keras.layers.Dense(2, name="y")(given)), f"{tmp_path}/pack/")
    for file in ("tflite-float32.tflite", "onnx-float32.onnx"):
        assert file_shapes(tmp_path / "pack/variants" / file) == [(4, 5), (4, 2)]


def test_calibrated_ranges_are_right_for_a_fixed_batch(toy: Toy, tmp_path: Path) -> None:
    report = convert_model(
        toy.path,
        f"{tmp_path}/pack/",
        precisions="int8",
        batch=3,
        calibration=toy.calibration,
        evaluation=toy.evaluation,
    )
    assert [one.verdict for one in report.results] == ["right", "right"]


def test_a_file_that_pools_its_free_sizes_runs_at_the_sizes_that_come(tmp_path: Path) -> None:
    import keras

    image = keras.Input((None, None, 1), name="image")
    pooled = keras.layers.UpSampling2D()(keras.layers.MaxPooling2D()(image))
    model = keras.Model(image, keras.layers.Concatenate(name="y")([image, pooled]))
    report = convert_model(model, tmp_path / "m.tflite")
    assert report.results[0].verdict == "right"


def test_a_refusal_of_free_sizes_says_how_to_fix_them(tmp_path: Path) -> None:
    import keras

    given = keras.Input((None, 3), name="series")
    model = keras.Model(given, keras.ops.erfinv(keras.layers.Dense(2, "tanh")(given) * 0.9))
    with pytest.raises(ConvertError, match="--input-shape series=1,N,3 with a number for each N"):
        convert_model(model, tmp_path / "m.tflite")


def test_an_output_that_is_an_input_keeps_both_names(tmp_path: Path) -> None:
    import keras

    given = keras.Input((4,), name="x")
    report = convert_model(keras.Model(given, keras.layers.Flatten(name="y")(given)), f"{tmp_path}/pack/")
    assert [one.verdict for one in report.results] == ["right", "right"]
