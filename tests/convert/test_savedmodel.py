"""SavedModel folders: one signature becomes files under its own names; what does more than compute is refused."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert import convert_model
from edgepack.convert.cli import convert
from edgepack.convert.source import freeze, open_source
from edgepack.runtime.errors import ModelError, UnsafeModelError
from edgepack.runtime.pack import Pack
from tests.convert.conftest import Toy

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def exported(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy as `model.export` writes it."""
    path = tmp_path_factory.mktemp("saved") / "toy"
    toy.model.export(path, verbose=False)
    return path


@pytest.fixture(scope="module")
def plain(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `tf.Module` with two signatures and no Keras in it."""
    import tensorflow as tf

    class Plain(tf.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            self.weight = tf.Variable(np.arange(8, dtype=np.float32).reshape(4, 2))

        @tf.function(input_signature=[tf.TensorSpec((None, 4)), tf.TensorSpec((None, 2), tf.int32)])  # type: ignore[untyped-decorator, unused-ignore]
        def both(self, zeta: Any, alpha: Any) -> dict[str, Any]:
            product = zeta @ self.weight
            return {"sum": product + tf.cast(alpha, tf.float32), "many": alpha * 2}

        @tf.function(input_signature=[tf.TensorSpec((3, 4))])  # type: ignore[untyped-decorator, unused-ignore]
        def three(self, rows: Any) -> dict[str, Any]:
            return {"product": rows @ self.weight}

    module = Plain()
    path = tmp_path_factory.mktemp("saved") / "plain"
    tf.saved_model.save(module, path, signatures={"serving_default": module.both, "three": module.three})
    return path


def test_an_exported_keras_model_answers_as_the_model(toy: Toy, exported: Path) -> None:
    source = open_source(exported)
    images = toy.evaluation["image"][:5]
    assert source.name == "toy"
    assert [str(spec) for spec in source.inputs] == ["image: float32 (any, 8, 8, 1)"]
    got = source.predict({"image": images})[source.outputs[0].name]
    np.testing.assert_allclose(got, toy.model(images, training=False), atol=1e-6)


def test_it_becomes_a_pack_of_proved_files(toy: Toy, exported: Path, tmp_path: Path) -> None:
    report = convert_model(
        exported, tmp_path / "toy.edgepack", precisions=("float32", "int8"), calibration=toy.calibration
    )
    assert [one.variant for one in report.passed] == ["tflite-float32", "tflite-int8", "onnx-float32", "onnx-int8"]


def test_names_are_the_signature_s_own_keys(plain: Path) -> None:
    source = open_source(plain)
    assert [str(spec) for spec in source.inputs] == ["alpha: int32 (any, 2)", "zeta: float32 (any, 4)"]
    assert [str(spec) for spec in source.outputs] == ["many: int32 (any, 2)", "sum: float32 (any, 2)"]


def test_outputs_are_counted_as_people_count(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((2,), name="x")
    keras.Model(x, [keras.layers.Dense(1)(x) for _ in range(11)]).export(tmp_path / "m", verbose=False)
    assert [spec.name for spec in open_source(tmp_path / "m").outputs] == [f"output_{index}" for index in range(11)]


def test_a_plain_module_becomes_proved_files(plain: Path, tmp_path: Path) -> None:
    report = convert_model(plain, tmp_path / "plain.edgepack")
    assert len(report.passed) == 2
    with Pack(tmp_path / "plain.edgepack") as pack:
        assert [spec.name for spec in pack.manifest.outputs] == ["many", "sum"]


def test_a_signature_that_takes_three_rows_takes_any_number_in_pieces(plain: Path, tmp_path: Path) -> None:
    source = open_source(plain, signature="three")
    rows = np.random.default_rng(0).random((7, 4), np.float32)
    weight = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.testing.assert_allclose(source.predict({"rows": rows})["product"], rows @ weight, rtol=1e-5)
    assert len(convert_model(plain, tmp_path / "three.edgepack", signature="three").passed) == 2


def test_the_command_takes_a_signature(plain: Path, tmp_path: Path) -> None:
    assert convert(plain, output=str(tmp_path / "three.onnx"), signature="three") == 0


def test_a_frozen_signature_holds_no_variables(exported: Path) -> None:
    nodes = freeze(open_source(exported), 1).function.graph.as_graph_def().node
    assert not any("Variable" in node.op or node.op == "ReadVariableOp" for node in nodes)


def test_an_unknown_signature_lists_those_there_are(plain: Path) -> None:
    with pytest.raises(ModelError, match=r"has no signature 'train' \(it has: serving_default, three\); pass one"):
        open_source(plain, signature="train")


def test_a_module_without_signatures_says_how_to_get_one(keras: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), tmp_path / "m")
    with pytest.raises(ModelError, match=r"no signature 'serving_default' \(it has: none\); save it with signatures="):
        open_source(tmp_path / "m")


def test_the_only_signature_needs_no_name(keras: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    def double(x: Any) -> Any:
        return {"y": x * 2.0}

    module = tf.Module()
    module.double = tf.function(double, input_signature=[tf.TensorSpec((None, 2))])
    tf.saved_model.save(module, tmp_path / "m", signatures={"double": module.double})
    assert [spec.name for spec in open_source(tmp_path / "m").outputs] == ["y"]


def _saved(path: Path, function: Callable[[Any], Any], shape: tuple[int | None, ...] | None = (None, 2)) -> Path:
    import tensorflow as tf

    module = tf.Module()
    module.call = tf.function(lambda x: {"y": function(x)}, input_signature=[tf.TensorSpec(shape, name="x")])
    tf.saved_model.save(module, path, signatures=module.call)
    return path


def _with_python(x: Any) -> Any:
    import tensorflow as tf

    return tf.ensure_shape(tf.numpy_function(lambda value: value, [x], tf.float32), (None, 2))


def _with_file(x: Any) -> Any:
    import tensorflow as tf

    return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)


def _with_file_in_a_loop(x: Any) -> Any:
    import tensorflow as tf

    def body(index: Any, value: Any) -> Any:
        tf.io.write_file("/tmp/never", "x")
        return index + 1, value

    return tf.while_loop(lambda index, _: index < 2, body, (tf.constant(0), x))[1]


def _with_checkpoint(x: Any) -> Any:
    import tensorflow as tf

    tf.raw_ops.SaveV2(prefix="/tmp/never", tensor_names=["x"], shape_and_slices=[""], tensors=[x])
    return x * 1.0


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_with_python, r"'serving_default' calls Python \(operation (Eager)?PyFunc"),
        (_with_file, r"reads or writes files \(operation ReadFile, node 'ReadFile'\)"),
        (_with_file_in_a_loop, r"reads or writes files \(operation WriteFile"),
        (_with_checkpoint, r"reads or writes files \(operation SaveV2"),
    ],
)
def test_a_signature_that_does_more_than_compute_is_refused(
    keras: Any, tmp_path: Path, function: Callable[[Any], Any], reason: str
) -> None:
    with pytest.raises(UnsafeModelError, match=reason):
        open_source(_saved(tmp_path / "m", function))
    assert not Path("/tmp/never").exists()


def test_what_runs_when_it_is_loaded_is_looked_at_too(keras: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        ),
        0,
    )
    module = tf.Module()
    module.table = table
    module.call = tf.function(lambda x: {"y": x * 2}, input_signature=[tf.TensorSpec((None, 2), name="x")])
    tf.saved_model.save(module, tmp_path / "m", signatures=module.call)
    with pytest.raises(UnsafeModelError, match=r"operation InitializeTableFromTextFile"):
        open_source(tmp_path / "m")


@pytest.mark.parametrize(
    ("function", "shape", "reason"),
    [
        (lambda x: x * 2, None, "tensor 'x' of the signature has no shape"),
        (lambda x: x * 2, (), "tensor 'x' of the signature is a single number; it takes"),
    ],
    ids=["no shape", "a number"],
)
def test_a_signature_without_rows_is_refused(
    keras: Any, tmp_path: Path, function: Callable[[Any], Any], shape: tuple[int, ...] | None, reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        open_source(_saved(tmp_path / "m", function, shape))


def test_a_signature_that_mixes_rows_is_refused(keras: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    path = _saved(tmp_path / "m", lambda x: tf.signal.frame(tf.reshape(x, [-1]), 2, 1))
    with pytest.raises(ModelError, match=r"output 'y' has shape \(15, 2\) for 8 rows"):
        open_source(path).predict({"x": np.ones((8, 2), np.float32)})


def test_a_folder_that_holds_no_model_says_what_is_taken(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a folder without saved_model.pb"):
        open_source(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_truncated_graph_is_no_traceback(exported: Path, tmp_path: Path, share: float) -> None:
    data = (exported / "saved_model.pb").read_bytes()
    (tmp_path / "saved_model.pb").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=r"is not a SavedModel; is it whole|no graph with the tag serve"):
        open_source(tmp_path)


def test_a_folder_without_its_weights_is_no_traceback(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes((exported / "saved_model.pb").read_bytes())
    with pytest.raises(ModelError, match=r"cannot be loaded as a SavedModel; is it whole"):
        open_source(tmp_path)


_KERAS_2 = """
import sys
import numpy as np
import tf_keras as keras
keras.utils.set_random_seed(1)
x = keras.Input((6, 3), name="series")
y = keras.layers.Bidirectional(keras.layers.LSTM(4, recurrent_activation="hard_sigmoid"))(x)
model = keras.Model(x, keras.layers.Dense(2, name="score")(y))
model.save(sys.argv[1], save_format="tf")
rows = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
np.savez(sys.argv[2], rows=rows, score=model(rows, training=False))
"""


@pytest.mark.skipif(not find_spec("tf_keras"), reason="tf-keras, which saves such folders, is not installed")
def test_a_folder_of_keras_2_answers_as_it_did(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", _KERAS_2, str(tmp_path / "old"), str(tmp_path / "old.npz")],
        cwd=_ROOT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    source = open_source(tmp_path / "old")
    with np.load(tmp_path / "old.npz") as stored:
        got = source.predict({"series": stored["rows"]})["score"]
        np.testing.assert_allclose(got, stored["score"], atol=1e-6)
    report = convert_model(tmp_path / "old", tmp_path / "old.edgepack")
    assert len(report.passed) == 2
