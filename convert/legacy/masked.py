"""Layers that treat masks as Keras 2 did; they stand in for Keras 3's own where a file makes masks at all.

In Keras 3 a merged step is masked where all inputs are, in Keras 2 where any is; `Multiply` writes 1 and 0 into masked
steps; `Softmax` gives 0 instead of equal shares where everything is masked. Importing this module imports Keras.
"""

from collections.abc import Sequence
from typing import Any

import keras


class _Merge:
    """The mask of a merge: what no input masks."""

    def compute_mask(self, inputs: Sequence[Any], mask: Sequence[Any] | None = None) -> Any:
        """The masks that there are, all of them at once; None where there is none."""
        found = [one for one in mask or () if one is not None]
        merged = found[0] if found else None
        for one in found[1:]:
            merged = keras.ops.logical_and(merged, one)
        return merged


@keras.saving.register_keras_serializable(package="edgepack_keras2")  # type: ignore[untyped-decorator, unused-ignore]
class Add(_Merge, keras.layers.Add):  # type: ignore[misc, unused-ignore]
    """`Add` with the mask of Keras 2."""


@keras.saving.register_keras_serializable(package="edgepack_keras2")  # type: ignore[untyped-decorator, unused-ignore]
class Average(_Merge, keras.layers.Average):  # type: ignore[misc, unused-ignore]
    """`Average` with the mask of Keras 2."""


@keras.saving.register_keras_serializable(package="edgepack_keras2")  # type: ignore[untyped-decorator, unused-ignore]
class Maximum(_Merge, keras.layers.Maximum):  # type: ignore[misc, unused-ignore]
    """`Maximum` with the mask of Keras 2."""


@keras.saving.register_keras_serializable(package="edgepack_keras2")  # type: ignore[untyped-decorator, unused-ignore]
class Minimum(_Merge, keras.layers.Minimum):  # type: ignore[misc, unused-ignore]
    """`Minimum` with the mask of Keras 2."""


@keras.saving.register_keras_serializable(package="edgepack_keras2")  # type: ignore[untyped-decorator, unused-ignore]
class Subtract(_Merge, keras.layers.Subtract):  # type: ignore[misc, unused-ignore]
    """`Subtract` with the mask of Keras 2."""


@keras.saving.register_keras_serializable(package="edgepack_keras2")  # type: ignore[untyped-decorator, unused-ignore]
class Multiply(_Merge, keras.layers.Multiply):  # type: ignore[misc, unused-ignore]
    """`Multiply` with the mask of Keras 2, and with the products themselves in masked steps."""

    def _merge_function(self, inputs: Sequence[Any]) -> Any:
        product = inputs[0]
        for one in inputs[1:]:
            product = keras.ops.multiply(product, one)
        return product


@keras.saving.register_keras_serializable(package="edgepack_keras2")  # type: ignore[untyped-decorator, unused-ignore]
class Concatenate(keras.layers.Concatenate):  # type: ignore[misc, unused-ignore]
    """`Concatenate` with the mask of Keras 2: along the last axis a step counts if all its parts do."""

    def compute_mask(self, inputs: Sequence[Any], mask: Sequence[Any] | None = None) -> Any:
        """The mask of the whole; None where no input has one."""
        if all(one is None for one in mask or ()):
            return None
        last = self.axis in {-1, len(inputs[0].shape) - 1}
        masks = [self._full(one, given, wide=not last) for one, given in zip(inputs, mask or (), strict=True)]
        return keras.ops.all(keras.ops.concatenate(masks, axis=self.axis), axis=-1)

    def _full(self, tensor: Any, mask: Any, *, wide: bool) -> Any:
        """The mask with as many axes as its tensor; in `wide` also of its size along the last."""
        everything = keras.ops.ones_like(tensor, dtype="bool")
        if mask is None:
            return everything
        if len(mask.shape) < len(tensor.shape):
            mask = keras.ops.expand_dims(mask, -1)
        return keras.ops.logical_and(mask, everything) if wide else mask


@keras.saving.register_keras_serializable(package="edgepack_keras2")  # type: ignore[untyped-decorator, unused-ignore]
class Softmax(keras.layers.Softmax):  # type: ignore[misc, unused-ignore]
    """`Softmax` that gives equal shares where everything is masked."""

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The same shape as `inputs`."""
        if mask is not None:
            lowest = -3e4 if keras.backend.standardize_dtype(inputs.dtype) == "float16" else -1e9
            inputs = keras.ops.where(keras.ops.cast(mask, "bool"), inputs, keras.ops.cast(lowest, inputs.dtype))
        return super().call(inputs)


@keras.saving.register_keras_serializable(package="edgepack_keras2")  # type: ignore[untyped-decorator, unused-ignore]
class MultiHeadAttention(keras.layers.MultiHeadAttention):  # type: ignore[misc, unused-ignore]
    """`MultiHeadAttention` with that softmax, which leaves its inputs their masks for whoever comes after it."""

    def call(  # noqa: PLR0913, PLR0917 - Keras finds masks by the names of these arguments
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """As Keras 3 computes it, but for the masks."""
        given = [(one, getattr(one, "_keras_mask", None)) for one in (query, value, key) if one is not None]
        result = super().call(
            query, value, key, query_mask, value_mask, key_mask, attention_mask, return_attention_scores, training,
            use_causal_mask,
        )  # fmt: skip
        for tensor, mask in given:
            tensor._keras_mask = mask
        return result

    def _build_attention(self, rank: int) -> None:
        super()._build_attention(rank)
        theirs: Any = self._softmax
        self._softmax: Any = Softmax(axis=theirs.axis, dtype=self.dtype_policy)
