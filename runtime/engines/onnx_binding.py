"""Run an ONNX Runtime session into arrays that the caller keeps: nothing is allocated, and no result is copied.

What binds arrays to a session costs more than a small net's run, so that each thread keeps its own bindings: an array
that comes again is not bound again.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgepack.runtime.errors import EdgepackError, EngineError, InputError, one_line
from edgepack.runtime.tensor import Array, TensorSpec, describe

_MOST = 8  # bindings that a thread keeps: callers that fill more buffers in turn bind each anew
_COPIED = 2**16  # bytes: up to there, copying an input into an array that is bound is faster than binding it


Call = Callable[[Mapping[str, Array], Sequence[Array]], bool]


class Binder:
    """Runs a session into given arrays. It may be used from several threads."""

    def __init__(
        self,
        session: Any,
        options: Any,
        specs: tuple[Sequence[TensorSpec], Sequence[TensorSpec]],
        run: Callable[[Mapping[str, Array]], Sequence[Array]],
        *,
        bind: bool,
    ) -> None:
        """Take a session.

        Args:
            session: ONNX Runtime's session, the inner one that is compiled; None where that cannot be had.
            options: Options of a run (`RunOptions`).
            specs: Inputs and outputs of the file.
            run: The run that makes its own outputs, for arrays that cannot be bound.
            bind: Whether arrays may be bound: elsewhere than on the CPU an input is copied when it is bound, so that
                what is written into it later would not be seen.
        """
        self._session, self._options, self._run = session, options, run
        self._inputs, self._outputs = specs
        texts = any(spec.dtype == "string" for part in specs for spec in part)
        self._can_bind = bind and not texts and hasattr(session, "run_with_iobinding")
        self._kept = _Kept()

    def run_into(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """Run once into arrays of the caller, which are in the order of the file's outputs.

        On the CPU nothing is allocated, and the thread holds the arrays that came last until others come or the engine
        is closed; elsewhere the results are copied.

        Raises:
            InputError: An array is not C-contiguous, writable, or of its output's type and shape.
            EngineError: The engine failed while running, or comes to other shapes.
        """
        try:
            call = self._kept.calls.get(id(outputs[0])) if outputs else None
            if call is None or not call(feeds, outputs):
                self._bind_and_run(feeds, outputs)
        except EdgepackError:
            raise
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on these inputs: {one_line(error)}") from error

    def _bind_and_run(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        _check(self._outputs, outputs)
        calls = self._kept.calls
        calls.pop(id(outputs[0]), None)
        bound = _Bound(self._session, self._options, self._inputs, outputs)
        if not (self._can_bind and bound.bind(self._outputs, feeds)):
            self._copy(feeds, outputs)
            return
        bound(feeds, outputs)
        if not bound.is_written():  # seen nowhere; it would be silent
            self._copy(feeds, outputs)
            return
        if len(calls) >= _MOST:
            calls.clear()
        calls[id(outputs[0])] = bound.plain() or bound

    def _copy(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """Run as always, and copy."""
        for spec, array, found in zip(self._outputs, outputs, self._run(feeds), strict=True):
            if array.shape != found.shape:
                raise EngineError(
                    f"the buffer of output {spec.name!r} has shape {describe(array.shape)}; "
                    f"these inputs give {describe(found.shape)}"
                )
            np.copyto(array, found)


class _Kept(threading.local):
    """What a thread has bound, by the identity of its first output."""

    def __init__(self) -> None:
        self.calls: dict[int, Call] = {}


class _Bound:
    """Output arrays bound to a session, with what its inputs are read from.

    Called, it runs; it returns False where the arrays are others than those it was made for.
    """

    def __init__(self, session: Any, options: Any, inputs: Sequence[TensorSpec], outputs: Sequence[Array]) -> None:
        self._session, self._options = session, options
        self._names = [spec.name for spec in inputs]
        # Held, so that no other array can take their place in memory.
        self._outputs = tuple((array, array.shape) for array in outputs)
        self._sources: dict[str, tuple[Array, tuple[int, ...], bool]] = {}

    def bind(self, specs: Sequence[TensorSpec], feeds: Mapping[str, Array]) -> bool:
        """Bind everything; False where an input cannot be."""
        import onnxruntime

        self._binding = onnxruntime.capi._pybind_state.SessionIOBinding(self._session)
        memory = onnxruntime.OrtDevice.make("cpu", 0)._get_c_device()
        for spec, (array, shape) in zip(specs, self._outputs, strict=True):
            self._binding.bind_output(spec.name, memory, array.dtype.type, shape, array.ctypes.data)
        return all(self._bind_input(name, feeds[name]) for name in self._names)

    def __call__(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> bool:
        if len(outputs) != len(self._outputs):
            return False
        for given, (held, shape) in zip(outputs, self._outputs, strict=True):
            if given is not held or given.shape != shape:  # resized in place, it may lie elsewhere now
                return False
        for name, (array, shape, ours) in self._sources.items():
            value = feeds[name]
            if value.shape != shape:
                return False
            if ours:
                array[...] = value
            elif value is not array and not self._bind_input(name, value):
                return False
        self._session.run_with_iobinding(self._binding, self._options)
        return True

    def plain(self) -> Call | None:
        """The same call on a shorter way, for one small input and one output; None for others."""
        if len(self._outputs) != 1 or [ours for _, _, ours in self._sources.values()] != [True]:
            return None
        ((name, (source, shape, _)),) = self._sources.items()
        ((target, target_shape),) = self._outputs
        run, binding, options = self._session.run_with_iobinding, self._binding, self._options

        def call(feeds: Mapping[str, Array], outputs: Sequence[Array]) -> bool:
            value = feeds[name]
            if value.shape != shape or target.shape != target_shape or len(outputs) != 1:
                return False
            source[...] = value
            run(binding, options)
            return True

        return call

    def is_written(self) -> bool:
        """Whether the results really lie in the caller's arrays."""
        found = self._binding.get_outputs()
        return all(found[index].data_ptr() == array.ctypes.data for index, (array, _) in enumerate(self._outputs))

    def _bind_input(self, name: str, value: Array) -> bool:
        """Bind an input, or a copy of it; False where it can be neither."""
        ours = value.nbytes <= _COPIED
        if ours:
            value = value.copy(order="C")
        elif not value.flags.c_contiguous or any(np.may_share_memory(value, array) for array, _ in self._outputs):
            return False  # ONNX Runtime would bind a copy of its own, or read what it writes
        self._binding.bind_input(name, value)
        self._sources[name] = (value, value.shape, ours)
        return True


def _check(specs: Sequence[TensorSpec], outputs: Sequence[Array]) -> None:
    """Hold buffers against the file's outputs: the engine writes where they lie."""
    if len(outputs) != len(specs):
        names = ", ".join(repr(spec.name) for spec in specs)
        raise InputError(f"got {len(outputs)} buffers; give one for each output: {names}")
    for spec, array in zip(specs, outputs, strict=True):
        fits = len(array.shape) == len(spec.shape) and all(
            wanted is None or size == wanted for size, wanted in zip(array.shape, spec.shape, strict=True)
        )
        if array.dtype != spec.numpy_dtype or not fits:
            raise InputError(
                f"the buffer of output {spec.name!r} is {describe(array.shape, array.dtype.name)}; "
                f"the model gives {describe(spec.shape, spec.dtype)}: make it with np.empty(shape, {spec.dtype!r})"
            )
        if not (array.flags.c_contiguous and array.flags.writeable):
            raise InputError(
                f"the buffer of output {spec.name!r} is not contiguous or not writable; make it with np.empty"
            )
