"""One interpreter of a TFLite file, with the calls that set its tensors, run it and read them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from edgepack.runtime.engines.base import closed
from edgepack.runtime.engines.tflite_state import State
from edgepack.runtime.errors import EngineError
from edgepack.runtime.tensor import Array


class Plan(msgspec.Struct, frozen=True):
    """What is the same for every interpreter of a file."""

    open: Callable[[], Any]
    """Makes an interpreter, laid out for the file's own sizes."""
    inputs: tuple[tuple[str, int], ...]
    """Name and index of each input."""
    outputs: tuple[int, ...]
    """Index of each output."""
    has_free_sizes: bool
    state: State
    is_bare: bool
    """Whether calls may go to the interpreter's inner object, without Python between."""
    stays: bool = False
    """Whether tensors lie where they lie for as long as the interpreter lives, once it has run."""


class Lane:
    """An interpreter that one thread uses at a time. It forgets before each run, unless it is to remember."""

    __slots__ = (
        "__weakref__",
        "_get",
        "_inputs",
        "_interpreter",
        "_invoke",
        "_only_output",
        "_plan",
        "_prepares",
        "_remembers",
        "_set",
        "_sizes",
        "_views",
        "quick",
    )  # fmt: skip

    _interpreter: Any
    _set: Callable[..., Any]
    _invoke: Callable[..., Any]
    _get: Callable[..., Any]
    quick: tuple[Callable[..., None], Callable[[], None], Callable[[], Array]] | None
    """Write the one input, invoke, copy the one output: on views of the tensors, once it is known where they lie."""
    _views: tuple[Callable[[], Array], ...]
    _sizes: list[tuple[int, ...]] | None
    """What memory is laid out for, where sizes are free."""

    def __init__(self, plan: Plan, interpreter: Any = None, *, remembers: bool = False) -> None:
        """Take an interpreter that nobody has run, or open one; raises `EngineError` where there is no room for it."""
        self._plan, self._remembers = plan, remembers
        self._inputs = plan.inputs
        self._only_output = plan.outputs[0] if len(plan.outputs) == 1 else None
        self._prepares = plan.has_free_sizes or (plan.state.kept and not remembers)
        self._take(interpreter or plan.open())

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once; the arrays are the caller's."""
        if self._prepares:
            self._prepare(feeds)
        for name, index in self._inputs:
            self._set(index, feeds[name])
        self._invoke()
        if self._only_output is not None:  # a comprehension is a call more
            return (self._get(self._only_output, 0),)
        return [self._get(index, 0) for index in self._plan.outputs]

    def run_one(self, value: Array) -> Array:
        """Run a file with one input and one output, of sizes that are fixed and without state."""
        ((_, given),), (taken,) = self._inputs, self._plan.outputs
        self._set(given, value)
        self._invoke()
        found: Array = self._get(taken, 0)
        if self._plan.stays:  # views take a third of the time that setting and getting do
            view_in, view_out = (self._interpreter.tensor(index)() for index in (given, taken))
            self.quick = view_in.__setitem__, self._invoke, view_out.copy
        return found

    def run_into(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """Run once into arrays of the caller's, in the file's order."""
        if self._prepares:
            self._prepare(feeds)
        for name, index in self._inputs:
            self._set(index, feeds[name])
        self._invoke()
        for index, view, array in zip(self._plan.outputs, self._views, outputs, strict=True):
            is_text = array.dtype.kind in "SOU"  # text has no view
            found = self._get(index, 0) if is_text else view()
            if found.shape != array.shape or not (is_text or found.dtype == array.dtype):
                raise ValueError(
                    f"the result is {found.dtype} {found.shape}, the array to write it to {array.dtype} {array.shape}"
                )
            array[...] = found

    def forget(self) -> None:
        """Bring the file's state to what it is in an interpreter that nobody has run."""
        state = self._plan.state
        if state.needs_new_interpreter:
            self.close()
            self._take(self._plan.open())
            return
        if state.variables:
            self._interpreter.reset_all_variables()
        for graph in state.first_values:  # the run that calls it once gives its memory back
            self._interpreter._interpreter.AllocateTensors(graph)
            self._interpreter._interpreter.Invoke(graph)

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """What a function makes of the interpreter."""
        return question(self._interpreter)

    def close(self) -> None:
        """Give the memory back."""
        self._set, self._invoke, self._get, self.quick = closed, closed, closed, None
        self._interpreter, self._views = None, ()

    def _take(self, interpreter: Any) -> None:
        is_bare = self._plan.is_bare and not self._plan.has_free_sizes
        self._interpreter, self._sizes, self.quick = interpreter, None, None
        self._views = tuple(map(interpreter.tensor, self._plan.outputs))
        self._set, self._invoke, self._get = _calls(interpreter, bare=is_bare)

    def _prepare(self, feeds: Mapping[str, Array]) -> None:
        if not self._remembers and self._plan.state.kept:
            self.forget()
        if self._plan.has_free_sizes:
            self._lay_out([feeds[name].shape for name, _ in self._inputs])

    def _lay_out(self, sizes: list[tuple[int, ...]]) -> None:
        """Bring the free sizes to those of the inputs, where they are not the last ones."""
        if sizes == self._sizes:
            return
        if self._sizes and self._remembers and self._plan.state.variables:
            raise EngineError(
                f"this stream was begun with inputs of {self._sizes}, and got {sizes}: to lay memory out anew would "
                "forget; keep the sizes, or call reset() first"
            )
        self._sizes = None
        for (_, index), shape in zip(self._inputs, sizes, strict=True):
            self._interpreter.resize_tensor_input(index, shape, strict=True)
        self._interpreter.allocate_tensors()
        self._sizes = sizes


def _calls(interpreter: Any, *, bare: bool) -> tuple[Any, Any, Any]:
    """Set a tensor, invoke, get a copy of a tensor: bound once, and without Python between, where that is possible.

    The interpreter's own methods do the same after checks that matter only to those who hold views of its tensors,
    and that take a bound inner method for such a view when it comes to resizing.
    """
    core: Any = getattr(interpreter, "_interpreter", None) if bare else None
    if all(hasattr(core, name) for name in ("SetTensor", "Invoke", "GetTensor")):
        return core.SetTensor, core.Invoke, core.GetTensor
    return interpreter.set_tensor, interpreter.invoke, interpreter.get_tensor
