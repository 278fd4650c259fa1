"""Functions of one number that one of the exporters has no operator for, made of those that both have."""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgepack.convert.lowering.base import Markers

Function = Callable[..., Any]

_SMALLEST = float(np.finfo(np.float32).tiny)


def tan(original: Function, markers: Markers) -> Function:
    """The tangent."""
    return _made(original, markers, "tan", lambda tf, x: tf.sin(x) / tf.cos(x))


def sinh(original: Function, markers: Markers) -> Function:
    """The hyperbolic sine."""
    return _made(original, markers, "sinh", lambda tf, x: 0.5 * (tf.exp(x) - tf.exp(-x)))


def cosh(original: Function, markers: Markers) -> Function:
    """The hyperbolic cosine."""
    return _made(original, markers, "cosh", lambda tf, x: 0.5 * (tf.exp(x) + tf.exp(-x)))


def arcsinh(original: Function, markers: Markers) -> Function:
    """The inverse of `sinh`, of the magnitude alone so that no digits are lost."""
    return _made(
        original, markers, "arcsinh",
        lambda tf, x: tf.sign(x) * tf.math.log(tf.abs(x) + tf.sqrt(tf.square(x) + 1.0)),
    )  # fmt: skip


def arccosh(original: Function, markers: Markers) -> Function:
    """The inverse of `cosh`."""
    return _made(original, markers, "arccosh", lambda tf, x: tf.math.log(x + tf.sqrt(tf.square(x) - 1.0)))


def arctanh(original: Function, markers: Markers) -> Function:
    """The inverse of `tanh`."""
    return _made(original, markers, "arctanh", lambda tf, x: 0.5 * (tf.math.log(1.0 + x) - tf.math.log(1.0 - x)))


def log1p(original: Function, markers: Markers) -> Function:
    """The logarithm of what is one more."""
    return _made(original, markers, "log1p", lambda tf, x: tf.math.log(1.0 + x))


def erf(original: Function, markers: Markers) -> Function:
    """The error function, by Abramowitz and Stegun 7.1.26: at most 1.5e-7 off."""
    return _made(original, markers, "erf", _erf)


def erfc(original: Function, markers: Markers) -> Function:
    """What `erf` lacks of 1."""
    return _made(original, markers, "erfc", lambda tf, x: 1.0 - _erf(tf, x))


def _erf(tf: Any, x: Any) -> Any:
    part = 1.0 / (1.0 + 0.3275911 * tf.abs(x))
    total = 1.061405429 * part
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        total = (total + factor) * part
    return tf.sign(x) * (1.0 - total * tf.exp(-tf.square(x)))


def rsqrt(original: Function, markers: Markers) -> Function:
    """One over the square root, which XNNPACK makes NaN of zeros and of what is next to them: a unit vector of zeros.

    What something was added to is no such number, as the variance and epsilon of a normalization: it stays as it is.
    """

    def lowered(x: Any) -> Any:
        import tensorflow as tf

        if not isinstance(x, tf.Tensor) or x.dtype != tf.float32 or _added_to(x):
            return original(x)
        markers.tell("rsqrt: of no less than the smallest normal number")
        return original(tf.maximum(x, _SMALLEST))

    return lowered


def _added_to(x: Any) -> bool:
    """Whether a tensor is a sum with a constant."""
    operation = getattr(x, "op", None)  # there is none outside of a graph
    return (
        operation is not None
        and operation.type in {"Add", "AddV2"}
        and any(given.op.type == "Const" for given in operation.inputs)
    )


def _made(original: Function, markers: Markers, name: str, form: Callable[[Any, Any], Any]) -> Function:
    """The operation with `form` for tensors of float32; integers and other types go Keras's way."""

    def lowered(x: Any) -> Any:
        import tensorflow as tf

        if not isinstance(x, tf.Tensor) or x.dtype != tf.float32:
            return original(x)
        markers.tell(f"{name}: made of plainer functions")
        return form(tf, x)

    return lowered
