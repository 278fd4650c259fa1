"""The operators of a file belong to the layers of the model, and a layer that is kept in float stays in float."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from edgepack.convert import process
from edgepack.convert.calibrate import Stream
from edgepack.convert.node_names import name_nodes
from edgepack.convert.operators import Contents, read
from edgepack.convert.options import Options
from edgepack.convert.parts import address, chosen, layers_of
from edgepack.convert.plan import make_plan
from edgepack.convert.precisions import find
from edgepack.convert.samples import Samples
from edgepack.convert.schemes import Scheme
from edgepack.convert.scopes import named, paths
from edgepack.convert.source import Source, freeze, open_source
from edgepack.convert.writers import WRITERS, Tools, Writer
from edgepack.quiet import import_keras
from edgepack.runtime.about import About
from edgepack.runtime.errors import InputError

keras = import_keras("builds the models", "convert")
layers = keras.layers


def _filled(model: Any) -> Any:
    """The model with weights that no converter folds into one."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "seed" not in weight.path:
            values = rng.normal(0, 0.3, weight.shape)
            weight.assign(abs(values) + 0.3 if "variance" in weight.path else values)
    return model


def _net() -> Any:
    """Nested, called twice, fused, and with names that begin like others."""
    inside = keras.Input((8, 8, 4), name="inside")
    block = layers.ReLU(name="relu")(
        layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, padding="same", name="conv")(inside))
    )
    block = keras.Model(inside, block, name="block")
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = layers.Conv2D(4, 3, padding="same", name="conv_1")(x)
    x = block(block(x))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6", name="deep")(x) + x
    dense = layers.Dense(4, activation="relu", name="dense")
    x = dense(dense(layers.Flatten(name="flat")(layers.AveragePooling2D(8, name="pool")(x))))
    return keras.Model(image, layers.Dense(3, activation="softmax", name="dense_1")(x), name="net")


def _attention() -> Any:
    tokens = keras.Input((6, 8), name="tokens")
    x = layers.MultiHeadAttention(2, 4, name="mha")(tokens, tokens)
    x = layers.LayerNormalization(name="norm")(layers.Add(name="both")([x, tokens]))
    return keras.Model(tokens, layers.Dense(2, name="out")(x), name="attention")


def _recurrent() -> Any:
    series = keras.Input((4, 3), name="series")
    x = layers.LSTM(4, return_sequences=True, name="lstm")(series)
    x = layers.GRU(4, unroll=True, return_sequences=True, name="gru")(x)
    x = layers.Bidirectional(layers.GRU(3, name="gru"), name="both_ways")(x)
    return keras.Model(series, layers.Dense(2, name="last")(x), name="recurrent")


def _looping() -> Any:
    """Its loop is an operator with a graph of its own, in both formats."""
    frames = keras.Input((3, 6, 2), name="frames")
    x = layers.ConvLSTM1D(2, 3, name="loop")(frames)
    return keras.Model(frames, layers.Conv1D(2, 1, name="after")(x), name="looping")


_MODELS = {"net": _net, "attention": _attention, "recurrent": _recurrent, "looping": _looping}


class _Made:
    """The writers of the models, each made once."""

    def __init__(self, converter: process.Converter) -> None:
        self._converter = converter
        self._sources: dict[str, Source] = {}
        self._writers: dict[tuple[str, str], Writer] = {}

    def source(self, name: str) -> Source:
        if name not in self._sources:
            self._sources[name] = open_source(_filled(_MODELS[name]()))
        return self._sources[name]

    def writer(self, name: str, target: str) -> Writer:
        if (name, target) not in self._writers:
            source = self.source(name)
            spec = source.inputs[0]
            rows = np.random.default_rng(1).random((8, *map(int, spec.shape[1:]))).astype(np.float32)
            stream = Stream.of(Samples({spec.name: rows}, {}, "random numbers"))
            plan = make_plan("m.edgepack", (target,), ("float32",), "auto", None, options=Options(), force=True)
            self._writers[name, target] = WRITERS[target](plan, source, stream, Tools(self._converter, About(), []))
        return self._writers[name, target]


@pytest.fixture(scope="module")
def made() -> Iterator[_Made]:
    with process.converter() as converter:
        yield _Made(converter)


_FORMATS = pytest.mark.parametrize("target", ["onnx", "tflite"])


@_FORMATS
@pytest.mark.parametrize("name", _MODELS)
def test_each_operator_is_in_one_part_and_each_part_is_a_layer(made: _Made, name: str, target: str) -> None:
    writer = made.writer(name, target)
    contents = read(target, writer.float32)
    nodes = Counter(node for part in writer.parts for node in part.nodes)
    assert nodes == Counter(one.name for one in contents.operators)
    assert {part.name for part in writer.parts} <= set(paths(made.source(name).model))


@_FORMATS
def test_parts_are_nested_layers_and_layers_whose_names_begin_alike(made: _Made, target: str) -> None:
    parts = {part.name: part.operators for part in made.writer("net", target).parts}
    heavy = {
        name: sum(kind in {"CONV_2D", "Conv", "FULLY_CONNECTED", "Gemm", "DEPTHWISE_CONV_2D"} for kind in kinds)
        for name, kinds in parts.items()
    }
    wanted = {"conv": 1, "conv_1": 1, "block/conv": 2, "deep": 1, "dense": 2, "dense_1": 1}
    assert {name: count for name, count in heavy.items() if count} == wanted


@_FORMATS
def test_parts_of_attention_are_its_own_layers(made: _Made, target: str) -> None:
    names = {part.name for part in made.writer("attention", target).parts}
    assert {"mha", "mha/query", "mha/key", "mha/value", "mha/attention_output", "norm", "both", "out"} == names


@_FORMATS
def test_a_recurrent_layer_is_one_part_however_many_operators_it_became(made: _Made, target: str) -> None:
    parts = {part.name: len(part.nodes) for part in made.writer("recurrent", target).parts}
    assert {"lstm", "gru", "both_ways/forward_gru", "both_ways/backward_gru", "last"} <= parts.keys()
    if target == "tflite":
        assert parts["lstm"] > 20, "it is unrolled"


@_FORMATS
@pytest.mark.parametrize("layer", ["conv", "conv_1", "block/conv", "deep", "dense", "dense_1"])
def test_a_layer_that_is_kept_stays_in_float_and_no_other_does(made: _Made, target: str, layer: str) -> None:
    _check_kept(made.writer("net", target), layer)


@_FORMATS
@pytest.mark.parametrize("layer", ["mha/query", "mha", "mha/.", "out"])
def test_layers_in_attention_are_kept_one_by_one_or_together(made: _Made, target: str, layer: str) -> None:
    _check_kept(made.writer("attention", target), layer)


def test_a_recurrent_layer_is_kept_with_all_its_operators(made: _Made) -> None:
    _check_kept(made.writer("recurrent", "tflite"), "lstm")


@_FORMATS
@pytest.mark.parametrize("name", _MODELS)
def test_each_part_has_an_address_that_finds_it_alone(made: _Made, name: str, target: str) -> None:
    parts = made.writer(name, target).parts
    assert [chosen(parts, address(parts, part)) for part in parts] == [(part,) for part in parts]


def test_a_layer_that_is_not_there_is_refused_with_those_that_are(made: _Made) -> None:
    with pytest.raises(InputError, match="no layer 'con' in the onnx file to keep in float; it has conv, conv_1"):
        made.writer("net", "onnx")(Scheme(find("int8"), Options(float_layers=("con",))))


def test_nodes_without_a_name_get_one_of_their_own_in_their_layer(made: _Made) -> None:
    import onnx

    source = made.source("net")
    model = onnx.load_from_string(made.writer("net", "onnx").float32)
    for node in model.graph.node:
        if node.op_type in {"Clip", "Softmax", "Relu"}:
            node.name = ""
    name_nodes(model, tuple(paths(source.model)), "net", freeze(source, 1).function.graph)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert "net/deep/Clip" in names
    assert "net/dense_1/Softmax" in names


def test_a_model_is_as_it_was_after_its_layers_were_named(made: _Made) -> None:
    model = made.source("net").model
    before = [sorted(vars(layer)) for layer in model._flatten_layers()]
    with named(model):
        assert "_open_name_scope" in vars(model.get_layer("conv"))
    assert [sorted(vars(layer)) for layer in model._flatten_layers()] == before


def _check_kept(writer: Writer, layer: str) -> None:
    """Quantize all but one layer and read back which layers hold quantized numbers."""
    # Nothing stays in float by itself, as small products do in ONNX.
    plain = _quantized(writer, writer(Scheme(find("int8"), Options(float_operators=()))))
    kept = _quantized(writer, writer(Scheme(find("int8"), Options(float_operators=(), float_layers=(layer,)))))
    own = {part.name for part in chosen(writer.parts, layer)}
    assert own & plain, "the layer is quantized where it is not kept"
    assert plain - kept == own & plain


def _quantized(writer: Writer, data: bytes) -> set[str]:
    """The layers whose operators compute with quantized numbers."""
    contents = read(writer.target, data)
    homes = layers_of(contents.operators, writer.layers)
    found = set()
    for operator, home in zip(contents.operators, homes, strict=True):
        if home and operator.kind not in {"QUANTIZE", "DEQUANTIZE", "QuantizeLinear", "DequantizeLinear"}:
            found |= {home} if _computes_quantized(contents, operator) else set()
    return found


def _computes_quantized(contents: Contents, operator: Any) -> bool:
    dtypes = {contents.tensors[name].dtype for name in operator.makes if name in contents.tensors}
    makers = {tensor: one for one in contents.operators for tensor in one.makes}
    weights = {
        contents.tensors[constant].dtype
        for tensor in operator.reads
        if tensor in makers and makers[tensor].kind == "DequantizeLinear" and not makers[tensor].reads
        for constant in makers[tensor].constants[:1]
    }
    return bool((dtypes | weights) & {"int8", "uint8"})
