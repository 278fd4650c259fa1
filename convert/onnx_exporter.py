"""tf2onnx, as the process of the converters runs it: the one place that knows which exporter writes ONNX."""

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgepack.convert.lowering.operators import handlers
from edgepack.convert.orders import ONNXOrder
from edgepack.convert.refusals import missing
from edgepack.runtime.errors import ConvertError


def convert(order: ONNXOrder, folder: Path) -> bytes:
    """Write what the order says; raises what the exporter raises, and `ConvertError` for operators it leaves."""
    import tf2onnx.utils
    from tf2onnx.convert import _convert_common

    tf2onnx.utils.INTERNAL_NAME = 1  # it goes on counting from model to model, and the numbers end up in names
    with _collecting():
        model, _ = _convert_common(
            _folded(folder / "graph.pb", order),
            name=order.name,
            input_names=list(order.inputs),
            output_names=list(order.outputs),
            tensors_to_rename={**order.inputs, **order.outputs},
            opset=order.opset,
            custom_op_handlers=handlers(order.markers),
        )
        _check_operators(model)
        data: bytes = _slimmed(model).SerializeToString()
    return data


def _check_operators(model: Any) -> None:
    """Refuse what the exporter left as operators of TensorFlow."""
    import onnx

    left: dict[str, list[str]] = {}
    for node in model.graph.node:
        if not node.domain and not onnx.defs.has(node.op_type):
            left.setdefault(node.op_type, []).append(node.name)
    if left:
        raise ConvertError(missing("ONNX", "tflite", left))


@contextlib.contextmanager
def _collecting() -> Iterator[None]:
    """Collect garbage often: each pass of the exporter leaves a copy of the graph, weights and all, in a circle."""
    before = gc.get_threshold()
    gc.freeze()  # what is there already is not looked through again
    gc.collect()  # Python collects all when a quarter is new since the last time: from here on that is soon
    gc.set_threshold(100, 2, 1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _slimmed(model: Any) -> Any:
    """The model without operators that only compute shapes which are known; as it is where the slimmer fails on it."""
    import onnxslim

    try:
        return onnxslim.slim(model)
    except Exception:  # noqa: BLE001 - a nicety: a model that it cannot slim is right all the same
        return model


def _folded(path: Path, order: ONNXOrder) -> Any:
    """The frozen graph with its constants folded, which the exporter counts on."""
    import tensorflow as tf
    from tf2onnx.tf_loader import tf_optimize

    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    with tf.Graph().as_default():
        tf.import_graph_def(definition, name="")
        return tf_optimize(list(order.inputs), list(order.outputs), definition)
