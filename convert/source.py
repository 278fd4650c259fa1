"""The model that goes in: loaded safely, its inputs and outputs named, frozen in inference mode."""

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from edgepack.convert import savedmodel, scopes
from edgepack.convert.calling import flat_call, tensors_of, with_signature
from edgepack.convert.custom import known
from edgepack.convert.keras_file import read_keras
from edgepack.quiet import import_keras, quiet
from edgepack.runtime.batches import Run, run_in_pieces, with_free_batch
from edgepack.runtime.errors import ModelError, one_line
from edgepack.runtime.tensor import Array, TensorSpec, describe

_DTYPES = ("float32", "float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
           "bool", "string")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A model with the names, shapes and dtypes of what it takes and gives; None is a free axis."""

    model: Any
    """The Keras model; None for a SavedModel, which has no layers."""
    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    run: Callable[[Sequence[Any]], list[Any]] | None = None
    """What is called instead of `model`, in flat order; None where there is one."""
    batch: int | None = None
    """How many rows the model takes at once, where it takes no other number."""

    def call(self, tensors: Sequence[Any]) -> dict[str, Any]:
        """Run the model in inference mode on tensors in the order of `inputs`; its outputs by name."""
        flat = self.run(tensors) if self.run else flat_call(self.model, tensors)
        return dict(zip((spec.name for spec in self.outputs), flat, strict=True))

    def predict(self, inputs: Mapping[str, Array], batch: int = 64) -> dict[str, Array]:
        """The model's own outputs on `inputs`, by name: what every file is held against."""
        import tensorflow as tf

        step = tf.function(lambda *tensors: self.call(tensors), reduce_retracing=True)

        def run(part: Mapping[str, Array]) -> list[Array]:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Keras tells of masks that end somewhere
                    given = step(*(tf.constant(part[spec.name]) for spec in self.inputs))
            except Exception as error:  # a layer may raise anything when it is called
                raise ModelError(f"the model itself fails on the samples: {_one_line(error)}") from error
            return [self._checked(spec, given[spec.name].numpy(), part) for spec in self.outputs]

        rows = len(next(iter(inputs.values())))
        pieces = run_in_pieces(run, inputs, rows, self.batch) if self.batch else _by_parts(run, inputs, rows, batch)
        return dict(zip((spec.name for spec in self.outputs), pieces, strict=True))

    def _checked(self, spec: TensorSpec, output: Array, part: Mapping[str, Array]) -> Array:
        rows = len(part[self.inputs[0].name])
        if not output.ndim or len(output) != rows:
            raise ModelError(
                f"output {spec.name!r} has shape {output.shape} for {rows} rows of input: the first axis of every "
                "input and output must be the batch"
            )
        return output


@dataclass(frozen=True, slots=True)
class Frozen:
    """A function whose weights are constants, for one batch size, with the graph's own names of inputs and outputs."""

    function: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def open_source(
    model: Any,
    *,
    unsafe_lambda: bool = False,
    custom: Sequence[str] = (),
    signature: str | None = None,
    input_signature: Any = None,
) -> Source:
    """Load a model, or take one in memory.

    Args:
        model: A path to `.keras`, `.h5` or a SavedModel folder, or a `keras.Model`.
        unsafe_lambda: Execute the code that Lambda layers carry. Only for files whose origin you trust.
        custom: The user's own layers and functions that the file names, as `"module:name"`.
        signature: Which signature of a SavedModel; None is `serving_default`, or the only one.
        input_signature: What a model that is a class of its own is called on: see `calling.with_signature`.

    Raises:
        MissingExtraError: TensorFlow or Keras is not installed.
        MissingFileError: Nothing is at the path.
        InputError: Something in `custom` that is not there or cannot be named by a model.
        UnsafeModelError: The file carries code and `unsafe_lambda` is False, or would read or write others.
        ModelError: The file is damaged or of another kind, or the model's inputs are not known.
    """
    import_keras("reads Keras models", "convert")
    if not isinstance(model, (str, os.PathLike)):
        if not hasattr(model, "layers") or not callable(model):
            raise ModelError(
                f"a model comes as a path to .keras or .h5, or as a keras.Model; this is {type(model).__name__}"
            )
        return _describe(model, model.name, input_signature)
    path = Path(model)
    if savedmodel.is_saved_model(path):
        found = savedmodel.load_signature(path, signature)
        return _source(None, path.resolve().name, found.inputs, found.outputs, found.run)
    with known(custom, path):
        return _describe(read_keras(path, unsafe_lambda=unsafe_lambda), path.stem, input_signature)


def _by_parts(run: Run, inputs: Mapping[str, Array], rows: int, size: int) -> list[Array]:
    """The outputs on all rows, `size` at a time and the rest at last."""
    starts = range(0, rows, size)
    parts = [run({name: array[start : start + size] for name, array in inputs.items()}) for start in starts]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def freeze(source: Source, batch: int | None, *, functional: bool = False) -> Frozen:
    """Trace the model in inference mode and turn its weights into constants.

    Args:
        source: The model.
        batch: How many rows; None is any number. A model that takes one number of rows alone is traced for that.
        functional: Keep loops and branches as single operators, as the ONNX exporter reads them.

    Raises:
        ModelError: The model cannot be traced for that batch.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    batch = source.batch or batch
    concrete = traced(source, batch)
    with quiet():
        try:
            function = convert_variables_to_constants_v2(
                concrete, lower_control_flow=not functional, aggressive_inlining=functional
            )
            if source.run and batch:
                function = savedmodel.with_rows(function, batch)
        except Exception as error:  # what the freezing raises is not written down anywhere
            raise _untraceable(batch, error) from error
    if len(function.inputs) != len(source.inputs):
        raise ModelError(
            f"model {source.name!r} keeps a look-up table or other state that a file cannot hold "
            "(StringLookup, TextVectorization, …): take that layer out and feed the model its output"
        )
    return Frozen(
        function, tuple(tensor.name for tensor in function.inputs), tuple(tensor.name for tensor in function.outputs)
    )


def traced(source: Source, batch: int | None) -> Any:
    """The model in inference mode as a concrete function of tensors, its outputs in the order of the source's.

    Raises:
        ModelError: The model cannot be traced for that batch (None: any number of rows).
    """
    import tensorflow as tf

    batch = source.batch or batch
    specs = [
        tf.TensorSpec((batch, *spec.shape[1:]), spec.dtype, name=f"input_{index}")
        for index, spec in enumerate(source.inputs)
    ]
    names = [spec.name for spec in source.outputs]

    def forward(*tensors: Any) -> list[Any]:
        outputs = source.call(tensors)
        return [outputs[name] for name in names]

    with quiet(), scopes.named(source.model):
        try:
            return tf.function(forward).get_concrete_function(*specs)
        except Exception as error:  # a layer may raise anything while it is traced
            raise _untraceable(batch, error) from error


def _untraceable(batch: int | None, error: Exception) -> ModelError:
    return ModelError(f"the model cannot be traced for {batch or 'any number of'} rows: {_one_line(error)}")


def _describe(model: Any, name: str, input_signature: Any) -> Source:
    """The source of a Keras model; one that does not know its inputs is wrapped in one that does."""
    if input_signature is not None or not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        model = with_signature(model, input_signature)
    return _source(model, name, *tensors_of(model))


def _source(
    model: Any, name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], run: Any = None
) -> Source:
    """The source, its batch axis free; a number of rows that the model insists on is kept beside."""
    for spec in (*inputs, *outputs):
        if spec.dtype not in _DTYPES or not spec.shape:
            raise ModelError(
                f"tensor {spec.name!r} of model {name!r} is {describe(spec.shape, spec.dtype)}; it takes "
                f"{', '.join(_DTYPES)} with the batch as first axis"
            )
    taken = {spec.name for spec in inputs}  # in one graph no two tensors have one name
    outputs = [replace(spec, name=f"{spec.name}_output") if spec.name in taken else spec for spec in outputs]
    rows = {spec.shape[0] for spec in inputs} - {None}
    if len(rows) > 1:
        raise ModelError(f"the inputs of model {name!r} have different numbers of rows ({', '.join(map(str, inputs))})")
    return Source(model, name, with_free_batch(inputs), with_free_batch(outputs), run, next(iter(rows), None))


def _one_line(error: Exception) -> str:
    """What was raised, without the stack of calls that TensorFlow and Keras put around it."""
    text = str(error)
    if told := re.search(r"when calling (\w+)\.call\(\)\.\s*\x1b\[1m(.*?)\x1b\[0m", text, re.DOTALL):
        text = told[2] if told[2].startswith("layer ") else f"{told[1]}: {told[2]}"
    return one_line(text, 600) or type(error).__name__
