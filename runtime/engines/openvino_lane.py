"""A file that OpenVINO compiled, with the tensors of one run at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgepack.runtime.engines.base import closed
from edgepack.runtime.engines.openvino_library import description, library, words
from edgepack.runtime.errors import EngineError
from edgepack.runtime.tensor import Array

Ports = Sequence[tuple[str, int]]


class _Slot:
    """An input and the array that is bound to it."""

    __slots__ = ("array", "dtype", "name", "port", "shape")

    def __init__(self, name: str, port: int, dtype: np.dtype[Any]) -> None:
        self.name, self.port, self.dtype = name, port, dtype
        self.shape: tuple[int, ...] | None = None
        self.array = np.empty(0, dtype)


class Lane:
    """One infer request; one thread may use it at a time.

    Inputs are copied into arrays that are bound to the request for good, or until other sizes come: to bind the
    caller's own array costs more than to copy a small one, and the library's own call that does either takes three
    times as long as a small net.
    """

    def __init__(self, compiled: Any, inputs: Ports, outputs: Sequence[int], *, remembers: bool = False) -> None:
        """Prepare a request.

        Args:
            compiled: OpenVINO's compiled model.
            inputs: The name that each input is fed by, and its port.
            outputs: The ports of the outputs, in the order they are given in.
            remembers: Whether state lives on from run to run; else each run begins anew.
        """
        # The request of C++: the Python class around it takes longer than a small net.
        self._request = library()._pyopenvino.CompiledModel.create_infer_request(compiled)
        self._infer, self._tensor = self._request.infer, library().Tensor
        self.keeps_state = bool(self._request.query_state())
        self._forgets = self.keeps_state and not remembers
        self._order = None if list(outputs) == list(range(len(outputs))) else list(outputs)
        self._slots: list[_Slot] = []
        for name, port in inputs:
            tensor = compiled.inputs[port]
            slot = _Slot(name, port, tensor.get_element_type().to_dtype())
            if tensor.get_partial_shape().is_static:
                self._bind(slot, tuple(tensor.shape))
            self._slots.append(slot)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Run once; the arrays belong to the caller. What OpenVINO refuses raises `RuntimeError`."""
        self._feed(feeds)
        found = list(self._infer({}, share_outputs=False, decode_strings=False).values())
        return found if self._order is None else [found[port] for port in self._order]

    def run_into(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """Run once into arrays of the caller's; raises `ValueError` where one is not of its output's kind."""
        self._feed(feeds)
        found = list(self._infer({}, share_outputs=True, decode_strings=False).values())  # views of what is its own
        for place, array in enumerate(outputs):
            view = found[place if self._order is None else self._order[place]]
            if array.shape != view.shape or array.dtype != view.dtype:
                raise ValueError(f"output {place} is {view.dtype} {view.shape}, its array {array.dtype} {array.shape}")
            np.copyto(array, view)

    def forget(self) -> None:
        """Go back to the state before the first run."""
        self._request.reset_state()

    def close(self) -> None:
        """Give the memory back."""
        self._slots, self._request = [], None
        self._infer = self.forget = closed  # type: ignore[method-assign]

    def _feed(self, feeds: Mapping[str, Array]) -> None:
        for slot in self._slots:
            array = feeds[slot.name]
            if array.shape != slot.shape:
                self._bind(slot, array.shape)
            np.copyto(slot.array, array)
        if self._forgets:
            self._request.reset_state()

    def _bind(self, slot: _Slot, shape: tuple[int, ...]) -> None:
        """Lay an input out for a shape; raises `RuntimeError` where the file does not take it."""
        array = np.empty(shape, slot.dtype)
        self._request.set_input_tensor(slot.port, self._tensor(array, shared_memory=True))
        slot.shape, slot.array = shape, array


def failure(error: Exception) -> EngineError:
    """What a run raises for an error of OpenVINO's."""
    if isinstance(error, EngineError):
        return error
    if isinstance(error, KeyError):
        return EngineError(f"{description()} was given no input {error}")
    return EngineError(f"{description()} failed on these inputs: {words(error)}")
