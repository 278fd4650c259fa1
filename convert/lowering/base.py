"""The seam of all lowerings: while a model is traced for one target, parts of it run another form of themselves.

A lowering answers for one layer: it returns the function that takes the place of the layer's `call`, or None where it
cannot. The model itself is never changed or copied, so that nested, shared and wrapped layers are reached alike.

Or it answers for one function of Keras's backend (`nn.conv`, `image.resize`, …) and returns what takes its place. That
reaches every layer that computes with it, cells of recurrent layers and the user's own layers too.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NoReturn

import msgspec

from edgepack.runtime.errors import ModelError
from edgepack.runtime.tensor import Array

Call = Callable[..., Any]


def load(place: str) -> Any:
    """What stands at `"module:name"`."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


class GraphWriter:
    """Writes ONNX nodes in the place of one marker.

    `inputs` and `outputs` are the names of the tensors that the nodes must read and make.
    """

    def __init__(self, context: Any, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self._context, self._name, self.inputs, self.outputs = context, name, tuple(inputs), tuple(outputs)

    def constant(self, label: str, array: Array) -> str:
        """Add a constant; returns its name."""
        name: str = self._context.make_const(self._unique(label), array).output[0]
        return name

    def node(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str] | int = 1, **attributes: Any
    ) -> list[str]:
        """Add a node; returns the names of its outputs, made up where only their number is given."""
        named = outputs if not isinstance(outputs, int) else None
        made = self._context.make_node(
            operator,
            list(inputs),
            outputs=list(named) if named is not None else None,
            output_count=len(named) if named is not None else outputs,
            attr=attributes,
            name=self._unique(operator),
            domain="",
            skip_conversion=True,
        )
        return list(made.output)

    def _unique(self, label: str) -> str:
        from tf2onnx.utils import make_name

        name: str = make_name(f"{self._name}/{label}")
        return name


class Marker(msgspec.Struct, frozen=True):
    """One node that stands for ONNX nodes: which function writes them, as `module:function`, with which options."""

    writer: str
    options: dict[str, Any]


@dataclass(slots=True)
class Markers:
    """What was replaced while a model was traced: how to write each marker, and what to tell the user."""

    written: dict[str, Marker] = field(default_factory=dict)
    """By the token that the marker's node has in the graph."""
    notes: list[str] = field(default_factory=list)

    def tell(self, what: str) -> None:
        """Note, once, what was done to the layer that is being traced."""
        self.note(f"{_current_layer()}: {what}")

    def refuse(self, why: str) -> NoReturn:
        """Refuse the model for what the layer that is being traced does.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"layer {_current_layer()!r} {why}")

    def note(self, text: str) -> None:
        """Tell once what was done."""
        if text not in self.notes:
            self.notes.append(text)

    def emit(
        self,
        tensors: Sequence[Any],
        shapes: Sequence[tuple[int | None, ...]],
        dtype: Any,
        writer: Callable[..., None],
        **options: Any,
    ) -> list[Any]:
        """Put a marker into the graph that is being traced: one node that `writer` replaces in the ONNX graph.

        Args:
            tensors: What it reads, weights among it.
            shapes: The static shape of each output; None is a free axis.
            dtype: Element type of all outputs.
            writer: Writes the nodes, in the process of the exporter: a function of a module of lowerings.
            options: What it is called with beside the writer of the graph: data that JSON holds.

        Returns:
            The marker's outputs.
        """
        import tensorflow as tf

        outputs = tf.numpy_function(_never, list(tensors), [dtype] * len(shapes), stateful=False)
        marker = Marker(f"{writer.__module__}:{writer.__name__}", options)
        self.written[outputs[0].op.get_attr("token").decode()] = marker
        # The shape must stand in the graph itself: what is only known to Python is lost when it is frozen.
        return [tf.ensure_shape(output, shape) for output, shape in zip(outputs, shapes, strict=True)]


Lowering = Callable[[Any, Markers], Call | None]


@contextlib.contextmanager
def replaced(replacements: Sequence[tuple[Any, Call]]) -> Iterator[None]:
    """Let layers run other functions as their `call` while the block runs."""
    for layer, call in replacements:
        object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        for layer, _ in replacements:
            object.__delattr__(layer, "call")


def _current_layer() -> str:
    """The name of the layer whose `call` runs."""
    from keras.src.backend.common.name_scope import current_path

    return str(current_path()).rpartition("/")[2] or "the model"


def _never(*_: Any) -> Any:
    raise AssertionError("a marker stands for ONNX nodes and is never run")
