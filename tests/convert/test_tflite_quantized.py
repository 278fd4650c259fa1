"""TFLite files in fewer bits: what stays in float, what tables become, and who writes a file of whole numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.convert import Report, convert_model, tflite_model
from edgepack.convert.tflite_static import FLOAT_OPERATORS
from edgepack.convert.tflite_tables import store_tables
from edgepack.runtime import engines
from edgepack.runtime.engines.base import Opening
from edgepack.runtime.pack import Pack

_ROWS = 16


def _converted(model: Any, folder: Path, precision: str, values: Any = None, **options: object) -> tuple[Report, bytes]:
    """The report, and the one file, of a model with one input."""
    spec = model.inputs[0]
    if values is None:
        values = np.random.default_rng(0).normal(size=(_ROWS, *spec.shape[1:])).astype(np.float32)
    path = folder / "m.edgepack"
    report = convert_model(
        model, path, targets="tflite", precisions=precision, options=options,
        calibration={spec.name: values}, evaluation={spec.name: values}, force=True,
    )  # fmt: skip
    with Pack(path) as pack:
        return report, pack.read(pack.variant(f"tflite-{precision}").file)


def _opened(data: bytes) -> Any:
    return engines.open_file("litert", data, Opening("XNNPACK"))


@pytest.fixture
def image(keras: Any) -> Any:
    return keras.Input((8, 8, 8), name="image")


def test_what_has_no_kernel_in_eight_bits_stays_in_float(keras: Any, image: Any, tmp_path: Path) -> None:
    one = keras.layers
    x = one.Conv2D(8, 1, activation="gelu")(image)
    x = one.AveragePooling2D(2)(one.Conv2D(8, 1, activation="hard_swish")(x))
    model = keras.Model(image, one.Dense(4, activation="softmax")(one.Flatten()(x)))
    _, data = _converted(model, tmp_path, "int8")
    kinds = {kind for _, _, kind in tflite_model.operators(tflite_model.read(data))}
    assert {"GELU", "HARD_SWISH", "AVERAGE_POOL_2D", "SOFTMAX"} <= kinds & set(FLOAT_OPERATORS)
    assert _opened(data).undelegated == ()


def test_a_small_number_beside_large_ones_stays_in_float(keras: Any, tmp_path: Path) -> None:
    """The epsilon of a normalization is added in a scale that XNNPACK does not take: no table can know."""
    one = keras.layers
    rows = keras.Input((12, 16), name="rows")
    model = keras.Model(rows, one.Dense(8)(one.LayerNormalization()(one.Dense(16)(rows))))
    _, data = _converted(model, tmp_path, "int8")
    assert _opened(data).undelegated == ()


def test_the_part_of_a_split_that_nobody_reads_is_of_the_type_of_the_others(keras: Any, tmp_path: Path) -> None:
    one = keras.layers
    model = keras.Sequential([keras.Input((6, 8), name="sound"), one.LSTM(16), one.Dense(3)])
    report, _ = _converted(model, tmp_path, "int8")
    assert report.results[0].reasons == ()


def test_a_loop_keeps_float_at_its_borders_and_reckons_in_eight_bits_inside(keras: Any, tmp_path: Path) -> None:
    one = keras.layers
    model = keras.Sequential([keras.Input((80, 8), name="sound"), one.LSTM(32), one.Dense(3)])  # too long to unroll
    report, data = _converted(model, tmp_path, "int8")
    found = tflite_model.read(data)
    inside = [
        (graph, one, kind) for graph, one, kind in tflite_model.operators(found) if graph is not found.subgraphs[0]
    ]
    types = {
        tflite_model.dtypes()[graph.tensors[one.inputs[1]].type]
        for graph, one, kind in inside
        if kind == "FULLY_CONNECTED"
    }
    assert report.results[0].operators["WHILE"] == 1
    assert types == {"int8"}


@pytest.mark.parametrize(("precision", "bits"), [("weight_int8", 8), ("dynamic_int8", 8), ("weight_int4", 4)])
def test_a_table_that_rows_are_picked_from_is_stored_in_few_bits(
    keras: Any, tmp_path: Path, precision: str, bits: int
) -> None:
    one = keras.layers
    words = keras.Input((5,), dtype="int32", name="words")
    model = keras.Sequential([words, one.Embedding(601, 16), one.Flatten(), one.Dense(32)])
    report, _ = _converted(
        model, tmp_path, precision, np.random.default_rng(0).integers(0, 601, (_ROWS, 5)).astype("int32")
    )
    assert report.results[0].tensor_bytes[f"int{bits}"] >= 601 * 16 * bits // 8


def test_a_table_of_an_operator_that_is_kept_stays_as_it_is(keras: Any, tmp_path: Path) -> None:
    words = keras.Input((5,), dtype="int32", name="words")
    model = keras.Sequential([words, keras.layers.Embedding(601, 16)])
    values = np.random.default_rng(0).integers(0, 601, (_ROWS, 5)).astype("int32")
    _, data = _converted(model, tmp_path, "float32", values)
    assert store_tables(data, 8, {"GATHER"}) == data
    assert len(store_tables(data, 8)) < len(data) / 2


@pytest.mark.parametrize(
    ("activation", "writer"), [("relu", "quantizer"), ("leaky_relu", "converter")], ids=["quantizer", "converter"]
)
def test_a_file_of_whole_numbers_has_no_float_in_it(
    keras: Any, image: Any, tmp_path: Path, activation: str, writer: str
) -> None:
    one = keras.layers
    model = keras.Model(image, one.Conv2D(8, 1)(one.Conv2D(8, 1, activation=activation)(image)))
    report, data = _converted(model, tmp_path, "int8", io="int8")
    found = tflite_model.read(data)
    types = {tflite_model.dtypes()[tensor.type] for graph in found.subgraphs for tensor in graph.tensors}
    assert "float32" not in types
    assert any("TensorFlow's converter wrote it" in note for note in report.notes) == (writer == "converter")


def test_what_no_writer_has_in_whole_numbers_is_said(keras: Any, image: Any, tmp_path: Path) -> None:
    one = keras.layers
    model = keras.Model(image, one.Conv2D(8, 1)(one.Conv2D(8, 1, activation="elu")(image)))
    report, _ = _converted(model, tmp_path, "int8", io="int8")
    assert any("1 ELU inside the file still reckon in float32" in note for note in report.notes)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_pack_with_a_file_of_whole_numbers_takes_floats(keras: Any, image: Any, tmp_path: Path, rows: int) -> None:
    one = keras.layers
    model = keras.Model(image, one.Dense(4, name="scores")(one.Flatten()(one.Conv2D(8, 1, activation="relu")(image))))
    _converted(model, tmp_path, "int8", io="int8")
    values = np.random.default_rng(0).normal(size=(_ROWS, 8, 8, 8)).astype(np.float32)[:rows]
    with edgepack.load(tmp_path / "m.edgepack") as session:
        found = session.run({"image": values})["scores"]
    wanted = np.asarray(model(values))
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


@pytest.mark.parametrize(("precision", "least_db"), [("int8", 25.0), ("int16x8", 35.0)])
def test_masked_attention_keeps_the_mask_in_float(keras: Any, tmp_path: Path, precision: str, least_db: float) -> None:
    """One scale for scores and for -1e9 would leave one step for all scores."""
    one = keras.layers
    words = keras.Input((12, 16), name="words")
    x = one.MultiHeadAttention(2, 8)(words, words, use_causal_mask=True)
    report, _ = _converted(keras.Model(words, one.Dense(4)(x)), tmp_path, precision)
    parity = report.results[0].parity
    assert parity is not None
    assert parity.snr_db > least_db


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_a_branch_that_is_always_zero_has_a_scale(keras: Any, tmp_path: Path, precision: str) -> None:
    one = keras.layers
    rows = keras.Input((64,), name="rows")
    dead = one.Dense(32, activation="relu", bias_initializer=keras.initializers.Constant(-100))(rows)
    model = keras.Model(rows, one.Dense(4)(one.Add()([one.Dense(32, activation="relu")(rows), one.Dense(32)(dead)])))
    report, _ = _converted(model, tmp_path, precision)
    assert report.results[0].reasons == ()


def _tied(keras: Any) -> Any:
    """Two layers that pick from one table."""

    class Again(keras.layers.Layer):  # type: ignore[misc] # Keras has no types
        def __init__(self, table: Any, **others: Any) -> None:
            super().__init__(**others)
            self.table = table

        def call(self, words: Any) -> Any:
            return keras.ops.take(self.table.embeddings, words, axis=0)

    one = keras.layers
    words = keras.Input((6,), dtype="int32", name="words")
    table = one.Embedding(500, 32, name="first")
    both = [table(words), Again(table, name="second")(keras.ops.maximum(words - 1, 0))]
    return keras.Model(words, one.Dense(64)(one.Flatten()(one.Concatenate()(both))))


@pytest.mark.parametrize("precision", ["weight_int8", "weight_int4"])
def test_a_table_stays_as_it_is_where_one_of_two_that_pick_from_it_stays_in_float(
    keras: Any, tmp_path: Path, precision: str
) -> None:
    values = np.random.default_rng(0).integers(0, 500, (_ROWS, 6)).astype("int32")
    report, _ = _converted(_tied(keras), tmp_path, precision, values, float_layers=["second"])
    assert report.results[0].reasons == ()


def test_a_table_that_gather_nd_picks_from_has_eight_bits_at_least(keras: Any, tmp_path: Path) -> None:
    """Its kernel takes no four."""

    class Pick(keras.layers.Layer):  # type: ignore[misc] # Keras has no types
        def build(self, _: Any) -> None:
            self.table = self.add_weight(shape=(500, 32), name="table")

        def call(self, words: Any) -> Any:
            import tensorflow as tf

            return tf.gather_nd(self.table, words[..., None])

    one = keras.layers
    words = keras.Input((6,), dtype="int32", name="words")
    model = keras.Model(words, one.Dense(512)(one.Flatten()(Pick()(words))))
    values = np.random.default_rng(0).integers(0, 500, (_ROWS, 6)).astype("int32")
    report, _ = _converted(model, tmp_path, "weight_int4", values)
    assert report.results[0].reasons == ()
    assert report.results[0].tensor_bytes["int8"] >= 500 * 32


def test_what_was_asked_to_stay_in_float_is_not_called_a_gap_of_the_writers(
    keras: Any, image: Any, tmp_path: Path
) -> None:
    one = keras.layers
    model = keras.Model(image, one.Conv2D(2, 1, name="last")(one.Conv2D(32, 3, activation="relu")(image)))
    report, _ = _converted(model, tmp_path, "int8", io="int8", float_layers=["last"])
    assert not any("reckon in float32" in note for note in report.notes)


@pytest.mark.parametrize("granularity", ["per-channel", "per-tensor"])
@pytest.mark.parametrize("kind", ["Dense", "Conv2D", "DepthwiseConv2D", "Conv2DTranspose"])
def test_a_channel_of_tiny_weights_keeps_its_bias(
    keras: Any, image: Any, tmp_path: Path, kind: str, granularity: str
) -> None:
    """In steps as small as its weights ask for, 32 bits do not reach as far as the bias."""
    one = keras.layers
    made = {
        "Dense": lambda: one.Dense(8, name="odd"),
        "Conv2D": lambda: one.Conv2D(8, 3, name="odd"),
        "DepthwiseConv2D": lambda: one.DepthwiseConv2D(3, name="odd"),
        "Conv2DTranspose": lambda: one.Conv2DTranspose(8, 3, name="odd"),
    }
    model = keras.Model(image, made[kind]()(one.Flatten()(image) if kind == "Dense" else image))
    kernel, bias = model.get_layer("odd").get_weights()
    tiny = slice(None) if granularity == "per-tensor" else slice(3, 5)
    axis = {"Dense": 1, "Conv2D": 3, "DepthwiseConv2D": 2, "Conv2DTranspose": 2}[kind]
    scale = np.ones(8, np.float32)
    scale[tiny] = 1e-13
    kernel *= scale.reshape([-1 if axis == place else 1 for place in range(kernel.ndim)])
    model.get_layer("odd").set_weights([kernel, bias - 3 - np.arange(8)])
    report, _ = _converted(model, tmp_path, "int8", granularity=granularity)
    parity = report.results[0].parity
    assert parity is not None
    assert parity.snr_db > 30
