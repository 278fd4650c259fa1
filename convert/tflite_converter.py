"""TensorFlow's own TFLite converter, as the process of the converters runs it."""

from pathlib import Path
from typing import Any

import numpy as np

from edgepack.convert.orders import TFLiteOrder
from edgepack.convert.precisions import find
from edgepack.convert.refusals import tflite_reason
from edgepack.runtime.errors import ConvertError


def convert(order: TFLiteOrder, folder: Path) -> bytes:
    """Write what the order says; raises what the converter raises, and `ConvertError` where its words say why."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([_function(folder / "graph.pb", order)])
    # Built-in operators alone: a file with Flex operators is refused by every light interpreter.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    set_up = find(order.precision).converter
    assert set_up is not None, "the others are quantized from the float32 file"
    set_up(converter, _calibration(folder / "calibration.npz"))
    converter._experimental_disable_per_channel = not order.per_channel  # it has no public name
    if order.io == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        data: bytes = converter.convert()
    except Exception as error:  # the converter raises what its passes raise
        text = " ".join(str(error).split())
        if not text:
            raise
        raise ConvertError(tflite_reason(text, _places(folder / "graph.pb"))) from error
    return data


def _places(path: Path) -> dict[str, list[str]]:
    """The names of a graph's nodes by their operator, those in its functions too."""
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    found: dict[str, list[str]] = {}
    for node in (*graph.node, *(node for function in graph.library.function for node in function.node_def)):
        found.setdefault(node.op, []).append(node.name)
    return found


def _function(path: Path, order: TFLiteOrder) -> Any:
    """The frozen graph as a function that the converter takes."""
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    feeds, fetches = (
        [wrapped.graph.as_graph_element(name) for name in names] for names in (order.inputs, order.outputs)
    )
    return wrapped.prune(feeds, fetches)


def _calibration(path: Path) -> list[Any] | None:
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as archive:
        return [archive[name] for name in sorted(archive.files, key=int)]
