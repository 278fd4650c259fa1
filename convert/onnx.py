"""Frozen Keras model to ONNX, behind one seam, with the model's own names."""

from typing import Any

from edgepack.convert.lowering import Markers
from edgepack.convert.source import Frozen, Source
from edgepack.quiet import quiet
from edgepack.runtime.errors import ConvertError

OPSET = 18  # read by ONNX Runtime 1.14 and newer
BATCH = "batch"


def export(source: Source, frozen: Frozen, markers: Markers) -> Any:
    """Write the float32 ONNX model that every precision starts from.

    Args:
        source: Whose names the model gets.
        frozen: The model with constant weights.
        markers: How to write the layers that were lowered while it was frozen.

    Returns:
        An `onnx.ModelProto` that `onnx.checker` accepts; a free batch axis is named `batch`.

    Raises:
        ConvertError: The exporter refuses the model, or writes one that does not hold.
    """
    import onnx
    from tf2onnx.convert import _convert_common

    inputs = dict(zip(frozen.inputs, (spec.name for spec in source.inputs), strict=True))
    outputs = dict(zip(frozen.outputs, (spec.name for spec in source.outputs), strict=True))
    with quiet():
        try:
            model, _ = _convert_common(
                _folded(frozen),
                name=source.name,
                input_names=list(inputs),
                output_names=list(outputs),
                tensors_to_rename={**inputs, **outputs},
                opset=OPSET,
                custom_op_handlers=markers.handlers(),
            )
            model = _slimmed(model)
            _keep_inputs(model, source, frozen)
            _name_batch(model, source)
            onnx.checker.check_model(model, full_check=True)
        except Exception as error:  # the exporter raises what its handlers raise
            raise ConvertError(f"the ONNX exporter refuses the model: {' '.join(str(error).split())[:400]}") from error
    return model


def _slimmed(model: Any) -> Any:
    """The model without operators that only compute shapes which are known; as it is where the slimmer fails on it."""
    import onnxslim

    try:
        return onnxslim.slim(model)
    except Exception:  # noqa: BLE001 - a nicety: a model that it cannot slim is right all the same
        return model


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


def _folded(frozen: Frozen) -> Any:
    """The frozen graph with its constants folded, which the exporter counts on."""
    import tensorflow as tf
    from tf2onnx.tf_loader import tf_optimize

    definition = frozen.function.graph.as_graph_def(add_shapes=True)
    with tf.Graph().as_default():
        tf.import_graph_def(definition, name="")
        return tf_optimize(list(frozen.inputs), list(frozen.outputs), definition)


def _name_batch(model: Any, source: Source) -> None:
    """Write the model's own shapes on inputs and outputs; a free leading axis is called `batch` in all of them."""
    import edgepack

    specs = {spec.name: spec for spec in (*source.inputs, *source.outputs)}
    for value in (*model.graph.input, *model.graph.output):
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if dimension.HasField("dim_value") and dimension.dim_value > 0:
                continue
            size = specs[value.name].shape[axis]
            if axis and size is not None:
                dimension.dim_value = size
            else:
                dimension.dim_param = BATCH if axis == 0 else f"{value.name}_{axis}"
    model.producer_name, model.producer_version = "edgepack", edgepack.__version__
