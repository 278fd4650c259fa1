"""Files that take and give whole numbers of eight bits, as microcontrollers want them, for a model of float32.

edgepack marks the files that it writes so: `io` in its metadata entry. Their scale and zero point are applied here,
both ways, so that whoever runs them gives and gets float32 as with every other file of the model. A file without the
mark is shown as it is.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from edgepack.runtime.engines import file_names, flatbuffer
from edgepack.runtime.engines.base import Engine
from edgepack.runtime.errors import EngineError
from edgepack.runtime.tensor import Array, TensorSpec

_TYPES = ("int8", "uint8")


class Scale(msgspec.Struct, frozen=True):
    """What a whole number stands for: `(number - zero) * step`."""

    step: float
    zero: int


class FloatEnds:
    """An engine whose file takes and gives whole numbers, as one of float32."""

    def __init__(self, engine: Engine, scales: Mapping[str, Scale]) -> None:
        """Take the engine, and the scale of each tensor that stands for float32, by name."""
        self._engine, self._scales = engine, scales
        self.inputs, self.outputs = (_as_float(specs, scales) for specs in (engine.inputs, engine.outputs))
        self._fold = {
            spec.name: _folding(scales[spec.name], spec.numpy_dtype)
            for spec in engine.inputs
            if spec.name in scales and spec.dtype in _TYPES
        }
        self._unfold = [
            _unfolding(scales[spec.name]) if spec.name in scales and spec.dtype in _TYPES else None
            for spec in engine.outputs
        ]
        self.name, self.placement = engine.name, engine.placement

    @property
    def provider(self) -> str:
        """Where it runs."""
        return self._engine.provider

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says of itself."""
        return self._engine.metadata

    @property
    def undelegated(self) -> Sequence[str]:
        """Operators that a delegate left to the interpreter."""
        found: Sequence[str] = getattr(self._engine, "undelegated", ())
        return found

    @property
    def elsewhere(self) -> Sequence[str]:
        """Operators that another provider runs than the one that was wanted."""
        found: Sequence[str] = getattr(self._engine, "elsewhere", ())
        return found

    @property
    def keeps_state(self) -> bool:
        """Whether the file has state inside."""
        return bool(getattr(self._engine, "keeps_state", False))

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once; the arrays belong to the caller."""
        found = self._engine.run(self._folded(feeds))
        return [
            array if unfold is None else unfold(array, None) for unfold, array in zip(self._unfold, found, strict=True)
        ]

    def run_into(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """Run once into arrays of the caller's, which are of the outputs' shapes and dtypes, in the file's order."""
        found = self._engine.run(self._folded(feeds))
        for unfold, array, buffer in zip(self._unfold, found, outputs, strict=True):
            if array.shape != buffer.shape:
                raise EngineError(f"the result is {array.shape}, the array to write it to {buffer.shape}")
            if unfold is None:
                np.copyto(buffer, array)
            else:
                unfold(array, buffer)

    def run_one(self) -> Callable[[Array], Array] | None:
        """What takes the one input and gives the one output; None where the engine has no such way."""
        run = getattr(self._engine, "run_one", lambda: None)()
        if run is None:
            return None
        (fold,), (unfold,) = [self._fold.get(spec.name) for spec in self.inputs], self._unfold

        def call(value: Array) -> Array:
            found: Array = run(value if fold is None else fold(value))
            return found if unfold is None else unfold(found, None)

        return call

    def resized(self, rows: int) -> "FloatEnds":
        """The same file laid out for another number of rows; raises `EngineError` where the engine does not do so."""
        resize = getattr(self._engine, "resized", None)
        if resize is None:
            raise EngineError(f"{self.name.description} resizes no file")
        return FloatEnds(resize(rows), self._scales)

    def stream(self) -> "FloatEnds":
        """An engine for the same file whose state lives on from run to run, on its own. Close it."""
        return FloatEnds(self._engine.stream(), self._scales)  # type: ignore[attr-defined]

    def reset(self) -> None:
        """Forget, where this is a stream: the next run is a first one."""
        self._engine.reset()  # type: ignore[attr-defined]

    def close(self) -> None:
        """Give the memory back; no `run` after it."""
        self._engine.close()

    def _folded(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        return {name: self._fold[name](array) if name in self._fold else array for name, array in feeds.items()}


def scales(data: bytes) -> dict[str, Scale]:
    """The scale of each input and output of a TFLite file that is a quantized one, by the name users know it by.

    Raises:
        EngineError: The file is damaged, or a scale is no such number.
    """
    try:
        names = [name.given for end in file_names.of_tflite(data) for name in end]
        found = dict(zip(names, _ends(data), strict=True))
    except (struct.error, OverflowError, IndexError, ValueError) as error:
        raise EngineError("the scales of its inputs and outputs are damaged") from error
    known = {name: scale for name, scale in found.items() if scale}
    for name, scale in known.items():
        if not (math.isfinite(scale.step) and scale.step > 0 and abs(scale.zero) < 2**8):
            raise EngineError(
                f"tensor {name!r} has scale {scale.step} and zero point {scale.zero}; build the file again"
            )
    return known


def _ends(data: bytes) -> list[Scale | None]:
    """The scale of each input, then of each output, of the first graph."""
    model = _fields(data, flatbuffer.number(data, 0), 3)
    graph = _fields(data, flatbuffer.tables(data, model[2])[0], 3)
    tensors = flatbuffer.tables(data, graph[0])
    indices = [
        index for at in graph[1:] for index in flatbuffer.numbers(data, at + flatbuffer.number(data, at), "i") if at
    ]
    return [_scale(data, tensors[index]) for index in indices]


def _scale(data: bytes, tensor: int) -> Scale | None:
    at = _fields(data, tensor, 5)[4]
    if not at:
        return None
    steps, zeros = _fields(data, at + flatbuffer.number(data, at), 4)[2:]
    if not steps or not zeros:
        return None
    step = flatbuffer.numbers(data, steps + flatbuffer.number(data, steps), "f")
    zeros += flatbuffer.number(data, zeros)
    count = flatbuffer.number(data, zeros)
    zero = struct.unpack_from(f"<{count}q", data, zeros + 4)
    return Scale(float(step[0]), int(zero[0])) if len(step) == count == 1 else None


def _fields(data: bytes, table: int, count: int) -> list[int]:
    return [*flatbuffer.places(data, table), *[0] * count][:count]


def _as_float(specs: Sequence[TensorSpec], known: Mapping[str, Scale]) -> tuple[TensorSpec, ...]:
    return tuple(
        msgspec.structs.replace(spec, dtype="float32") if spec.name in known and spec.dtype in _TYPES else spec
        for spec in specs
    )


def _folding(scale: Scale, dtype: np.dtype[Any]) -> Callable[[Array], Array]:
    """What makes whole numbers of floats; what lies beyond the range becomes its end."""
    step, zero, limits = np.float32(scale.step), np.float32(scale.zero), np.iinfo(dtype)
    lowest, highest = np.float32(limits.min), np.float32(limits.max)

    def fold(array: Array) -> Array:
        numbers = np.rint(array / step)
        numbers += zero
        np.fmin(np.fmax(numbers, lowest, out=numbers), highest, out=numbers)  # NaN, of which was warned, is no number
        return numbers.astype(dtype)

    return fold


def _unfolding(scale: Scale) -> Callable[[Array, Array | None], Array]:
    """What makes floats of whole numbers, in an array of the caller's where one is given."""
    step, zero = np.float32(scale.step), np.float32(scale.zero)

    def unfold(array: Array, buffer: Array | None) -> Array:
        found = np.subtract(array, zero, out=buffer, dtype=np.float32)
        return np.multiply(found, step, out=found)

    return unfold
