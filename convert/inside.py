"""Every tensor inside a file while it runs, as real numbers: what a layer of the model can be found among."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgepack.quiet import quiet
from edgepack.runtime.engines.tflite_file import reason_to_refuse
from edgepack.runtime.errors import EngineError, one_line
from edgepack.runtime.tensor import Array

Feeds = Mapping[str, Array]


def run_inside(file_format: str, data: bytes, feeds: Sequence[Feeds]) -> list[dict[str, Array]]:
    """Run a file and keep every tensor that an operator made, by its name in the file.

    Operators run one by one as the file has them: nothing is fused and no delegate takes part. Quantized tensors are
    given as the numbers they stand for.

    Args:
        file_format: `"onnx"` or `"tflite"`.
        data: The file.
        feeds: Inputs by name, one dict for each run, in the file's own batch size.

    Raises:
        EngineError: The file does not run so.
    """
    return _READERS[file_format](data, feeds)


def _onnx(data: bytes, feeds: Sequence[Feeds]) -> list[dict[str, Array]]:
    import onnx
    import onnxruntime

    model = onnx.load_from_string(data)
    known = {value.name for value in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        kept = [output.name for output in session.get_outputs()]
        return [dict(zip(kept, session.run(kept, dict(feed)), strict=True)) for feed in feeds]
    except Exception as error:  # onnxruntime raises classes of its own
        raise _refusal(error) from error


def _tflite(data: bytes, feeds: Sequence[Feeds]) -> list[dict[str, Array]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    if reason := reason_to_refuse(data):
        raise EngineError(f"the file does not run: {reason}")
    try:
        with quiet():
            interpreter = Interpreter(
                model_content=data, num_threads=1, experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )  # fmt: skip
            interpreter.allocate_tensors()
            return [_invoke(interpreter, feed) for feed in feeds]
    except (ValueError, RuntimeError) as error:
        raise _refusal(error) from error


def _invoke(interpreter: Any, feed: Feeds) -> dict[str, Array]:
    """One run; what it gives under the names of its signature is among the tensors too."""
    taken = {detail["name"]: detail for detail in interpreter.get_input_details()}
    for name, array in feed.items():
        detail = taken[name]
        interpreter.set_tensor(detail["index"], _stored(array, detail))
    interpreter.invoke()
    made = {int(index) for operator in interpreter._get_ops_details() for index in operator["outputs"] if index >= 0}
    details = [detail for detail in interpreter.get_tensor_details() if detail["index"] in made]
    tensors = {}
    for detail in details:
        try:
            tensors[detail["name"]] = _real(interpreter.get_tensor(detail["index"]), detail)
        except ValueError:
            continue  # a tensor without a value, such as a resource
    return tensors


def _refusal(error: Exception) -> EngineError:
    return EngineError(f"the file does not run operator by operator: {one_line(error, 300)}")


def _real(stored: Array, detail: Mapping[str, Any]) -> Array:
    """The numbers that a quantized tensor stands for."""
    scale, zero = detail["quantization"]
    return (stored.astype(np.float64) - zero) * scale if scale else np.array(stored)


def _stored(array: Array, detail: Mapping[str, Any]) -> Array:
    """An input as the file stores it."""
    scale, zero = detail["quantization"]
    if not scale or array.dtype == detail["dtype"]:
        return array
    limits = np.iinfo(detail["dtype"])
    stored: Array = np.clip(np.round(array / scale) + zero, limits.min, limits.max).astype(detail["dtype"])
    return stored


_READERS = {"onnx": _onnx, "tflite": _tflite}
