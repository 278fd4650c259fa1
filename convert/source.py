"""The Keras model that goes in: loaded safely, its inputs and outputs named, frozen in inference mode."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepack.quiet import import_keras, quiet
from edgepack.runtime.batches import run_in_pieces
from edgepack.runtime.errors import EdgepackError, MissingFileError, ModelError, UnsafeModelError
from edgepack.runtime.tensor import Array, TensorSpec

_ENDINGS = (".keras", ".h5", ".hdf5")


@dataclass(frozen=True, slots=True)
class Source:
    """A Keras model with the names, shapes and dtypes of what it takes and gives; None is a free axis."""

    model: Any
    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batch: int | None = None
    """The number of rows that the model itself insists on; None is any."""

    def call(self, tensors: Sequence[Any]) -> dict[str, Any]:
        """Run the model in inference mode on tensors in the order of `inputs`; its outputs by name."""
        return dict(zip((spec.name for spec in self.outputs), _flat_call(self.model, tensors), strict=True))

    def predict(self, inputs: Mapping[str, Array], batch: int = 64) -> dict[str, Array]:
        """The model's own outputs on `inputs`, by name: what every file is held against."""
        import tensorflow as tf

        step = tf.function(lambda *tensors: self.call(tensors))

        def run(feeds: Mapping[str, Array]) -> list[Array]:
            results = step(*(tf.constant(feeds[spec.name]) for spec in self.inputs))
            return [results[spec.name].numpy() for spec in self.outputs]

        rows = len(inputs[self.inputs[0].name])
        parts = run_in_pieces(run, inputs, rows, self.batch or min(rows, batch))
        return {spec.name: part for spec, part in zip(self.outputs, parts, strict=True)}


@dataclass(frozen=True, slots=True)
class Frozen:
    """A function whose weights are constants, for one batch size, with the graph's own names of inputs and outputs."""

    function: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def open_source(model: Any, *, unsafe_lambda: bool = False) -> Source:
    """Load a model, or take one in memory.

    Args:
        model: A path to `.keras` or `.h5`, or a built `keras.Model`.
        unsafe_lambda: Execute the code that Lambda layers carry. Only for files whose origin you trust.

    Raises:
        MissingExtraError: TensorFlow or Keras is not installed.
        MissingFileError: Nothing is at the path.
        UnsafeModelError: The file carries code and `unsafe_lambda` is False.
        ModelError: The file is damaged or of another kind, or the model's inputs are not known.
    """
    import_keras("reads Keras models", "convert")
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        return _describe(_load(path, unsafe_lambda=unsafe_lambda), path.stem)
    if not hasattr(model, "layers") or not callable(model):
        raise ModelError(
            f"a model comes as a path to .keras or .h5, or as a keras.Model; this is {type(model).__name__}"
        )
    return _describe(model, model.name)


def freeze(source: Source, batch: int | None, *, functional: bool = False) -> Frozen:
    """Trace the model in inference mode and turn its weights into constants.

    Args:
        source: The model.
        batch: How many rows; None is any number.
        functional: Keep loops and branches as single operators, as the ONNX exporter reads them.

    Raises:
        ModelError: The model cannot be traced for that batch.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    batch = source.batch or batch
    specs = [
        tf.TensorSpec((batch, *spec.shape[1:]), spec.dtype, name=f"input_{index}")
        for index, spec in enumerate(source.inputs)
    ]
    names = [spec.name for spec in source.outputs]

    def forward(*tensors: Any) -> list[Any]:
        outputs = source.call(tensors)
        return [outputs[name] for name in names]

    with quiet(), _still_seeds():
        try:
            traced = tf.function(forward).get_concrete_function(*specs)
            function = convert_variables_to_constants_v2(
                traced, lower_control_flow=not functional, aggressive_inlining=functional
            )
        except Exception as error:  # a layer may raise anything while it is traced
            raise ModelError(
                f"the model cannot be traced for {batch or 'any number of'} rows: {_one_line(error)}"
            ) from error
    if len(function.inputs) != len(source.inputs):
        raise ModelError(
            f"model {source.name!r} keeps a look-up table or other state that a file cannot hold "
            "(StringLookup, TextVectorization, …): take that layer out and feed the model its output"
        )
    return Frozen(
        function, tuple(tensor.name for tensor in function.inputs), tuple(tensor.name for tensor in function.outputs)
    )


@contextlib.contextmanager
def _still_seeds() -> Iterator[None]:
    """Let random layers draw a constant seed: at inference they hand their input on, and a file holds no seeds."""
    import keras
    import tensorflow as tf

    kept = keras.random.SeedGenerator.next
    keras.random.SeedGenerator.next = lambda *_, **__: tf.zeros([2], tf.uint32)
    try:
        yield
    finally:
        keras.random.SeedGenerator.next = kept


def _load(path: Path, *, unsafe_lambda: bool) -> Any:
    import keras

    if not path.exists():
        raise MissingFileError(path, "model")
    if path.suffix not in _ENDINGS:
        raise ModelError(
            f"{path} is no model that edgepack reads; it takes {', '.join(_ENDINGS)} or a keras.Model in memory"
        )
    if path.is_dir() or path.stat().st_size == 0:
        raise ModelError(
            f"{path} is {'a folder' if path.is_dir() else 'empty'}; save the model again with model.save({path.name!r})"
        )
    try:
        with quiet():
            return keras.models.load_model(path, compile=False, safe_mode=not unsafe_lambda)
    except Exception as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: Exception) -> EdgepackError:
    """What went wrong while loading, as something the user can act on."""
    text = _one_line(error)
    if "lambda" in text.lower() and ("safe_mode" in text or "unsafe" in text.lower()):
        return UnsafeModelError(
            f"{path} has a Lambda layer: loading it would execute code from the file; replace the layer, "
            "or pass --unsafe-lambda (unsafe_lambda=True) if you trust where the file comes from"
        )
    if "deserializ" in text or "Could not locate class" in text or "Unknown layer" in text:
        return ModelError(f"{path} has a layer that Keras does not know here: {text[:300]}")
    return ModelError(f"{path} cannot be read as a Keras model; is it whole? {text[:300]}")


def _describe(model: Any, name: str) -> Source:
    """Names, shapes and dtypes of what the model takes and gives."""
    inputs = getattr(model, "inputs", None)
    outputs = getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise ModelError(
            f"model {name!r} does not know its inputs; call it once on data and wrap it: "
            "keras.Model(inputs=x, outputs=model(x)) with x = keras.Input(shape)"
        )
    input_names = _unique([tensor.name for tensor in inputs])
    return Source(
        model=model,
        name=name,
        inputs=tuple(map(_spec, input_names, inputs)),
        outputs=tuple(map(_spec, _unique(_output_names(model)), outputs)),
        batch=next((tensor.shape[0] for tensor in inputs if tensor.shape and tensor.shape[0]), None),
    )


def _output_names(model: Any) -> list[str]:
    """The names Keras gives the outputs: keys where they come as a dict, else the layers that make them."""
    functional = getattr(model, "_functional", None) or model
    struct = getattr(functional, "_outputs_struct", None)
    if isinstance(struct, dict) and not any(isinstance(value, (dict, list, tuple)) for value in struct.values()):
        return sorted(struct)  # the order in which Keras flattens a dict
    names = getattr(functional, "output_names", None)
    return list(names) if names else [f"output_{index}" for index in range(len(model.outputs))]


def _flat_call(model: Any, tensors: Sequence[Any]) -> list[Any]:
    """Call with tensors in flat order, in the structure the model was made with; the outputs in flat order."""
    import keras

    functional = getattr(model, "_functional", None) or model
    struct = getattr(functional, "_inputs_struct", None)
    packed = list(tensors) if struct is None else keras.tree.pack_sequence_as(struct, list(tensors))
    if isinstance(packed, list) and len(packed) == 1 and struct is None:
        packed = packed[0]
    return list(keras.tree.flatten(model(packed, training=False)))


def _spec(name: str, tensor: Any) -> TensorSpec:
    return TensorSpec(name, (None, *tensor.shape[1:]), str(tensor.dtype))


def _unique(names: Sequence[str]) -> list[str]:
    """The names with `_1`, `_2`, … behind those that came before."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        result.append(f"{name}_{count}" if count else name)
    return result


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:600] or type(error).__name__
