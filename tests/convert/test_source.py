"""Loading a Keras model: safely, by name, in inference mode."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert.source import freeze, open_source
from edgepack.runtime.errors import MissingFileError, ModelError, UnsafeModelError
from tests.convert.conftest import Toy


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore")  # Keras calls .h5 legacy, each time it saves one
def test_both_file_kinds_give_the_same_answers(toy: Toy, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"toy{ending}"
    toy.model.save(path)
    source = open_source(path)
    images = toy.evaluation["image"][:4]
    np.testing.assert_allclose(
        source.predict({"image": images})["quadrant"], toy.model(images, training=False), atol=1e-6
    )


def test_names_shapes_and_dtypes_are_the_model_s(toy: Toy) -> None:
    source = open_source(toy.path)
    assert [str(spec) for spec in source.inputs] == ["image: float32 (any, 8, 8, 1)"]
    assert [str(spec) for spec in source.outputs] == ["quadrant: float32 (any, 4)"]
    assert source.name == "toy"


def test_outputs_that_share_a_name_are_told_apart(keras: Any) -> None:
    inputs = keras.Input((2,), name="x")
    shared = keras.layers.Dense(2, name="twin")
    model = keras.Model(inputs, [shared(inputs), shared(shared(inputs))])
    assert [spec.name for spec in open_source(model).outputs] == ["twin", "twin_1"]


def test_prediction_in_pieces_is_prediction_at_once(toy: Toy) -> None:
    source = open_source(toy.model)
    images = {"image": toy.evaluation["image"][:70]}
    whole, pieces = source.predict(images, batch=100), source.predict(images, batch=32)
    np.testing.assert_allclose(whole["quadrant"], pieces["quadrant"], atol=1e-6)


def test_a_frozen_model_holds_no_variables(toy: Toy) -> None:
    frozen = freeze(open_source(toy.model), 1)
    assert not any(
        "Variable" in node.op or node.op == "ReadVariableOp" for node in frozen.function.graph.as_graph_def().node
    )


def _lambda_model(keras: Any, path: Path) -> Path:
    inputs = keras.Input((2,), name="x")
    keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2, name="y", output_shape=(2,))(inputs)).save(path)
    return path


def test_a_lambda_layer_is_refused_with_what_to_do(keras: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsafeModelError, match=r"has a Lambda layer: .* replace the layer, or pass --unsafe-lambda"):
        open_source(_lambda_model(keras, tmp_path / "m.keras"))


def test_a_lambda_layer_is_executed_when_the_user_says_so(keras: Any, tmp_path: Path) -> None:
    source = open_source(_lambda_model(keras, tmp_path / "m.keras"), unsafe_lambda=True)
    np.testing.assert_array_equal(source.predict({"x": np.float32([[1, 2]])})["y"], [[2, 4]])


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no model at .*nothing.keras; check the path"):
        open_source(tmp_path / "nothing.keras")


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.filterwarnings("ignore")  # Keras calls .h5 legacy
def test_a_truncated_model_is_no_traceback(toy: Toy, tmp_path: Path, ending: str, share: float) -> None:
    whole, cut = tmp_path / f"whole{ending}", tmp_path / f"cut{ending}"
    toy.model.save(whole)
    data = whole.read_bytes()
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=rf"cut{ending} (cannot be read as a Keras model; is it whole|is empty)"):
        open_source(cut)


def test_text_that_is_called_a_model_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_text("hello")
    with pytest.raises(ModelError, match="cannot be read as a Keras model"):
        open_source(tmp_path / "m.keras")


def test_a_folder_that_is_called_a_model_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "m.keras").mkdir()
    with pytest.raises(ModelError, match="is a folder"):
        open_source(tmp_path / "m.keras")


def test_another_ending_says_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"it takes .keras, .h5, .hdf5, a SavedModel folder or a keras.Model"):
        open_source(tmp_path / "m.pt")


def test_something_that_is_no_model_says_what_it_is() -> None:
    with pytest.raises(ModelError, match="this is dict"):
        open_source({})


def test_a_model_that_does_not_know_its_inputs_says_how_to_mend_it(keras: Any) -> None:
    class Own(keras.Model):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(ModelError, match=r"does not know its inputs; pass input_signature=.* or call it once"):
        open_source(Own())


def test_a_look_up_table_is_refused_by_name(keras: Any) -> None:
    inputs = keras.Input((1,), dtype="int64", name="id")
    model = keras.Model(inputs, keras.layers.IntegerLookup(vocabulary=[3, 5])(inputs), name="ids")
    with pytest.raises(ModelError, match="'ids' keeps a look-up table or other state that a file cannot hold"):
        freeze(open_source(model), 1)


def test_random_layers_leave_no_state_behind(keras: Any) -> None:
    inputs = keras.Input((8, 8, 3), name="image")
    layers = keras.layers
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.RandomGrayscale(seed=1)(inputs))))
    operators = {node.op for node in freeze(open_source(model), 1).function.graph.as_graph_def().node}
    assert not any("Assign" in name or "Variable" in name for name in operators)
