"""Preprocessing of numbers as steps: engines run these layers, so that they are lifted only where that is asked for.

Each step was held against its layer bit by bit; what is not here (cubic and antialiased resizing, aspect ratios) has no
step that does the same.
"""

from typing import Any

import numpy as np

from edgepack.convert.edge import Edge, encoded_edge
from edgepack.runtime.errors import ConvertError


def rescaling(layer: Any, edge: Edge) -> Edge:
    """Rescaling."""
    _check_float(layer, edge)
    factor, offset = (np.asarray(value, np.float64) for value in (layer.scale, layer.offset))
    if not factor.ndim and not offset.ndim:
        return edge.then("scale", {"factor": float(factor), "offset": float(offset)}, dtype="float32")
    channels = edge.shape[-1] if edge.shape else None
    if channels is None or any(value.shape not in {(), (channels,)} for value in (factor, offset)):
        raise ConvertError("its scale or offset is neither one number nor one for each channel")
    both = {"factor": factor, "offset": offset}
    options = {name: np.broadcast_to(value, (channels,)).tolist() for name, value in both.items()}
    return edge.then("rescale", options, dtype="float32")


def normalization(layer: Any, edge: Edge) -> Edge:
    """Normalization."""
    _check_float(layer, edge)
    if layer.mean is None:
        raise ConvertError("it has no mean yet: call adapt, or give mean and variance")
    mean, variance = (np.asarray(value) for value in (layer.mean, layer.variance))
    if mean.shape[:1] not in {(), (1,)}:
        raise ConvertError("it normalizes along the batch: leave axis 0 out")
    options = {
        "mean": mean.reshape(mean.shape[1:]).tolist(), "variance": variance.reshape(variance.shape[1:]).tolist(),
        "invert": bool(layer.invert),
    }  # fmt: skip
    return edge.then("normalize", options, dtype="float32")


def discretization(layer: Any, edge: Edge) -> Edge:
    """Discretization."""
    if layer.bin_boundaries is None:
        raise ConvertError("it has no boundaries yet: call adapt or give bin_boundaries")
    boundaries = [float(boundary) for boundary in layer.bin_boundaries]
    found = edge.then("discretize", {"boundaries": boundaries, "dtype": "int32"}, dtype="int32")
    if layer.output_mode == "int":
        return found
    return encoded_edge(found, layer.output_mode, len(boundaries) + 1, layer.output_dtype)


def center_crop(layer: Any, edge: Edge) -> Edge:
    """CenterCrop of images that are large enough."""
    _check_image(layer, edge)
    height, width, channels = edge.shape
    if height is None or width is None or height < layer.height or width < layer.width:
        raise ConvertError(f"it enlarges images smaller than {layer.height} x {layer.width}, and no step does the same")
    options = {
        "top": (height - layer.height) // 2, "left": (width - layer.width) // 2, "height": layer.height,
        "width": layer.width,
    }  # fmt: skip
    return edge.then("crop", options, (layer.height, layer.width, channels), "float32")


def resizing(layer: Any, edge: Edge) -> Edge:
    """Resizing by neighbours or between four pixels."""
    _check_image(layer, edge)
    if layer.interpolation not in {"nearest", "bilinear"} or layer.antialias:
        raise ConvertError(
            f"no step does {layer.interpolation}{' with antialias' if layer.antialias else ''} exactly as TensorFlow: "
            "nearest and bilinear have one"
        )
    if layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio:
        raise ConvertError("no step keeps the aspect ratio exactly as Keras does")
    if edge.dtype != "float32":
        raise ConvertError(f"Keras rounds resized {edge.dtype} pixels and gives another type than it says: use float32")
    options = {"height": layer.height, "width": layer.width, "method": layer.interpolation}
    return edge.then("interpolate", options, (layer.height, layer.width, edge.shape[2]))


def _check_float(layer: Any, edge: Edge) -> None:
    if layer.compute_dtype != "float32":
        raise ConvertError(f"it computes in {layer.compute_dtype}; the step does in float32")
    if edge.dtype in {"string", "bool"}:
        raise ConvertError(f"its input holds {edge.dtype}")


def _check_image(layer: Any, edge: Edge) -> None:
    _check_float(layer, edge)
    if layer.data_format != "channels_last" or len(edge.shape) != 3:
        raise ConvertError(f"the step takes images of (height, width, channels); this is {edge.shape}")
