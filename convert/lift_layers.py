"""What each of Keras's preprocessing layers is as steps: one function a layer, one line of the table."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgepack.convert import lift_numbers, lift_sound
from edgepack.convert.edge import Edge, encoded_edge
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.steps import Step

MUST = ("TextVectorization", "StringLookup", "IntegerLookup", "Hashing", "HashedCrossing")
"""Layers that no light engine runs."""


def lift_layer(layer: Any, edges: Sequence[Edge]) -> Edge:
    """What `layer` makes of `edges`, as steps.

    Raises:
        ConvertError: There are no steps that do exactly what it does; the message says why and what would help.
    """
    kind = type(layer).__name__
    if not type(layer).__module__.startswith("keras."):
        raise ConvertError("it is a class of its own; steps exist for Keras's layers alone: use one of those")
    many = kind == "HashedCrossing"
    if not many and len(edges) != 1:
        raise ConvertError(f"it takes {len(edges)} tensors")
    return _LIFTS[kind](layer, edges) if many else _LIFTS[kind](layer, edges[0])


def can_lift(layer: Any) -> bool:
    """Whether the table has a line for such a layer."""
    return type(layer).__name__ in _LIFTS


def _text(layer: Any, edge: Edge) -> Edge:
    config = layer.get_config()
    standardize, split, length = config["standardize"], config["split"], config["output_sequence_length"]
    for argument in ("standardize", "split"):
        if callable(config[argument]):
            raise ConvertError(
                f"its {argument} is a function of its own, which cannot travel as data: use one of Keras's by name, "
                "or do that work before the model and leave it None"
            )
    if config["ragged"]:
        raise ConvertError("it gives ragged tensors, which no engine takes: leave ragged out and rows are padded")
    ngrams = config["ngrams"] or ()
    widths = list(range(1, ngrams + 1)) if isinstance(ngrams, int) else list(ngrams)
    if split is not None and edge.shape not in {(), (1,)}:
        raise ConvertError(f"it splits one text a sample, and its input has shape {edge.shape}: use () or (1,)")
    if split is None and (widths or length is not None) and len(edge.shape) != 1:
        raise ConvertError("without split it mixes the samples of a batch: give the model's input a shape of (n,)")
    tokens = (None,) if split else (_tokens(edge.shape[0], widths),) if widths else edge.shape
    options = {"standardize": standardize, "split": split, "ngrams": widths}
    found = _index(layer._lookup_layer, edge.then("tokenize", options, tokens))
    if config["output_mode"] != "int" or (length is None and split is None):
        return found
    return found.then("pad", {"length": length}, (length,))


def _tokens(count: int | None, widths: list[int]) -> int | None:
    """How many n-grams there are of `count` tokens."""
    return count if count is None or not widths else sum(max(0, count - width + 1) for width in widths)


def _index(layer: Any, edge: Edge) -> Edge:
    """StringLookup and IntegerLookup."""
    tokens, mask = _vocabulary(layer), _plain(layer.mask_token)
    if layer.invert:
        options = {
            "vocabulary": tokens, "oov_token": _plain(layer.oov_token), "num_oov_indices": layer.num_oov_indices,
            "mask_token": mask,
        }  # fmt: skip
        return edge.then("lookup_inverse", options, dtype=layer.vocabulary_dtype)
    if (layer.vocabulary_dtype == "string") != (edge.dtype == "string"):
        raise ConvertError(f"it looks up {layer.vocabulary_dtype} and gets {edge.dtype}")
    encoded = layer.output_mode != "int"
    options = {
        "vocabulary": tokens, "num_oov_indices": layer.num_oov_indices, "mask_token": mask, "encoded": encoded,
    }  # fmt: skip
    if layer.num_oov_indices > 1:
        options |= {"oov_method": layer.oov_method, "salt": layer.salt}
    found = edge.then("lookup", options, dtype="int64")
    if not encoded:
        return found
    start = layer.num_oov_indices
    depth = layer.max_tokens if layer.pad_to_max_tokens else start + len(tokens)
    weights = layer.idf_weights_const.numpy().tolist() if layer.output_mode == "tf_idf" else None
    return encoded_edge(found, layer.output_mode, depth, "float32", weights)


def _vocabulary(layer: Any) -> list[Any]:
    """The tokens in the order of their indices, as they lie in the layer's table."""
    try:
        keys, values = (found.numpy() for found in layer.lookup_table.export())
    except Exception as error:  # a table that was never filled raises what TensorFlow likes
        raise ConvertError("it has no vocabulary yet: call adapt or set_vocabulary first") from error
    tokens, indices = (values, keys) if layer.invert else (keys, values)
    start = layer._token_start_index()
    if sorted(indices.tolist()) != list(range(start, start + len(tokens))) or not len(tokens):
        raise ConvertError("it has no vocabulary yet: call adapt or set_vocabulary first")
    ordered = [token for _, token in sorted(zip(indices.tolist(), tokens.tolist(), strict=True))]
    try:
        return [token.decode() if isinstance(token, bytes) else token for token in ordered]
    except UnicodeDecodeError as error:
        raise ConvertError(f"its vocabulary holds {error.object!r}, which is no UTF-8: remove that token") from error


def _hashing(layer: Any, edge: Edge) -> Edge:
    encoded = layer.output_mode != "int"
    options = {
        "num_bins": layer.num_bins, "mask_value": _plain(layer.mask_value), "salt": layer.salt,
        "dtype": "int64" if encoded else layer.dtype,
    }  # fmt: skip
    found = edge.then("hash", options, dtype=options["dtype"])
    return encoded_edge(found, layer.output_mode, layer.num_bins, layer.dtype) if encoded else found


def _crossing(layer: Any, edges: Sequence[Edge]) -> Edge:
    if any(edge.shape not in {(), (1,)} or edge.shape != edges[0].shape for edge in edges):
        raise ConvertError(f"it crosses single values, and gets shapes {', '.join(str(edge.shape) for edge in edges)}")
    if any(edge.steps[0].step == "gather" for edge in edges):
        raise ConvertError("it crosses what is crossed already: cross all the values in one layer")
    if any(edge.dtype != "string" and np.dtype(edge.dtype).kind not in "iu" for edge in edges):
        raise ConvertError("it crosses text and integers alone")
    parts = [{"name": edge.raw[0], "steps": [_as_data(step) for step in edge.steps]} for edge in edges]
    raw = tuple(dict.fromkeys(name for edge in edges for name in edge.raw))
    encoded = layer.output_mode != "int"
    dtype = "int64" if encoded else layer.dtype
    gathered = Edge(raw, (Step("gather", {"of": parts}),), edges[0].shape, dtype)
    found = gathered.then("cross", {"num_bins": layer.num_bins, "dtype": dtype})
    return encoded_edge(found, layer.output_mode, layer.num_bins, layer.compute_dtype) if encoded else found


def _encoding(layer: Any, edge: Edge) -> Edge:
    return encoded_edge(edge, layer.output_mode, layer.num_tokens, layer.dtype)


def _plain(value: Any) -> Any:
    """A token as JSON holds it."""
    if isinstance(value, (str, bytes)):
        return value.decode() if isinstance(value, bytes) else str(value)
    return value.item() if isinstance(value, np.generic) else value


def _as_data(step: Step) -> dict[str, Any]:
    return {"step": step.step, "options": step.options}


# layer -> what makes steps of it
_LIFTS: dict[str, Callable[..., Edge]] = {
    "TextVectorization": _text,
    "StringLookup": _index,
    "IntegerLookup": _index,
    "Hashing": _hashing,
    "HashedCrossing": _crossing,
    "CategoryEncoding": _encoding,
    "Discretization": lift_numbers.discretization,
    "Rescaling": lift_numbers.rescaling,
    "Normalization": lift_numbers.normalization,
    "CenterCrop": lift_numbers.center_crop,
    "Resizing": lift_numbers.resizing,
    "STFTSpectrogram": lift_sound.spectrogram,
    "MelSpectrogram": lift_sound.mel_spectrogram,
}
