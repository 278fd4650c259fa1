"""LiteRT: ai-edge-litert, or its predecessor tflite-runtime on devices where that is all there is."""

import contextlib
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

from edgepack.runtime.engines import delegation
from edgepack.runtime.engines.base import Engine, EngineName, Opening, closed
from edgepack.runtime.engines.tflite_file import metadata, reason_to_refuse
from edgepack.runtime.errors import EngineError, one_line
from edgepack.runtime.tensor import Array, TensorSpec

# module -> (distribution, what to know about it), best first
_LIBRARIES = {
    "ai_edge_litert": ("ai-edge-litert", ""),
    "tflite_runtime": (
        "tflite-runtime",
        "slower than ai-edge-litert, int8 files many times; use that one where it installs",
    ),
}

_ROW_BY_ROW = {"CAST", "GATHER"}  # operators of the interpreter itself whose rows cannot depend on one another
_MOST_WIDE_BYTES = 2**26  # that a file laid out for more rows may take: nets that need more gain little by it

_LIKELY_SIZES = (32, 224)  # of free axes, for a first look at a file that cannot be laid out at size 1


def open_file(data: bytes, opening: Opening) -> Engine:
    """Open a TFLite file on one of LiteRT's providers; raises `EngineError` where it is refused."""
    return LitertEngine(data, opening)


class LitertEngine:
    """A TFLite file in the LiteRT interpreter on the CPU (XNNPACK, where it takes the operators)."""

    def __init__(self, data: bytes, opening: Opening, *, rows: int | None = None) -> None:
        """Open the file; raises `EngineError` with the engine's own words where it refuses it.

        Args:
            data: The whole file.
            opening: Where it runs: there is one provider for now.
            rows: How many rows every input is resized to; None leaves the file's own sizes.
        """
        module = next(name for name in _LIBRARIES if find_spec(name))
        distribution, remark = _LIBRARIES[module]
        description = f"{distribution} {version(distribution)}"
        if reason := reason_to_refuse(data):
            raise EngineError(f"{description} refuses the file: {reason}")
        interpreter = import_module(f"{module}.interpreter").Interpreter
        try:
            self._interpreter = interpreter(model_content=data, num_threads=opening.threads)
            if rows:
                _resize(self._interpreter, rows)
            _allocate(self._interpreter)
            inputs, outputs = _tensors(self._interpreter)
            self.placement: Mapping[str, int] = _placement(self._interpreter)
        except (ValueError, RuntimeError, TypeError) as error:
            raise EngineError(f"{description} refuses the file: {one_line(error)}") from error
        self.name = EngineName("litert", f"{description} ({remark})" if remark else description)
        self.inputs = tuple(_spec(name, detail) for name, detail in inputs)
        self.outputs = tuple(_spec(name, detail) for name, detail in outputs)
        self._input_indices = [(name, detail["index"]) for name, detail in inputs]
        self._output_indices = [detail["index"] for _, detail in outputs]
        self._data, self._opening = data, opening
        self._lock = threading.Lock()  # an interpreter holds one set of tensors
        self._only_output = self._output_indices[0] if len(outputs) == 1 else None
        self._has_free_sizes = any(None in spec.shape for spec in self.inputs)
        self._set, self._invoke, self._get = _calls(self._interpreter, inner=not self._has_free_sizes)
        self._sizes: list[tuple[int, ...]] = []  # that memory is laid out for, where sizes are free

    @property
    def provider(self) -> str:
        """The interpreter runs on the CPU."""
        return "cpu"

    @property
    def metadata(self) -> Mapping[str, str]:
        """What edgepack wrote into the file."""
        return metadata(self._data)

    @property
    def undelegated(self) -> tuple[str, ...]:
        """Names of the operators that XNNPACK left to the interpreter."""
        return tuple(delegation.remaining(getattr(self._interpreter, "_get_ops_details", list)()))

    def resized(self, rows: int) -> "LitertEngine":
        """The same file laid out for another number of rows, which may be wrong: hold it against the rows themselves.

        Raises:
            EngineError: The file has loops or state, which some calls cannot prove to be right; or it would take much
                memory, or is refused.
        """
        if self._has_free_sizes:
            raise EngineError(f"{self.name.description} lays files with free sizes out as they come")
        left = sorted({*self.undelegated} - _ROW_BY_ROW)
        if left or "XNNPACK" not in self.placement:
            raise EngineError(f"{self.name.description} resizes no file with {', '.join(left) or 'unknown operators'}")
        needed = len(self._data) + rows * _activation_bytes(self._interpreter)
        if needed > _MOST_WIDE_BYTES:
            raise EngineError(f"{rows} rows at once would take {needed:,} bytes; at most {_MOST_WIDE_BYTES:,} are used")
        return LitertEngine(self._data, self._opening, rows=rows)

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once; the arrays belong to the caller."""
        with self._lock:
            try:
                if self._has_free_sizes:
                    self._lay_out(feeds)
                for name, index in self._input_indices:
                    self._set(index, feeds[name])
                self._invoke()
                if self._only_output is not None:  # a comprehension is a call more
                    return (self._get(self._only_output, 0),)
                return [self._get(index, 0) for index in self._output_indices]
            except (ValueError, RuntimeError) as error:
                raise EngineError(f"{self.name.description} failed on these inputs: {one_line(error)}") from error

    def _lay_out(self, feeds: Mapping[str, Array]) -> None:
        """Bring the free sizes to those of `feeds`, where they are not the last ones."""
        sizes = [feeds[name].shape for name, _ in self._input_indices]
        if sizes == self._sizes:
            return
        self._sizes = []
        for (_, index), shape in zip(self._input_indices, sizes, strict=True):
            self._interpreter.resize_tensor_input(index, shape, strict=True)
        self._interpreter.allocate_tensors()
        self._sizes = sizes

    def close(self) -> None:
        """Give the memory back; a run that is under way ends first."""
        with self._lock:
            self._set = self._invoke = self._get = closed
            self._interpreter, self._data = None, b""


def _allocate(interpreter: Any) -> None:
    """Lay memory out; where sizes are free, at the first of some sizes that the file can be laid out for."""
    try:
        interpreter.allocate_tensors()
    except RuntimeError:  # a free size counts as 1, which pooling may make nothing of
        shapes = [(detail["index"], detail.get("shape_signature", ())) for detail in interpreter.get_input_details()]
        if not any(-1 in signature for _, signature in shapes):
            raise
        for size in _LIKELY_SIZES:
            for index, signature in shapes:
                sizes = [size if axis and old < 0 else abs(old) for axis, old in enumerate(signature)]
                interpreter.resize_tensor_input(index, sizes)
            with contextlib.suppress(RuntimeError):
                interpreter.allocate_tensors()
                return
        raise


def _resize(interpreter: Any, rows: int) -> None:
    """Give every input that many rows, before memory is laid out."""
    for detail in interpreter.get_input_details():
        interpreter.resize_tensor_input(detail["index"], (rows, *detail["shape"][1:]))


def _activation_bytes(interpreter: Any) -> int:
    """What all operators together write in one run."""
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    written = {int(index) for operator in interpreter._get_ops_details() for index in operator["outputs"]}
    return sum(
        int(np.prod(details[index]["shape"])) * np.dtype(details[index]["dtype"]).itemsize
        for index in written
        if index in details
    )


def _tensors(interpreter: Any) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """Inputs and outputs with their names: those of the file's one signature, else the tensors' own."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(interpreter.get_signature_list()) != 1:
        return [(part["name"], part) for part in inputs], [(part["name"], part) for part in outputs]
    runner = interpreter.get_signature_runner()  # an input that is an output too has a name as each
    return _named(inputs, runner.get_input_details()), _named(outputs, runner.get_output_details())


def _named(parts: Any, signature: Any) -> list[tuple[str, Any]]:
    names = {detail["index"]: name for name, detail in signature.items()}
    return [(names.get(part["index"], part["name"]), part) for part in parts]


def _placement(interpreter: Any) -> Mapping[str, int]:
    """Operators that XNNPACK took, and those that the interpreter runs itself."""
    details: list[dict[str, Any]] = getattr(interpreter, "_get_ops_details", list)()
    own = len(delegation.remaining(details))
    taken = sum(detail["op_name"] != "DELEGATE" for detail in details) - own
    return {name: count for name, count in (("XNNPACK", taken), ("interpreter", own)) if count}


def _calls(interpreter: Any, *, inner: bool) -> tuple[Any, Any, Any]:
    """Set a tensor, invoke, get a copy of a tensor: bound once, and without Python between, where that is possible.

    The interpreter's own methods do the same after checks that matter only to those who hold views of its tensors,
    and that take a bound inner method for such a view when it comes to resizing.
    """
    core: Any = getattr(interpreter, "_interpreter", None) if inner else None
    if all(hasattr(core, name) for name in ("SetTensor", "Invoke", "GetTensor")):
        return core.SetTensor, core.Invoke, core.GetTensor
    return interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor


def _spec(name: str, detail: Any) -> TensorSpec:
    signature = detail.get("shape_signature")
    sizes = detail["shape"] if signature is None or len(signature) == 0 else signature
    shape = tuple(None if size < 0 else int(size) for size in sizes)
    dtype = np.dtype(detail["dtype"])
    return TensorSpec(name, shape, "string" if dtype.kind in "SOU" else dtype.name)
