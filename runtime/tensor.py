"""The border check: what a tensor must be called, look like and hold."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgepack.runtime.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

Array = np.ndarray[Any, np.dtype[Any]]  # numpy.typing has a shorter name for it, and takes a millisecond

_KINDS = {"b": "a boolean", "i": "an integer", "u": "an integer", "f": "a float", "U": "text", "S": "text", "O": "text"}


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Name, shape, element type and meaning of one input or output.

    `shape` holds None where an axis is free; `dtype` is a numpy name (`"float32"`) or `"string"`.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    meaning: str = ""

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The element type as numpy's; text is kept as objects."""
        return np.dtype(object) if self.dtype == "string" else np.dtype(self.dtype)

    def __str__(self) -> str:
        return f"{self.name}: {describe(self.shape, self.dtype)}"

    def check(self, value: "npt.ArrayLike") -> Array:
        """Return `value` as an array this spec accepts, copied only if it must be.

        Args:
            value: Anything numpy reads as an array; its axes follow `shape`.

        Returns:
            A C-contiguous array of `dtype`.

        Raises:
            InputError: Another number of axes, another fixed size, an element type of another kind (an integer array
                for a float tensor may be pixels that were never scaled), or numbers too large for it. Python numbers
                carry no element type and are taken.
        """
        try:
            array = np.asarray(value)
        except (ValueError, TypeError) as error:
            raise InputError(f"input {self.name!r} cannot be read as an array: {error}") from error
        self._check_shape(array)
        typed = hasattr(value, "dtype")
        if not typed and array.dtype.kind in "iu" and self.numpy_dtype.kind == "f":
            array = array.astype(np.float64)
        return self._cast(array)

    def _check_shape(self, array: Array) -> None:
        fits = array.ndim == len(self.shape) and all(
            wanted is None or got == wanted for got, wanted in zip(array.shape, self.shape, strict=True)
        )
        if not fits:
            raise InputError(
                f"input {self.name!r} has shape {describe(array.shape)}; the model takes {describe(self.shape)}"
                f"{self._hint(array)}"
            )

    def _hint(self, array: Array) -> str:
        """What would make the array fit, where that is plain."""
        if array.ndim + 1 == len(self.shape):
            axis = 0 if _fits(array.shape, self.shape[1:]) else -1 if _fits(array.shape, self.shape[:-1]) else None
            if axis is not None:
                return f"; add the missing axis: np.expand_dims(x, {axis})"
        return "; reshape it, or pass the raw sample to session.predict"

    def _cast(self, array: Array) -> Array:
        """The array in this spec's element type, if no value changes its meaning."""
        wanted = self.numpy_dtype
        if array.dtype == wanted:
            return np.ascontiguousarray(array).reshape(array.shape)
        if not _castable(array.dtype, wanted):
            raise InputError(
                f"input {self.name!r} has element type {array.dtype}; the model takes {self.dtype}; "
                f"{_KINDS.get(array.dtype.kind, 'this')} does not become {_KINDS[wanted.kind]} by itself: scale it "
                f"as the model was trained and convert it with x.astype({self.dtype!r})"
            )
        with np.errstate(over="ignore"):
            cast = np.ascontiguousarray(array, dtype=wanted).reshape(array.shape)
        if not _same_values(cast, array):
            raise InputError(
                f"input {self.name!r} holds {array.dtype} values that do not fit {self.dtype} "
                f"(from {array.min()} to {array.max()}); scale or clip them first"
            )
        return cast


def describe(shape: Iterable[int | None], dtype: str = "") -> str:
    """A shape as a person writes it: `float32 (any, 28, 28, 1)`."""
    sizes = ["any" if size is None else str(size) for size in shape]
    text = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
    return f"{dtype} {text}" if dtype else text


def check_names(specs: Iterable[TensorSpec], given: Mapping[str, object]) -> None:
    """Raise `InputError` unless `given` has a value for each spec and nothing else; the message shows both sides."""
    wanted = [spec.name for spec in specs]
    missing = [name for name in wanted if name not in given]
    extra = [name for name in given if name not in wanted]
    if missing or extra:
        raise InputError(
            f"got {len(given)} input{'' if len(given) == 1 else 's'} ({', '.join(map(repr, given)) or 'none'}); "
            f"the model takes {len(wanted)} ({', '.join(map(repr, wanted))})"
        )


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return all(size is None or got == size for got, size in zip(shape, wanted, strict=True))


def _same_values(cast: Array, array: Array) -> bool:
    """Whether every integer is the same after a cast, and no float became infinite by it."""
    if cast.dtype.kind in "iu":
        return np.array_equal(cast, array)
    return cast.dtype.kind != "f" or np.array_equal(np.isinf(cast), np.isinf(array))


def _castable(given: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether values keep their meaning: within floats, within integers (if they fit), within text."""
    if wanted.kind == "O":
        return given.kind in "OUS"
    return {"i": "u"}.get(given.kind, given.kind) == {"i": "u"}.get(wanted.kind, wanted.kind)
