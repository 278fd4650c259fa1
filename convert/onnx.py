"""Frozen Keras model to ONNX, behind one seam, with the model's own names."""

import pickle
from typing import Any

from edgepack.convert.lowering import Markers
from edgepack.convert.orders import ONNXOrder
from edgepack.convert.process import Converter
from edgepack.convert.source import Frozen, Source
from edgepack.runtime.errors import ConvertError

OPSET = 18  # read by ONNX Runtime 1.14 and newer
BATCH = "batch"


def export(converter: Converter, source: Source, frozen: Frozen, markers: Markers) -> Any:
    """Write the float32 ONNX model that every precision starts from.

    Args:
        converter: Where the exporter runs.
        source: Whose names the model gets.
        frozen: The model with constant weights.
        markers: How to write the layers that were lowered while it was frozen.

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
        OPSET,
    )
    graph = frozen.function.graph.as_graph_def(add_shapes=True).SerializeToString()
    data = converter.ask(order, {"graph.pb": graph, "markers.pickle": pickle.dumps(markers)})
    try:
        model = onnx.load_from_string(data)
        _name_batch(model, source)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker raises what protobuf raises
        raise ConvertError(f"the ONNX exporter wrote a file that does not hold: {_one_line(error)}") from error
    return model


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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
