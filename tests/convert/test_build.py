"""From a Keras model to a proved pack."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgepack
from edgepack.convert import convert_model
from edgepack.runtime.errors import ConvertError, DataError, InputError, ModelError, OutputError, UnknownNameError
from edgepack.runtime.manifest import FORMAT_VERSION, Card, Step, Steps
from edgepack.runtime.pack import Pack
from edgepack.runtime.verify import verify
from tests.convert.conftest import Converted, Toy

_ALL = [
    f"{target}-{precision}"
    for target in ("tflite", "onnx")
    for precision in ("float32", "float16", "dynamic_int8", "int8")
]


def test_all_eight_variants_are_right(converted: Converted) -> None:
    assert [one.variant for one in converted.report.passed] == _ALL


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_float32_is_within_a_hundred_thousandth_of_keras(converted: Converted, target: str) -> None:
    result = next(one for one in converted.report.results if one.variant == f"{target}-float32")
    assert result.parity is not None
    assert result.parity.max_abs <= 1e-5
    assert result.parity.agreement == 1.0


@pytest.mark.parametrize("variant", [name for name in _ALL if "int8" in name])
def test_eight_bit_files_lose_no_more_than_a_point(converted: Converted, variant: str) -> None:
    result = next(one for one in converted.report.results if one.variant == variant)
    assert result.metric is not None
    assert result.metric.keras - result.metric.value <= 0.01


@pytest.mark.parametrize("variant", _ALL)
def test_every_variant_answers_by_the_model_s_own_names(converted: Converted, toy: Toy, variant: str) -> None:
    with edgepack.load(converted.path, variant=variant) as session:
        assert [spec.name for spec in session.inputs] == ["image"]
        results = session.run({"image": toy.evaluation["image"][:5]})
    assert list(results) == ["quadrant"]
    assert results["quadrant"].shape == (5, 4)


def test_the_pack_verifies_on_this_device(converted: Converted) -> None:
    assert verify(converted.path).failures == ()


def test_dropout_and_batch_statistics_are_frozen(converted: Converted, toy: Toy) -> None:
    image = toy.evaluation["image"][:16]
    with edgepack.load(converted.path, variant="onnx-float32") as session:
        twice = [session.run(image)["quadrant"] for _ in range(2)]
    np.testing.assert_array_equal(twice[0], twice[1])
    np.testing.assert_allclose(twice[0], toy.model(image, training=False), atol=1e-5)  # float32, 4 layers


def test_provenance_says_where_a_pack_comes_from(converted: Converted) -> None:
    with Pack(converted.path) as pack:
        provenance = pack.manifest.provenance
    assert provenance["libraries"]["keras"]
    assert provenance["calibration"]["samples"] == 128
    assert len(provenance["calibration"]["sha256"]) == 64


def test_the_card_beside_the_model_comes_along(toy: Toy, tmp_path: Path) -> None:
    model = tmp_path / "toy.keras"
    model.write_bytes(toy.path.read_bytes())
    labels = ("top left", "top right", "bottom left", "bottom right")
    steps = Steps(
        {"image": (Step("scale", {"factor": 1 / 255}),)}, {"quadrant": (Step("classify", {"labels": list(labels)}),)}
    )
    card = Card(
        FORMAT_VERSION, "quadrants", meanings={"image": "grey, 0 to 1"}, steps=steps, labels={"quadrant": labels}
    )
    (tmp_path / "toy.card.json").write_bytes(msgspec.json.encode(card))
    convert_model(model, tmp_path / "toy.edgepack", targets=("onnx",))
    with edgepack.load(tmp_path / "toy.edgepack") as session:
        assert session.manifest is not None
        assert session.manifest.name == "quadrants"
        assert session.inputs[0].meaning == "grey, 0 to 1"
        best = session.predict(toy.evaluation["image"][0] * 255)[0]
    assert best.label == labels[toy.evaluation["quadrant"][0]]


@pytest.mark.parametrize("name", ["toy.onnx", "toy.tflite"])
def test_a_bare_file_is_proved_and_runs(toy: Toy, tmp_path: Path, name: str) -> None:
    report = convert_model(toy.path, tmp_path / name, evaluation=toy.evaluation)
    assert [one.format for one in report.passed] == [name.removeprefix("toy.")]
    with edgepack.load(tmp_path / name) as session:
        np.testing.assert_allclose(
            session(toy.evaluation["image"][:3]), toy.model(toy.evaluation["image"][:3], training=False), atol=1e-5
        )


def test_a_folder_is_a_pack_too(toy: Toy, tmp_path: Path) -> None:
    convert_model(toy.path, f"{tmp_path / 'toy'}/", targets=("onnx",))
    assert (tmp_path / "toy" / "manifest.json").is_file()
    assert verify(tmp_path / "toy").failures == ()


@pytest.mark.parametrize(("batch", "leading"), [("auto", (1, "batch")), ("dynamic", (None, "batch")), (4, (4, 4))])
def test_batch_says_how_many_rows_a_file_takes(
    toy: Toy, tmp_path: Path, batch: int | str, leading: tuple[Any, Any]
) -> None:
    import onnx

    convert_model(toy.path, tmp_path / "toy.edgepack", batch=batch)
    with Pack(tmp_path / "toy.edgepack") as pack:
        model = onnx.load_from_string(pack.read(pack.variant("onnx-float32").file))
        tflite = pack.read(pack.variant("tflite-float32").file)
    dimension = model.graph.input[0].type.tensor_type.shape.dim[0]
    assert (dimension.dim_param or dimension.dim_value) == leading[1]
    (tmp_path / "bare.tflite").write_bytes(tflite)
    from edgepack.runtime.engines import Opening, open_file

    engine = open_file("litert", tflite, Opening("XNNPACK"))
    assert engine.inputs[0].shape[0] == leading[0]
    for variant in ("onnx-float32", "tflite-float32"):
        with edgepack.load(tmp_path / "toy.edgepack", variant=variant) as session:
            images = toy.evaluation["image"][:7]
            np.testing.assert_allclose(session(images), toy.model(images, training=False), atol=1e-5)


def test_int8_without_calibration_data_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="int8 needs calibration data: pass --calibration"):
        convert_model(tmp_path / "nothing.keras", tmp_path / "toy.edgepack", precisions=("int8",))


def test_a_variant_that_loses_too_much_is_left_out_with_its_reason(toy: Toy, tmp_path: Path) -> None:
    wrong = {"image": np.full((8, 8, 8, 1), 1e-4, np.float32)}  # ranges that cut everything off
    report = convert_model(
        toy.path,
        tmp_path / "toy.edgepack",
        precisions=("float32", "int8"),
        calibration=wrong,
        evaluation=toy.evaluation,
    )
    assert [one.variant for one in report.passed] == ["tflite-float32", "onnx-float32"]
    refused = [one for one in report.results if one.reasons]
    assert all("accuracy" in " ".join(one.reasons) for one in refused)
    with Pack(tmp_path / "toy.edgepack") as pack:
        assert [one.name for one in pack.manifest.variants] == ["tflite-float32", "onnx-float32"]


def test_when_nothing_is_right_the_old_file_stays(toy: Toy, tmp_path: Path) -> None:
    output = tmp_path / "toy.onnx"
    output.write_bytes(b"old")
    wrong = {"image": np.full((8, 8, 8, 1), 1e-4, np.float32)}
    with pytest.raises(ConvertError, match=r"onnx-int8: .*accuracy"):
        convert_model(toy.path, output, precisions=("int8",), calibration=wrong, evaluation=toy.evaluation, force=True)
    assert output.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["toy.onnx"]


def test_without_labels_max_drop_judges_agreement(toy: Toy, tmp_path: Path) -> None:
    images = {"image": toy.evaluation["image"]}
    wrong = {"image": np.full((8, 8, 8, 1), 1e-4, np.float32)}
    with pytest.raises(ConvertError, match="agreement with Keras"):
        convert_model(
            toy.path,
            tmp_path / "toy.tflite",
            precisions=("int8",),
            calibration=wrong,
            evaluation=images,
            max_drop=0.005,
        )


def test_a_model_in_which_nothing_can_be_quantized_is_not_called_int8(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Activation("tanh", name="y")])
    with pytest.raises(ConvertError, match="dynamic_int8 was asked, but its tensors read float32"):
        convert_model(model, tmp_path / "m.tflite", precisions=("dynamic_int8",))


def test_names_and_order_of_several_inputs_and_outputs_are_kept(keras: Any, tmp_path: Path) -> None:
    left, right = keras.Input((3,), name="zeta"), keras.Input((3,), name="alpha")
    total = keras.layers.Add(name="total")([left, right])
    product = keras.layers.Multiply(name="a_product")([left, right])
    model = keras.Model([left, right], [total, product])
    convert_model(model, tmp_path / "m.edgepack")
    feeds = {"zeta": np.float32([[1, 2, 3]]), "alpha": np.float32([[4, 5, 6]])}
    for variant in ("onnx-float32", "tflite-float32"):
        with edgepack.load(tmp_path / "m.edgepack", variant=variant) as session:
            results = session.run(feeds)
        assert list(results) == ["total", "a_product"]
        np.testing.assert_array_equal(results["total"], [[5, 7, 9]])
        np.testing.assert_array_equal(results["a_product"], [[4, 10, 18]])


def test_dicts_of_inputs_and_outputs_keep_their_keys(keras: Any, tmp_path: Path) -> None:
    inputs = {"b": keras.Input((2,), name="b"), "a": keras.Input((2,), name="a")}
    outputs = {"difference": keras.layers.Subtract()([inputs["b"], inputs["a"]])}
    convert_model(keras.Model(inputs, outputs), tmp_path / "m.edgepack")
    for variant in ("onnx-float32", "tflite-float32"):
        with edgepack.load(tmp_path / "m.edgepack", variant=variant) as session:
            results = session.run({"a": np.float32([[1, 2]]), "b": np.float32([[5, 5]])})
        np.testing.assert_array_equal(results["difference"], [[4, 3]])


def test_a_model_that_gives_nan_itself_is_refused(keras: Any, tmp_path: Path) -> None:
    inputs = keras.Input((2,), name="x")
    model = keras.Model(inputs, keras.layers.Identity(name="y")(keras.ops.log(inputs)))
    with pytest.raises(ModelError, match="the Keras model itself gives NaN in output 'y'"):
        convert_model(model, tmp_path / "m.onnx", evaluation=np.float32([[-1, 1]]))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"precisions": ("int3",)}, UnknownNameError, r"unknown precision 'int3' \(known: float32, float16"),
        ({"targets": ("coreml",)}, UnknownNameError, r"unknown target 'coreml' \(known: tflite, onnx, c-array\)"),
        ({"precisions": ()}, InputError, "nothing to build"),
        ({"batch": 0}, InputError, "batch is 0"),
        ({"batch": "many"}, InputError, "batch is 'many'"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else "",
)
def test_arguments_that_cannot_be_are_refused(
    toy: Toy, tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        convert_model(toy.path, tmp_path / "toy.edgepack", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_bare_file_takes_one_precision(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"toy.onnx holds one file; give one precision, or write a pack: -o toy.edgepack"
    ):
        convert_model(toy.path, tmp_path / "toy.onnx", precisions=("float32", "float16"))


def test_an_ending_that_says_nothing_is_refused(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"it takes .edgepack, .tflite, .onnx, .h, or a folder"):
        convert_model(toy.path, tmp_path / "toy.bin")


def test_an_existing_output_needs_force(toy: Toy, tmp_path: Path) -> None:
    output = tmp_path / "toy.edgepack"
    output.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already; pass --force"):
        convert_model(toy.path, output)
    assert output.read_bytes() == b"old"
    convert_model(toy.path, output, targets=("onnx",), force=True)
    assert verify(output).failures == ()


def test_ctrl_c_in_the_middle_leaves_the_old_file(toy: Toy, tmp_path: Path) -> None:
    output = tmp_path / "toy.edgepack"
    output.write_bytes(b"old")
    script = f"""
import os, signal
from edgepack.convert import convert_model
def stop(done, name):
    if done == 1:
        os.kill(os.getpid(), signal.SIGINT)
convert_model({str(toy.path)!r}, {str(output)!r}, force=True, progress=stop)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT or "KeyboardInterrupt" in done.stderr
    assert output.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["toy.edgepack"]


@pytest.mark.parametrize("variant", _ALL)
def test_no_rows_give_no_rows(converted: Converted, toy: Toy, variant: str) -> None:
    with edgepack.load(converted.path, variant=variant) as session:
        assert session.run(toy.evaluation["image"][:0])["quadrant"].shape == (0, 4)


def test_inputs_that_differ_in_rows_are_refused_on_every_engine(keras: Any, tmp_path: Path) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    convert_model(keras.Model([a, b], keras.layers.Add(name="sum")([a, b])), tmp_path / "m.edgepack")
    for variant in ("onnx-float32", "tflite-float32"):
        with (
            edgepack.load(tmp_path / "m.edgepack", variant=variant) as session,
            pytest.raises(InputError, match="differ in their number of rows"),
        ):
            session.run({"a": np.zeros((5, 3), np.float32), "b": np.zeros((1, 3), np.float32)})


def test_a_model_of_a_fixed_batch_answers_any_number_of_rows(keras: Any, tmp_path: Path) -> None:
    inputs = keras.Input(batch_shape=(4, 8), name="x")
    model = keras.Model(inputs, keras.layers.Dense(3, name="y")(inputs))
    convert_model(model, tmp_path / "m.edgepack")
    rows = np.random.default_rng(0).random((6, 8)).astype(np.float32)
    kernel, bias = (weight.numpy() for weight in model.weights)
    for variant in ("onnx-float32", "tflite-float32"):
        with edgepack.load(tmp_path / "m.edgepack", variant=variant) as session:
            np.testing.assert_allclose(session(rows), rows @ kernel + bias, atol=1e-5)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (Card(1, "c", steps=Steps({"picture": ()})), "has steps for input 'picture'; the model has 'image'"),
        (Card(1, "c", steps=Steps({"image": (Step("imag"),)})), "unknown step 'imag'"),
        (Card(1, "c", labels={"quadrant": ("a", "b")}), "has 2 labels for output 'quadrant', which has 4 classes"),
        (Card(1, "c", meanings={"who": "knows"}), "has meanings of 'who'"),
    ],
    ids=["another input", "no such step", "too few labels", "another meaning"],
)
def test_a_card_that_does_not_fit_the_model_is_refused(toy: Toy, tmp_path: Path, card: Card, message: str) -> None:
    with pytest.raises(DataError, match=message):
        convert_model(toy.path, tmp_path / "toy.edgepack", card=card)
    assert list(tmp_path.iterdir()) == []


def test_one_number_that_decides_between_two_has_two_labels(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((8,), name="x"), keras.layers.Dense(1, activation="sigmoid", name="yes")])
    labels = ("no", "yes")
    steps = Steps(outputs={"yes": (Step("decide", {"labels": list(labels)}),)})
    convert_model(
        model, tmp_path / "m.edgepack", targets="onnx", card=Card(1, "m", steps=steps, labels={"yes": labels})
    )
    with edgepack.load(tmp_path / "m.edgepack") as session:
        (answer,) = session.predict([np.ones(8, np.float32)])
    assert {score.label for score in answer} == {"no", "yes"}
    with pytest.raises(DataError, match="has 3 labels for output 'yes', which has 1 classes"):
        convert_model(model, tmp_path / "n.edgepack", card=Card(1, "n", labels={"yes": ("a", "b", "c")}))


def test_one_string_names_several(toy: Toy, tmp_path: Path) -> None:
    report = convert_model(toy.path, tmp_path / "toy.edgepack", targets="onnx", precisions="float32, float16")
    assert [one.variant for one in report.passed] == ["onnx-float32", "onnx-float16"]


@pytest.mark.parametrize("max_drop", [-0.1, float("nan"), float("inf")])
def test_a_drop_that_cannot_be_is_refused(toy: Toy, tmp_path: Path, max_drop: float) -> None:
    with pytest.raises(InputError, match="max_drop is"):
        convert_model(toy.path, tmp_path / "toy.edgepack", max_drop=max_drop)


def test_the_exact_gelu_is_written_for_both_formats(keras: Any, tmp_path: Path) -> None:
    inputs = keras.Input((8,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(4, activation="gelu", name="y")(inputs))
    report = convert_model(model, tmp_path / "m.edgepack")
    assert [one.variant for one in report.passed] == ["tflite-float32", "onnx-float32"]


@pytest.fixture
def toy_with_state(keras: Any) -> Any:
    """One step of a GRU."""
    x, before = keras.Input((1, 3), name="x"), keras.Input((4,), name="before")
    y, after = keras.layers.GRU(4, return_state=True)(x, initial_state=before)
    return keras.Model([x, before], {"y": y, "after": after})


def test_a_model_that_is_given_its_state_back_streams(keras: Any, toy_with_state: Any, tmp_path: Path) -> None:
    model = toy_with_state
    whole = keras.Sequential([keras.Input((5, 3)), layer := keras.layers.GRU(4)])
    layer.set_weights(model.get_weights())
    report = convert_model(model, tmp_path / "m.edgepack", states={"before": "after"})
    assert report.states == {"before": "after"}
    steps = np.random.default_rng(0).normal(size=(1, 5, 3)).astype(np.float32)
    for variant in ("onnx-float32", "tflite-float32"):
        with edgepack.load(tmp_path / "m.edgepack", variant=variant) as session, session.stream() as stream:
            found = [stream.run(steps[:, at : at + 1])["y"] for at in range(5)]
        np.testing.assert_allclose(found[-1], whole.predict(steps, verbose=0), atol=1e-5)


def test_the_card_says_which_inputs_are_states(toy_with_state: Any, tmp_path: Path) -> None:
    card = Card(1, "m", states={"before": "after"})
    assert convert_model(toy_with_state, tmp_path / "m.edgepack", targets="onnx", card=card).states == card.states
    report = convert_model(toy_with_state, tmp_path / "n.edgepack", targets="onnx", card=card, states={})
    assert report.states == {}, "what is asked goes before the card"


def test_a_state_that_is_no_input_is_refused_before_anything_is_built(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"states pairs 'h' with 'y'; it takes inputs"):
        convert_model(toy.model, tmp_path / "m.edgepack", states={"h": "y"})
    assert not list(tmp_path.iterdir())
