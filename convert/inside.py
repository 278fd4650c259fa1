"""Every tensor inside a file while it runs, as real numbers: what a layer of the model can be found among."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from edgepack.quiet import quiet
from edgepack.runtime.engines import file_names
from edgepack.runtime.engines.tflite_file import reason_to_refuse
from edgepack.runtime.errors import EngineError, one_line
from edgepack.runtime.tensor import Array

Feeds = Mapping[str, Array]


class Inside(Protocol):
    """An open file that shows every tensor that an operator made.

    Operators run one by one as the file has them: nothing is fused and no delegate takes part. Quantized tensors are
    given as the numbers they stand for.

    Attributes:
        rows: How many rows it takes at once; None is any number.
        outputs: The names of what it gives.
    """

    rows: int | None
    outputs: tuple[str, ...]

    def run(self, feed: Feeds) -> Iterator[tuple[str, Array]]:
        """Run inputs by name, and give each tensor with its name in the file, in order of operators.

        Args:
            feed: An array for each input, by the names that a session knows them by.

        Raises:
            EngineError: The file takes other inputs, or does not run so.
        """


def open_inside(file_format: str, data: bytes, *, floats: bool = False) -> Inside:
    """Open a file to look inside.

    Args:
        file_format: `"onnx"` or `"tflite"`.
        data: The file.
        floats: Leave out what is known to hold no floats.

    Raises:
        EngineError: The file does not run operator by operator.
    """
    return _KINDS[file_format](data, floats)


def run_inside(file_format: str, data: bytes, feeds: Sequence[Feeds]) -> list[dict[str, Array]]:
    """Run a file and keep every tensor that an operator made, by its name in the file; see `Inside`.

    Args:
        file_format: `"onnx"` or `"tflite"`.
        data: The file.
        feeds: Inputs by name, one dict for each run, in the file's own batch size.

    Raises:
        EngineError: The file does not run so.
    """
    inside = open_inside(file_format, data)
    return [dict(inside.run(feed)) for feed in feeds]


class _OnnxInside:
    """An ONNX file with every tensor as one of its outputs."""

    def __init__(self, data: bytes, floats: bool) -> None:
        import onnx
        import onnxruntime

        model = onnx.load_from_string(data)
        self.outputs = tuple(value.name for value in model.graph.output)
        shown = {"", *self.outputs, *(_without_floats(onnx, model.graph) if floats else ())}
        names = [name for node in model.graph.node for name in node.output if name not in shown]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        options.enable_mem_pattern = False  # it would hold memory for the largest batch that was run
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises classes of its own
            raise _refusal(error) from error
        self._kept = [output.name for output in self._session.get_outputs()]
        sizes = [value.shape[0] for value in self._session.get_inputs() if value.shape]
        self.rows = next((size for size in sizes if isinstance(size, int)), None if sizes else 1)

    def run(self, feed: Feeds) -> Iterator[tuple[str, Array]]:
        try:
            found = self._session.run(self._kept, dict(feed))
        except Exception as error:  # onnxruntime raises classes of its own
            raise _refusal(error) from error
        yield from zip(self._kept, found, strict=True)


def _without_floats(onnx: Any, graph: Any) -> list[str]:
    """Tensors whose element type is known to be another."""
    unknown = onnx.TensorProto.UNDEFINED
    floats = {unknown, onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
    return [value.name for value in graph.value_info if value.type.tensor_type.elem_type not in floats]


class _TFLiteInside:
    """A TFLite file whose interpreter keeps every tensor."""

    def __init__(self, data: bytes, floats: bool) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        if reason := reason_to_refuse(data):
            raise EngineError(f"the file does not run: {reason}")
        try:
            with quiet():
                self._interpreter = Interpreter(
                    model_content=data, num_threads=1, experimental_preserve_all_tensors=True,
                    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                )  # fmt: skip
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _refusal(error) from error
        inputs, _ = file_names.of_tflite(data)
        self._inputs = {
            name.given: detail for name, detail in zip(inputs, self._interpreter.get_input_details(), strict=True)
        }
        self.outputs = tuple(detail["name"] for detail in self._interpreter.get_output_details())
        self.rows: int | None = next(
            (int(detail["shape"][0]) for detail in self._inputs.values() if len(detail["shape"])), 1
        )
        operators = self._interpreter._get_ops_details()
        made = {int(index) for operator in operators for index in operator["outputs"] if index >= 0}
        self._made = [
            detail
            for detail in self._interpreter.get_tensor_details()
            if detail["index"] in made and not (floats and np.dtype(detail["dtype"]).kind != "f")
        ]

    def run(self, feed: Feeds) -> Iterator[tuple[str, Array]]:
        if feed.keys() != self._inputs.keys():
            takes, given = (", ".join(map(repr, sorted(names))) for names in (self._inputs, feed))
            raise EngineError(f"the file takes {takes}, and {given} came: give an array for each of its inputs")
        try:
            with quiet():
                for name, array in feed.items():
                    detail = self._inputs[name]
                    self._interpreter.set_tensor(detail["index"], _stored(array, detail))
                self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise _refusal(error) from error
        for detail in self._made:
            try:
                stored = self._interpreter.get_tensor(detail["index"])
            except ValueError:
                continue  # a tensor without a value, such as a resource
            yield detail["name"], _real(stored, detail)


def _refusal(error: Exception) -> EngineError:
    return EngineError(f"the file does not run operator by operator: {one_line(error, 300)}")


def _real(stored: Array, detail: Mapping[str, Any]) -> Array:
    """The numbers that a quantized tensor stands for."""
    scale, zero = detail["quantization"]
    return (stored.astype(np.float64) - zero) * scale if scale else np.asarray(stored)


def _stored(array: Array, detail: Mapping[str, Any]) -> Array:
    """An input as the file stores it."""
    scale, zero = detail["quantization"]
    if not scale or array.dtype == detail["dtype"]:
        return array
    limits = np.iinfo(detail["dtype"])
    stored: Array = np.clip(np.round(array / scale) + zero, limits.min, limits.max).astype(detail["dtype"])
    return stored


_KINDS: dict[str, Callable[[bytes, bool], Inside]] = {"onnx": _OnnxInside, "tflite": _TFLiteInside}
