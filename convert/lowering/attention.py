"""Attention over several axes, or beside others, as one product of matrices; causal masks by comparing positions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgepack.convert.lowering.base import Call, Markers
from edgepack.convert.lowering.sizes import Size, product, reshaped, sizes

_PLAIN_RANK = 4
"""Of queries `(batch, steps, heads, features)`, which Keras attends to by two matrix products."""


def lower(layer: Any, markers: Markers) -> Call | None:
    """MultiHeadAttention whose tensors have more than `(batch, steps, features)`; None for those that have not."""
    if not layer.built or len(layer._query_dense.equation.partition("->")[2]) == _PLAIN_RANK:
        return None
    axes = ", ".join(map(str, layer._attention_axes))
    markers.notes.append(f"{layer.name}: attended axes {axes} as one, and the others as the batch")
    call = layer.call

    def attended(*arguments: Any, **options: Any) -> Any:
        object.__setattr__(layer, "_compute_attention", _folding(layer))
        try:
            return call(*arguments, **options)
        finally:
            object.__delattr__(layer, "_compute_attention")

    return attended


def masked(_original: Callable[..., Any], _markers: Markers) -> Callable[..., Any]:
    """Scores `(batch, heads, steps, sources)` with what is masked made very small.

    Keras makes a causal mask by an operator that wants a known length; comparing positions wants none.
    """

    def lowered(logits: Any, mask: Any, is_causal: bool) -> Any:
        import tensorflow as tf

        allowed = None if mask is None else tf.cast(mask, tf.bool)
        if is_causal:
            steps, sources = sizes(logits)[-2:]
            known = isinstance(steps, int) and isinstance(sources, int)
            ranges = np.arange if known else tf.range
            causal = tf.reshape(ranges(steps), [-1, 1]) >= tf.reshape(ranges(sources), [1, -1])
            allowed = causal if allowed is None else allowed & causal
        if allowed is None:
            return logits
        lowest = tf.constant(-3e4 if logits.dtype == tf.float16 else np.finfo(np.float32).min * 0.7, logits.dtype)
        return tf.where(allowed, logits, lowest)

    return lowered


def _folding(layer: Any) -> Callable[..., Any]:
    """What stands for the layer's `_compute_attention`: queries are `(batch, …, heads, features)`."""

    def compute(
        query: Any, key: Any, value: Any, attention_mask: Any = None, training: Any = None,
        return_attention_scores: bool = False, use_causal_mask: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        import tensorflow as tf

        del training, return_attention_scores
        axes, rank = list(layer._attention_axes), query.shape.rank
        heads = rank - 2
        kept = [0, *(axis for axis in range(1, heads) if axis not in axes), heads]
        steps, sources = ([sizes(tensor)[axis] for axis in axes] for tensor in (query, key))
        lead = [sizes(query)[axis] for axis in kept]
        if use_causal_mask:
            causal = layer._compute_causal_mask(query, value)
            attention_mask = causal if attention_mask is None else tf.cast(attention_mask, tf.bool) & causal
        scaled = _folded(query * layer._inverse_sqrt_key_dim, kept, axes)
        scores = tf.matmul(scaled, _folded(key, kept, axes), transpose_b=True)
        if attention_mask is not None:
            scores = tf.where(_allowed(attention_mask, lead, steps, sources), scores, np.float32(-3e38))
        weights = tf.nn.softmax(scores)
        mixed = reshaped(tf.matmul(weights, _folded(value, kept, axes)), [*lead, *steps, value.shape[-1]])
        order = [*kept, *axes, rank - 1]
        output = tf.transpose(mixed, [order.index(axis) for axis in range(rank)])
        return output, reshaped(weights, [*lead, *steps, *sources])

    return compute


def _folded(tensor: Any, kept: Sequence[int], axes: Sequence[int]) -> Any:
    """`(batch, steps, features)`, with all kept axes as the batch and all attended ones as steps."""
    import tensorflow as tf

    known = sizes(tensor)
    turned = tf.transpose(tensor, [*kept, *axes, len(known) - 1])
    return reshaped(turned, [product([known[axis] for axis in kept]), product([known[axis] for axis in axes]),
                             known[-1]])  # fmt: skip


def _allowed(mask: Any, lead: Sequence[Size], steps: Sequence[Size], sources: Sequence[Size]) -> Any:
    """The mask `(batch, steps, sources)`, repeated along the axes that it has not, as Keras repeats it."""
    import tensorflow as tf

    mask = tf.cast(mask, tf.bool)
    full = [*lead, *steps, *sources]
    while mask.shape.rank < len(full):
        mask = tf.expand_dims(mask, -2 * len(steps) - 1)
    whole = tf.broadcast_to(mask, tf.stack(full))
    return reshaped(whole, [product(lead), product(steps), product(sources)])
