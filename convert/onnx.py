"""Frozen Keras model to ONNX, behind one seam, with the model's own names."""

from typing import Any

from edgepack.convert.lowering import Markers
from edgepack.convert.orders import ONNXOrder
from edgepack.convert.passes.keep_zeros import keep_zeros
from edgepack.convert.process import Converter
from edgepack.convert.source import Frozen, Source
from edgepack.convert.standard import EXPORTED, Standard, too_new
from edgepack.runtime.about import About
from edgepack.runtime.errors import ConvertError, one_line

BATCH = "batch"


def export(converter: Converter, source: Source, frozen: Frozen, markers: Markers, standard: Standard) -> Any:
    """Write the float32 ONNX model that every precision starts from.

    Args:
        converter: Where the exporter runs.
        source: Whose names the model gets.
        frozen: The model with constant weights.
        markers: How to write the layers that were lowered while it was frozen.
        standard: The operator set it is written in.

    Returns:
        An `onnx.ModelProto` that `onnx.checker` accepts; a free batch axis is named `batch`.

    Raises:
        ConvertError: The exporter refuses the model, or writes one that does not hold.
    """
    import onnx

    order = ONNXOrder(
        source.name,
        dict(zip(frozen.inputs, (spec.name for spec in source.inputs), strict=True)),
        dict(zip(frozen.outputs, (spec.name for spec in source.outputs), strict=True)),
        min(standard.opset, EXPORTED),
        markers.written,
    )
    graph = frozen.function.graph.as_graph_def(add_shapes=True).SerializeToString()
    data = converter.ask(order, {"graph.pb": graph})
    try:
        model = onnx.load_from_string(data)
        _keep_inputs(model, source, frozen)
        _name_batch(model, source, frozen.function.inputs[0].shape[0] if frozen.inputs else None)
        if standard.opset > EXPORTED:
            model = onnx.version_converter.convert_version(model, standard.opset)
        model.ir_version = standard.ir_version
        keep_zeros(model)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker raises what protobuf raises
        raise ConvertError(f"the ONNX exporter wrote a file that does not hold: {one_line(error, 400)}") from error
    return model


def finish(model: Any, standard: Standard, about: About) -> bytes:
    """Write a model in its standard, with what it says of itself; the same model gives the same bytes.

    Raises:
        ConvertError: It does not hold, reads back as another standard, or the ONNX Runtime asked for does not run it.
    """
    import onnx

    used = {node.domain for node in model.graph.node} | {one.domain for one in model.functions} | {""}
    kept = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.ir_version = standard.ir_version  # the quantizer writes its own
    model.producer_name, model.producer_version = "edgepack", about.edgepack
    onnx.helper.set_model_props(model, about.entries())
    data: bytes = model.SerializeToString()
    found = onnx.load_from_string(data)
    if reason := too_new(found, standard):
        raise ConvertError(reason)
    opsets = {one.domain: one.version for one in found.opset_import}
    if opsets.get("") != standard.opset or found.ir_version != standard.ir_version:
        raise ConvertError(f"{standard} was asked, and the file reads opset {opsets.get('')}, IR {found.ir_version}")
    try:
        onnx.checker.check_model(found, full_check=True)
    except Exception as error:  # the checker and shape inference have errors of their own
        raise ConvertError(f"onnx.checker refuses the file: {one_line(error, 400)}") from error
    return data


def _keep_inputs(model: Any, source: Source, frozen: Frozen) -> None:
    """Declare every input of the model again, those that nothing reads among them, in the model's order."""
    from onnx import helper

    written = {value.name: value for value in model.graph.input}
    inputs = [
        written.get(spec.name)
        or helper.make_tensor_value_info(
            spec.name, helper.np_dtype_to_tensor_dtype(spec.numpy_dtype), tensor.shape.as_list()
        )
        for spec, tensor in zip(source.inputs, frozen.function.inputs, strict=True)
    ]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _name_batch(model: Any, source: Source, batch: int | None) -> None:
    """Write the model's own shapes on inputs and outputs; a free leading axis is called `batch` in all of them."""
    specs = {spec.name: spec for spec in (*source.inputs, *source.outputs)}
    for value in (*model.graph.input, *model.graph.output):
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.HasField("dim_value") and dimension.dim_value > 0:
                continue
            size = specs[value.name].shape[axis] if axis else batch
            if size is not None:
                dimension.dim_value = size
            else:
                dimension.dim_param = BATCH if axis == 0 else f"{value.name}_{axis}"
