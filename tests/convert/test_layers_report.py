"""What each layer of a file holds, and how far it is from the same layer in another file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepack.convert import convert_model
from edgepack.convert.layer_files import look_into
from edgepack.convert.layer_pages import render
from edgepack.convert.layers import File, Layer, LayerReport, look, table
from edgepack.convert.report import Report
from edgepack.quiet import import_keras
from edgepack.runtime.errors import DataError, InputError, MissingFileError, UnknownNameError
from edgepack.runtime.pack import Pack
from edgepack.runtime.tensor import Array

keras = import_keras("builds the model", "convert")
layers = keras.layers


def _model() -> Any:
    keras.utils.set_random_seed(5)
    x = keras.Input((8, 8, 3), name="image")
    y = layers.Conv2D(8, 3, name="first")(x)
    y = layers.BatchNormalization(name="norm")(y)
    y = layers.ReLU(name="cut")(y)
    y = layers.Conv2D(4, 3, name="second")(y)
    y = layers.Flatten(name="flat")(y)
    return keras.Model(x, layers.Dense(3, activation="softmax", name="last")(y), name="small")


def _rows(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((count, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    path = tmp_path_factory.mktemp("layers") / "small.edgepack"
    report = convert_model(
        _model(), path, precisions=("float32", "dynamic_int8", "int8"), calibration={"image": _rows(32)}, max_drop=1
    )
    return path, report


@pytest.fixture(scope="module")
def pack(made: tuple[Path, Report]) -> Path:
    return made[0]


def _file(pack: Path, variant: str) -> File:
    with Pack(pack) as opened:
        found = opened.variant(variant)
        return File(found.name, found.format, opened.read(found.file))


def _by_name(report: LayerReport) -> Mapping[str, Layer]:
    return {one.layer: one for one in report.layers}


@pytest.mark.parametrize(("variant", "stored"), [("onnx-int8", "uint8"), ("tflite-int8", "int8")])
def test_a_quantized_file_is_compared_with_the_float32_one(pack: Path, variant: str, stored: str) -> None:
    report = look_into(pack, variant=variant)
    found = _by_name(report)
    assert report.against == variant.replace("int8", "float32")
    assert {"first", "second", "last"} <= found.keys()
    # Some give float to what stays so, and the smallest product is not worth quantizing in ONNX.
    assert stored in {one.activations for one in report.layers}
    assert found["first"].weights == "int8"
    for name in ("first", "second", "last"):
        one = found[name]
        assert one.against is not None
        assert 20 < one.against.snr_db < 80  # eight bits are some 40 dB
        assert one.against.activations == "float32"
        assert one.against.low == pytest.approx(one.low, abs=0.05 * (one.high - one.low))


def test_a_convolution_gives_the_output_of_the_activation_it_took_in(pack: Path) -> None:
    for variant in ("onnx-int8", "tflite-int8"):
        first = _by_name(look_into(pack, variant=variant))["first"]
        assert first.gives == "cut"
        assert first.low == 0


def test_weights_alone_leave_activations_in_float(pack: Path) -> None:
    for variant in ("onnx-dynamic_int8", "tflite-dynamic_int8"):
        last = _by_name(look_into(pack, variant=variant))["last"]
        assert (last.weights, last.activations, last.saturated) == ("int8", "float32", None)


def test_variants_of_two_formats_are_compared_though_their_axes_differ(pack: Path) -> None:
    report = look_into(pack, variant="onnx-float32", against="tflite-float32")
    seen = {one.gives: one.against.snr_db for one in report.layers if one.against}
    assert {"second", "cut", "last"} <= seen.keys()
    assert min(seen.values()) > 100  # float32, in another order of summing


def test_a_file_against_itself_differs_nowhere(pack: Path) -> None:
    file = _file(pack, "onnx-int8")
    report = look(file, file, {"image": _rows(2)}, "memory")
    assert {one.against.snr_db for one in report.layers if one.against} == {300.0}


def test_what_lies_beyond_the_calibrated_range_is_saturated(pack: Path) -> None:
    files = _file(pack, "onnx-int8"), _file(pack, "onnx-float32")
    usual = _by_name(look(*files, {"image": _rows(2, seed=1)}, "memory"))["first"]
    bright = _by_name(look(*files, {"image": 4 * _rows(2, seed=1)}, "memory"))["first"]
    assert usual.saturated is not None
    assert bright.saturated is not None
    assert usual.saturated < 0.02 < bright.saturated


def test_an_activation_that_cuts_at_zero_is_not_saturated(pack: Path) -> None:
    file = _file(pack, "tflite-int8")
    first = _by_name(look(file, None, {"image": _rows(2)}, "memory"))["first"]
    assert first.low == 0
    assert first.saturated is not None
    assert first.saturated < 0.05


def test_the_layer_whose_weights_were_changed_has_the_most_noise(pack: Path) -> None:
    float32 = _file(pack, "onnx-float32")
    model = onnx.load_from_string(float32.data)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.shape == (4, 8, 3, 3):
            noise = np.random.default_rng(0).normal(0, 0.3 * array.std(), array.shape)
            tensor.CopyFrom(numpy_helper.from_array((array + noise).astype(np.float32), tensor.name))
    spoiled = File("spoiled", "onnx", model.SerializeToString())
    report = look(spoiled, float32, {"image": _rows(4)}, "memory")
    noisy = [one.layer for one in report.layers if one.against and one.against.snr_db < 100]
    assert noisy[0] == "second"
    assert "first" not in noisy


def test_values_that_are_not_numbers_are_as_far_as_can_be() -> None:
    def file(name: str, operator: str) -> File:
        nodes = [helper.make_node(operator, ["x"], ["net/odd/y"], name="net/odd/root")]
        graph = helper.make_graph(
            nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
            [helper.make_tensor_value_info("net/odd/y", TensorProto.FLOAT, [None, 2])],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        return File(name, "onnx", model.SerializeToString())

    report = look(file("roots", "Sqrt"), file("same", "Abs"), {"x": np.array([[-1, 4]], np.float32)}, "memory")
    assert report.layers[0].against is not None
    assert report.layers[0].against.snr_db == -300


def test_rows_stop_when_they_take_long(pack: Path) -> None:
    ticks = iter([0.0, 3.0, 6.0])
    report = look(_file(pack, "tflite-int8"), None, {"image": _rows(8)}, "memory", clock=lambda: next(ticks))
    assert report.rows == 2


@pytest.mark.parametrize(("given", "counted"), [(1, 1), (6, 6), (20, 8)], ids=["one", "six", "more than are run"])
def test_copies_that_fill_up_a_batch_are_not_counted(given: int, counted: int) -> None:
    kinds = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 2]) for name in ("x", "net/one/y")]
    node = helper.make_node("Abs", ["x"], ["net/one/y"], name="net/one/abs")
    graph = helper.make_graph([node], "net", kinds[:1], kinds[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    file = File("four", "onnx", model.SerializeToString())
    assert look(file, None, {"x": np.ones((given, 2), np.float32)}, "memory").rows == counted


def test_a_bare_file_shows_its_own_layers(pack: Path, tmp_path: Path) -> None:
    path = tmp_path / "alone.tflite"
    path.write_bytes(_file(pack, "tflite-int8").data)
    np.savez(tmp_path / "rows.npz", image=_rows(3))
    assert look_into(path).samples == "random numbers"
    report = look_into(path, samples=tmp_path / "rows.npz")
    assert (report.samples, report.rows, report.against) == ("rows.npz", 3, None)
    assert [one.layer for one in report.layers][:2] == ["first", "second"]
    assert not report.worst


def test_wrong_use_gets_one_clear_line(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown variant 'onnx-int4'"):
        look_into(pack, variant="onnx-int4")
    with pytest.raises(MissingFileError, match="no file at"):
        look_into(tmp_path / "none.onnx")
    bare = tmp_path / "alone.onnx"
    bare.write_bytes(_file(pack, "onnx-int8").data)
    with pytest.raises(InputError, match="is one file, and has no variant"):
        look_into(bare, variant="onnx-int8")
    np.savez(tmp_path / "others.npz", picture=_rows(1), sound=_rows(1))
    with pytest.raises(DataError, match="lacks image; it holds picture, sound"):
        look_into(bare, samples=tmp_path / "others.npz")


def test_the_report_of_a_conversion_holds_the_layers_of_each_quantized_file(made: tuple[Path, Report]) -> None:
    _, report = made
    quantized = {"tflite-dynamic_int8", "tflite-int8", "onnx-dynamic_int8", "onnx-int8"}
    assert {one.file for one in report.layers} == quantized
    assert {one["file"] for one in msgspec.json.decode(report.to_json())["layers"]} == quantized
    page = report.to_html()
    assert all(f"{one} against" in page for one in quantized)


def test_a_page_shows_sixty_layers_at_most_the_noisiest_among_them(pack: Path) -> None:
    report = look_into(pack, variant="onnx-int8")
    last = report.layers[-1]
    many = tuple(msgspec.structs.replace(last, layer=f"layer_{index}") for index in range(70))
    assert last.against is not None
    noisy = msgspec.structs.replace(last.against, snr_db=-3.5)
    whole = msgspec.structs.replace(report, layers=(*many, msgspec.structs.replace(last, layer="loud", against=noisy)))
    page = render(whole)
    assert "60 of 71 layers" in page
    assert "loud" in page
    assert "-3.5" in page


def test_the_table_says_where_there_is_nothing_to_compare(pack: Path) -> None:
    report = look_into(pack, variant="onnx-int8")
    alone = msgspec.structs.replace(report.layers[0], against=None)
    columns, cells = table(report, [alone])
    row = dict(zip(columns, cells[0], strict=True))
    assert {row[name] for name in ("SNR dB", "low there", "high there", "types there")} == {"–"}
