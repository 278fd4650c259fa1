"""Run an ONNX Runtime session into arrays that the caller keeps: nothing is allocated, nothing is copied.

What binds arrays to a session costs more than a small net's run, so that each thread keeps its own bindings: an array
that comes again is not bound again.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgepack.runtime.errors import InputError
from edgepack.runtime.tensor import Array, TensorSpec, describe

_MOST = 8  # bindings that a thread keeps: callers that fill more buffers in turn bind each anew


class Binder:
    """Runs a session into given arrays. It may be used from several threads."""

    def __init__(
        self,
        onnxruntime: Any,
        session: Any,
        options: Any,
        specs: tuple[Sequence[TensorSpec], Sequence[TensorSpec]],
        run: Callable[[Mapping[str, Array]], Sequence[Array]],
        *,
        bind: bool,
    ) -> None:
        """Take a session.

        Args:
            onnxruntime: The module.
            session: Its session, the inner one that is compiled; None where that cannot be had.
            options: Options of a run (`RunOptions`).
            specs: Inputs and outputs of the file.
            run: The run that makes its own outputs, for arrays that cannot be bound.
            bind: Whether arrays may be bound: elsewhere than on the CPU an input is copied when it is bound, so that
                what is written into it later would not be seen.
        """
        self._onnxruntime, self._session, self._options, self._run = onnxruntime, session, options, run
        self._inputs, self._outputs = specs
        texts = any(spec.dtype == "string" for part in specs for spec in part)
        self._can_bind = bind and not texts and hasattr(session, "run_with_iobinding")
        self._kept = threading.local()

    def run_into(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """Run once into `outputs`, which are in the file's order; raises as ONNX Runtime does.

        Raises:
            InputError: An array of `outputs` is not C-contiguous, writable, or of the output's type and shape.
        """
        key = (*map(id, outputs),)
        try:
            bound = self._kept.bound[key]
        except (AttributeError, KeyError):
            bound = self._bind(key, outputs)
        if bound is None or not bound.run(feeds):
            self._copy(feeds, outputs)

    def _bind(self, key: tuple[int, ...], outputs: Sequence[Array]) -> "_Bound | None":
        """Bind arrays as outputs; they are held until this thread ends or has bound others."""
        _check(self._outputs, outputs)
        if not self._can_bind:
            return None
        binding = self._onnxruntime.capi._pybind_state.SessionIOBinding(self._session)
        memory = self._onnxruntime.OrtDevice.make("cpu", 0)._get_c_device()
        for spec, array in zip(self._outputs, outputs, strict=True):
            binding.bind_output(spec.name, memory, array.dtype.type, array.shape, array.ctypes.data)
        kept: dict[tuple[int, ...], _Bound] = self._kept.__dict__.setdefault("bound", {})
        if len(kept) >= _MOST:
            kept.clear()
        kept[key] = bound = _Bound(self._session, binding, self._options, self._inputs, outputs)
        return bound

    def _copy(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """Run as always, and copy."""
        _check(self._outputs, outputs)
        for spec, array, found in zip(self._outputs, outputs, self._run(feeds), strict=True):
            if array.shape != found.shape:
                raise InputError(
                    f"the buffer of output {spec.name!r} has shape {describe(array.shape)}; "
                    f"these inputs give {describe(found.shape)}"
                )
            np.copyto(array, found)


class _Bound:
    """Output arrays bound to a session, with the inputs that were bound last."""

    __slots__ = ("_binding", "_held", "_names", "_options", "_outputs", "_proved", "_session")

    def __init__(
        self, session: Any, binding: Any, options: Any, inputs: Sequence[TensorSpec], outputs: Sequence[Array]
    ) -> None:
        self._session, self._binding, self._options = session, binding, options
        self._names = tuple(spec.name for spec in inputs)
        self._held: dict[str, tuple[Array, tuple[int, ...]]] = {}
        # Held, so that no other array can take their place in memory.
        self._outputs = tuple((array, array.shape) for array in outputs)
        self._proved = False

    def run(self, feeds: Mapping[str, Array]) -> bool:
        """Run, or return False where these arrays cannot be bound."""
        held = self._held
        for name in self._names:
            value = feeds[name]
            array, shape = held.get(name, _NOTHING)
            if (value is not array or value.shape != shape) and not self._bind(name, value):
                return False
        for array, shape in self._outputs:
            if array.shape != shape:  # it was resized in place, and may lie elsewhere now
                return False
        self._session.run_with_iobinding(self._binding, self._options)
        return self._proved or self._prove()

    def _bind(self, name: str, value: Array) -> bool:
        """Bind an input as it lies in memory; False where only a copy of it could be bound, or it is an output too."""
        self._held.pop(name, None)
        if not value.flags.c_contiguous or any(np.may_share_memory(value, array) for array, _ in self._outputs):
            return False
        self._binding.bind_input(name, value)
        self._held[name] = (value, value.shape)
        return True

    def _prove(self) -> bool:
        """Whether the results really lie in the caller's arrays."""
        found = self._binding.get_outputs()
        self._proved = all(
            found[index].data_ptr() == array.ctypes.data for index, (array, _) in enumerate(self._outputs)
        )
        return self._proved


_NOTHING: tuple[None, tuple[int, ...]] = (None, ())


def _check(specs: Sequence[TensorSpec], outputs: Sequence[Array]) -> None:
    """Hold buffers against the file's outputs: the engine writes where they lie."""
    if len(outputs) != len(specs):
        raise InputError(f"got {len(outputs)} buffers; the model has {len(specs)} outputs: give one for each")
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
