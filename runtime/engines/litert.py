"""LiteRT: ai-edge-litert, or its predecessor tflite-runtime on devices where that is all there is."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from edgepack.runtime.device import usable_cores
from edgepack.runtime.engines import delegation, litert_library
from edgepack.runtime.engines.base import Engine, EngineName, Opening, closed
from edgepack.runtime.engines.litert_lane import Lane, Plan
from edgepack.runtime.engines.litert_library import ACCELERATORS, DELEGATE, Library
from edgepack.runtime.engines.litert_stream import LitertStream
from edgepack.runtime.engines.pool import Pool
from edgepack.runtime.engines.tflite_file import metadata, reason_to_refuse
from edgepack.runtime.engines.tflite_state import state_of
from edgepack.runtime.errors import EngineError, one_line
from edgepack.runtime.tensor import Array, TensorSpec

_SMALL_BYTES = 2**22
_ROW_BY_ROW = {"CAST", "GATHER"}  # operators of the interpreter itself whose rows cannot depend on one another
_MOST_WIDE_BYTES = 2**26  # that a file laid out for more rows may take: nets that need more gain little by it

_LIKELY_SIZES = (32, 224)  # of free axes, for a first look at a file that cannot be laid out at size 1


def open_file(data: bytes, opening: Opening) -> Engine:
    """Open a TFLite file on one of LiteRT's providers; raises `EngineError` where it is refused."""
    if opening.provider in ACCELERATORS:
        from edgepack.runtime.engines.litert_compiled import CompiledEngine

        return CompiledEngine(data, opening, litert_library.installed())
    return LitertEngine(data, opening)


class LitertEngine:
    """A TFLite file in the LiteRT interpreter: on the CPU (XNNPACK, where it takes the operators), or a delegate.

    It may be used from several threads: each has an interpreter to itself while it runs.
    """

    def __init__(self, data: bytes, opening: Opening, *, rows: int | None = None) -> None:
        """Open the file; raises `EngineError` with the engine's own words where it refuses it.

        Args:
            data: The whole file.
            opening: Where it runs: XNNPACK (option `xnnpack`: `on`, `off`), or `delegate:` with the path of a library
                and its options.
            rows: How many rows every input is resized to; None leaves the file's own sizes.
        """
        library = litert_library.installed()
        if reason := reason_to_refuse(data):
            raise EngineError(f"{library.description} refuses the file: {reason}")
        self.name = EngineName("litert", partial(getattr, library, "told"))
        self._data, self._opening = data, opening
        self._delegate = opening.provider.removeprefix(DELEGATE) if opening.provider.startswith(DELEGATE) else ""
        with library.refusals():
            interpreter = library.interpreter(data, opening)
            # A delegate has come by now; XNNPACK comes when memory is laid out.
            early = _operators(interpreter) if self._delegate else []
            _lay_out(interpreter, rows)
            inputs, outputs = _tensors(interpreter)
            operators = _operators(interpreter)
        self.inputs = tuple(_spec(name, detail) for name, detail in inputs)
        self.outputs = tuple(_spec(name, detail) for name, detail in outputs)
        self.undelegated = tuple(delegation.remaining(operators))
        self.placement: Mapping[str, int] = self._placement(early, operators)
        self._check_taken()
        self._state = state_of(data)
        self._plan = Plan(
            open=partial(_open, library, data, opening, rows),
            inputs=tuple((name, int(detail["index"])) for name, detail in inputs),
            outputs=tuple(int(detail["index"]) for _, detail in outputs),
            has_free_sizes=any(None in spec.shape for spec in self.inputs),
            state=self._state,
            stays=self._stays(),
            is_bare=not self._delegate,  # an inner object that outlives the interpreter would outlive the delegate too
        )
        # Nothing says that a delegate may work for two interpreters at once.
        self._pool = Pool(
            Lane(self._plan, interpreter), partial(Lane, self._plan), 1 if self._delegate else _most_lanes(data)
        )

    @property
    def provider(self) -> str:
        """Where most operators run: the interpreter and XNNPACK are the CPU, a delegate is there for another chip."""
        most = max(self.placement, key=self.placement.__getitem__, default="")
        return "npu" if self._delegate and most == os.path.basename(self._delegate) else "cpu"

    @property
    def metadata(self) -> Mapping[str, str]:
        """What edgepack wrote into the file."""
        return metadata(self._data)

    @property
    def keeps_state(self) -> bool:
        """Whether the file has state inside, which every `run` starts afresh, and a stream keeps."""
        return self._state.kept

    def stream(self) -> LitertStream:
        """An engine for the same file whose state lives on from run to run, on its own. Close it."""
        return LitertStream(self, Lane(self._plan, remembers=True))

    def resized(self, rows: int) -> "LitertEngine":
        """The same file laid out for another number of rows, which may be wrong: hold it against the rows themselves.

        Raises:
            EngineError: The file has loops or state, which some calls cannot prove to be right; or it would take much
                memory, or is refused.
        """
        if self._plan.has_free_sizes:
            raise EngineError(f"{self.name.description} lays files with free sizes out as they come")
        if self._state.kept:
            raise EngineError(f"{self.name.description} resizes no file that keeps state")
        left = sorted({*self.undelegated} - _ROW_BY_ROW)
        if left or "XNNPACK" not in self.placement:
            raise EngineError(f"{self.name.description} resizes no file with {', '.join(left) or 'unknown operators'}")
        needed = len(self._data) + rows * self._in_lane(lambda lane: lane.ask(_activation_bytes))
        if needed > _MOST_WIDE_BYTES:
            raise EngineError(f"{rows} rows at once would take {needed:,} bytes; at most {_MOST_WIDE_BYTES:,} are used")
        return LitertEngine(self._data, self._opening, rows=rows)

    def run_one(self) -> Callable[[Array], Array] | None:
        """What takes the one input and gives the one output, in as few steps as there are; None for other files."""
        plan, pool, fail = self._plan, self._pool, self._failure
        if len(plan.inputs) != 1 or len(plan.outputs) != 1 or plan.has_free_sizes or plan.state.kept:
            return None

        def run(value: Array) -> Array:
            idle = pool.idle
            try:
                lane = idle.pop()
            except IndexError:
                lane = pool.another()
            try:
                if lane.quick is None:
                    return lane.run_one(value)
                give, invoke, take = lane.quick
                give(..., value)
                invoke()
                return take()
            except (ValueError, RuntimeError) as error:
                raise fail(error) from error
            finally:
                idle.append(lane)
                if pool.wanted:
                    pool.wake()

        return run

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once; the arrays belong to the caller."""
        idle = self._pool.idle  # as in `_in_lane`, for a call less
        try:
            lane = idle.pop()
        except IndexError:
            lane = self._pool.another()
        try:
            return lane.run(feeds)
        except (ValueError, RuntimeError) as error:
            raise self._failure(error) from error
        finally:
            idle.append(lane)
            if self._pool.wanted:
                self._pool.wake()

    def run_into(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """Run once into arrays of the caller's, which are of the outputs' shapes and dtypes, in the file's order."""
        try:
            self._in_lane(Lane.run_into, feeds, outputs)
        except (ValueError, RuntimeError, TypeError) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Give the memory back; runs that are under way end first."""
        self._pool.close(Lane.close)
        self._data, self._plan = b"", msgspec.structs.replace(self._plan, open=closed)

    def _stays(self) -> bool:
        """Whether XNNPACK runs all of one input and one output of numbers, in sizes that are fixed: nothing moves."""
        ends = (*self.inputs, *self.outputs)
        fixed = all(None not in spec.shape and spec.shape and spec.dtype != "string" for spec in ends)
        return fixed and len(ends) == 2 and list(self.placement) == ["XNNPACK"] and not self._state.kept

    def _in_lane(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What a function makes of an interpreter that this thread has to itself."""
        idle = self._pool.idle
        try:
            lane = idle.pop()
        except IndexError:
            lane = self._pool.another()
        try:
            return call(lane, *arguments)
        finally:
            idle.append(lane)
            if self._pool.wanted:
                self._pool.wake()

    def _failure(self, error: Exception) -> EngineError:
        if isinstance(error, EngineError):
            return error
        return EngineError(f"{self.name.description} failed on these inputs: {one_line(error)}")

    def _check_taken(self) -> None:
        """Refuse a delegate that takes nothing, and in strict mode one that leaves something."""
        if not self._delegate:
            return
        (name, taken), *others = self.placement.items()
        left = ", ".join(f"{other} {count}" for other, count in others)
        if not taken or (self._opening.strict and others):
            raise EngineError(f"delegate {name} takes {taken or 'none'} of the operators (the others: {left})")

    def _placement(
        self, early: Sequence[Mapping[str, Any]], operators: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, int]:
        """Operators that the delegate took, those that XNNPACK took, and those that the interpreter runs itself."""
        count = sum(operator["op_name"] != "DELEGATE" for operator in operators)
        delegated = count - len(delegation.remaining(early)) if self._delegate else 0
        own = len(self.undelegated)
        found = {"XNNPACK": count - delegated - own, "interpreter": own}
        taken = {name: operators for name, operators in found.items() if operators}
        return {os.path.basename(self._delegate): delegated, **taken} if self._delegate else taken


def _most_lanes(data: bytes) -> int:
    """How many interpreters of a file there may be: each packs the weights anew, and is made when it is wanted.

    More threads than cores then need not wait for one another between two runs, which costs a tenth of small nets.
    """
    return usable_cores() * (4 if len(data) <= _SMALL_BYTES else 1)


def _open(library: Library, data: bytes, opening: Opening, rows: int | None) -> Any:
    """An interpreter that is ready to run."""
    with library.refusals():
        interpreter = library.interpreter(data, opening)
        _lay_out(interpreter, rows)
    return interpreter


def _lay_out(interpreter: Any, rows: int | None) -> None:
    if rows:
        _resize(interpreter, rows)
    _allocate(interpreter)


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


def _operators(interpreter: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = getattr(interpreter, "_get_ops_details", list)()
    return found


def _spec(name: str, detail: Any) -> TensorSpec:
    signature = detail.get("shape_signature")
    sizes = detail["shape"] if signature is None or len(signature) == 0 else signature
    shape = tuple(None if size < 0 else int(size) for size in sizes)
    dtype = np.dtype(detail["dtype"])
    return TensorSpec(name, shape, "string" if dtype.kind in "SOU" else dtype.name)
