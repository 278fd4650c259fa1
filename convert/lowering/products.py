"""Products of tensors over many axes, as matrix products.

An `einsum` of six and more axes takes the ONNX exporter minutes (it tries every order of them), and the TFLite
converter writes a branch for it that no interpreter has; nor does it sum over an axis of one operand.
"""

from collections.abc import Callable, Sequence
from typing import Any

from edgepack.convert.lowering.base import Markers
from edgepack.convert.lowering.sizes import product, reshaped, sizes

_FEW = 5
"""The number of different axes that both exporters manage themselves."""

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(original: Callable[..., Any], markers: Markers) -> Callable[..., Any]:
    """`tf.einsum`: two tensors with many axes are multiplied as matrices, after sums over what one alone has."""

    def lowered(equation: str, *operands: Any, **options: Any) -> Any:
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(operand) for operand in operands]
        terms = _terms(equation, [tensor.shape.rank for tensor in tensors])
        if terms is None or not (_is_hard(terms) and _fits(terms, tensors)):
            return original(equation, *operands, **options)
        markers.note(f"einsum {equation}: one matrix product")
        return _multiplied(terms, *tensors)

    return lowered


def of_bytes(original: Callable[..., Any], markers: Markers) -> Callable[..., Any]:
    """`keras.ops.matmul` and `einsum`, where layers that Keras quantized multiply int8.

    Sums below 2^24 are exact in floats: 1,040 products of two int8.
    """

    def lowered(*operands: Any, **options: Any) -> Any:
        import tensorflow as tf

        tensors = [operand for operand in operands if not isinstance(operand, str)]
        if not all(tf.is_tensor(tensor) and tensor.dtype == tf.int8 for tensor in tensors):
            return original(*operands, **options)
        markers.note("products of int8: in float32, which gives the same sums")
        floats = [tf.cast(value, tf.float32) if tf.is_tensor(value) else value for value in operands]
        return tf.cast(original(*floats, **options), tf.int32)

    return lowered


def _is_hard(terms: Sequence[str]) -> bool:
    """Whether there are many axes, or some that one operand alone has and the result has not."""
    first, second, output = map(set, terms)
    return len(first | second) > _FEW or bool((first ^ second) - output)


def _terms(equation: str, ranks: Sequence[int | None]) -> list[str] | None:
    """The axes of both operands and of the result as letters; None for what is no product of two tensors."""
    compact = equation.replace(" ", "")
    inputs, arrow, output = compact.partition("->")
    terms = inputs.split(",")
    if not arrow or len(terms) != 2 or None in ranks or len(ranks) != 2:
        return None
    free = [letter for letter in _LETTERS if letter not in compact]
    hidden = [
        (rank or 0) - len(term.replace("...", "")) if "..." in term else 0
        for term, rank in zip(terms, ranks, strict=True)
    ]
    rest = "".join(free[: max(hidden)])
    opened = [
        term.replace("...", rest[len(rest) - count :]) for term, count in zip([*terms, output], [*hidden, len(rest)],
        strict=True)
    ]  # fmt: skip
    return opened if all(len(set(term)) == len(term) for term in opened) else None


def _fits(terms: Sequence[str], tensors: Sequence[Any]) -> bool:
    """Whether no axis is repeated to fit the other tensor's, as an ellipsis allows, and none appears from nowhere."""
    first, second = (
        dict(zip(term, tensor.shape.as_list(), strict=True)) for term, tensor in zip(terms[:2], tensors, strict=True)
    )
    return set(terms[2]) <= {*first, *second} and all(first[axis] == second[axis] for axis in {*first} & {*second})


def _multiplied(terms: Sequence[str], left: Any, right: Any) -> Any:
    """The product: axes that both keep are the batch, those that both have and the result has not are summed."""
    import tensorflow as tf

    first, second, output = terms
    left, first = _summed(left, first, second + output)
    right, second = _summed(right, second, first + output)
    batch = [axis for axis in first if axis in second and axis in output]
    inner = [axis for axis in first if axis in second and axis not in output]
    rows = [axis for axis in first if axis not in second]
    columns = [axis for axis in second if axis not in first]
    known = {**dict(zip(first, sizes(left), strict=True)), **dict(zip(second, sizes(right), strict=True))}

    def folded(tensor: Any, term: str, *groups: Sequence[str]) -> Any:
        order = [term.index(axis) for group in groups for axis in group]
        turned = tensor if order == sorted(order) else tf.transpose(tensor, order)
        shape = [product([known[axis] for axis in group]) for group in groups]
        return reshaped(turned, shape if batch else shape[1:])

    made = tf.matmul(folded(left, first, batch, rows, inner), folded(right, second, batch, inner, columns))
    axes = [*batch, *rows, *columns]
    spread = reshaped(made, [known[axis] for axis in axes])
    order = [axes.index(axis) for axis in output]
    return spread if order == sorted(order) else tf.transpose(spread, order)


def _summed(tensor: Any, term: str, others: str) -> tuple[Any, str]:
    """The tensor without the axes that nothing else has."""
    import tensorflow as tf

    alone = [index for index, axis in enumerate(term) if axis not in others]
    if not alone:
        return tensor, term
    return tf.reduce_sum(tensor, alone), "".join(axis for axis in term if axis in others)
