"""Resizing of images: the operator a target has where it computes the same, else products with constant matrices.

Every method of Keras takes rows first and columns then, or the other way round, and each new row is a weighted sum of
old ones. The weights are read off Keras itself: it resizes an identity matrix.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgepack.convert.lowering.base import Call, GraphWriter, Markers
from edgepack.convert.lowering.layout import channels_first, channels_last
from edgepack.convert.lowering.sizes import sizes
from edgepack.runtime.tensor import Array

Size = tuple[Any, Any]
"""Height and width: numbers, or scalar tensors where the images have free ones."""
Native = Callable[[Any, Size, str], Any]
"""Called with images `(batch, height, width, channels)`, a size and a method; None where the target has no operator."""


def for_tflite(original: Call, markers: Markers) -> Call:
    """`image.resize` by RESIZE_BILINEAR, RESIZE_NEAREST_NEIGHBOR or products."""

    def native(images: Any, size: Size, method: str) -> Any:
        import tensorflow as tf

        return tf.image.resize(images, tf.stack(size), method=method)

    return _lowered(original, markers, native)


def for_onnx(original: Call, markers: Markers) -> Call:
    """`image.resize` by one Resize node, or products."""

    def native(images: Any, size: Size, method: str) -> Any:
        import tensorflow as tf

        known = _is_known((*images.shape[1:3], *size))
        if known and method == "nearest" and not all(map(_nearest_agrees, images.shape[1:3], size)):
            return None
        batch, *_, channels = images.shape
        shape = (batch, channels, *(made if _is_known((made,)) else None for made in size))
        tensors = [channels_first(images), tf.cast(tf.stack(size), tf.int64)]
        markers.tell("one ONNX Resize node")
        return channels_last(markers.emit(tensors, [shape], images.dtype, _write, method=method)[0])

    return _lowered(original, markers, native)


def lower_upsampling(layer: Any, markers: Markers) -> Call | None:
    """UpSampling2D that interpolates, whose size Keras looks at, and cannot where it is free."""
    if layer.interpolation == "nearest":
        return None
    del markers

    def call(inputs: Any) -> Any:
        from keras.src.ops.image import _resize  # what the public function calls when it has looked at the size

        first = layer.data_format == "channels_first"
        _, height, width, _ = sizes(channels_last(inputs) if first else inputs)
        rows, columns = layer.size
        return _resize(
            inputs, (height * rows, width * columns), interpolation=layer.interpolation, data_format=layer.data_format
        )

    return call


def _lowered(original: Call, markers: Markers, native: Native) -> Call:
    def resize(  # noqa: PLR0913 - the arguments of what it takes the place of
        images: Any, size: Any, interpolation: str = "bilinear", antialias: bool = False, *,
        crop_to_aspect_ratio: bool = False, pad_to_aspect_ratio: bool = False, fill_mode: str = "constant",
        fill_value: float = 0.0, data_format: Any = None,
    ) -> Any:  # fmt: skip
        import keras
        import tensorflow as tf

        images = tf.convert_to_tensor(images)
        first = keras.src.backend.standardize_data_format(data_format) == "channels_first"
        batch = tf.expand_dims(images, 0) if images.shape.rank == 3 else images
        batch = channels_last(batch) if first else batch
        if not _is_known((*batch.shape[1:3], *size)) and (crop_to_aspect_ratio or pad_to_aspect_ratio):
            return original(
                images, size, interpolation, antialias, crop_to_aspect_ratio, pad_to_aspect_ratio, fill_mode,
                fill_value, data_format,
            )  # fmt: skip
        if crop_to_aspect_ratio:
            batch = _cropped(batch, size)
        elif pad_to_aspect_ratio:
            batch = _padded(batch, size, fill_value)
        result = _resized(batch, size, interpolation, antialias, markers, native)
        result = channels_first(result) if first else result
        return result[0] if images.shape.rank == 3 else result

    return resize


def _is_known(sizes: tuple[Any, ...]) -> bool:
    return all(isinstance(size, (int, np.integer)) for size in sizes)


def _resized(
    images: Any,
    size: Size,
    method: str,
    antialias: bool,
    markers: Markers,
    native: Native,
) -> Any:
    import tensorflow as tf

    known = _is_known((*images.shape[1:3], *size))
    if known and tuple(images.shape[1:3]) == tuple(size):
        return images  # so does Keras, and leaves integers what they are
    if method != "nearest":
        images = tf.cast(images, tf.float32)
    if method == "nearest" or (method == "bilinear" and not antialias):
        result = native(images, size, method)
        if result is not None:
            return result
    if method == "nearest":
        markers.tell("rows and columns picked by their numbers")
        rows, columns = (_picked(old, new) for old, new in zip(images.shape[1:3], size, strict=True))
        return tf.gather(tf.gather(images, rows, axis=1), columns, axis=2)
    if not known:
        kind = f"{method} with antialias" if antialias else method
        markers.refuse(
            f"resizes images of free height and width by {kind}, and no light engine has an operator for that; give "
            "the model fixed sizes (--input-shape), or resize by bilinear or nearest"
        )
    markers.tell("resized by products with two constant matrices")
    height, width = (_weights(old, new, method, antialias) for old, new in zip(images.shape[1:3], size, strict=True))
    lines = tf.transpose(images, [0, 3, 1, 2])  # what is summed over lies behind: so it is a dense layer
    wide = tf.matmul(lines, width)
    return tf.transpose(tf.matmul(tf.transpose(wide, [0, 1, 3, 2]), height), [0, 3, 2, 1])


def _weights(old: int, new: int, method: str, antialias: bool) -> Array:
    """What each of `old` lines counts for in each of `new` ones: `(old, new)`."""
    import tensorflow as tf

    with tf.init_scope():  # computed now, not traced
        lines = np.eye(old, dtype=np.float32)[np.newaxis, :, :, np.newaxis]
        resized = tf.image.resize(lines, (new, old), method=method, antialias=antialias).numpy()
    return np.ascontiguousarray(resized[0, :, :, 0].T)


def _picked(old: int, new: int) -> Array:
    """Which of `old` lines is nearest to each of `new` ones."""
    import tensorflow as tf

    with tf.init_scope():
        lines = np.arange(old, dtype=np.int32).reshape(1, old, 1, 1)
        picked: Array = tf.image.resize(lines, (new, 1), method="nearest").numpy().ravel()
    return picked


def _nearest_agrees(old: int, new: int) -> bool:
    """Whether ONNX Runtime, which divides where TensorFlow multiplies, picks the same lines."""
    places = (np.arange(new, dtype=np.float32) + np.float32(0.5)) / (np.float32(new) / np.float32(old))
    return bool(np.array_equal(np.floor(places).astype(np.int32).clip(0, old - 1), _picked(old, new)))


def _cropped(images: Any, size: Size) -> Any:
    """The middle of the images that has the form of `size`."""
    height, width = images.shape[1:3]
    kept_height = max(min(height, _part(width * size[0], size[1])), 1)
    kept_width = max(min(width, _part(height * size[1], size[0])), 1)
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    return images[:, top : top + kept_height, left : left + kept_width, :]


def _padded(images: Any, size: Size, fill: float) -> Any:
    """The images in the middle of ones that have the form of `size`."""
    import tensorflow as tf

    height, width = images.shape[1:3]
    top = (max(height, _part(width * size[0], size[1])) - height) // 2
    left = (max(width, _part(height * size[1], size[0])) - width) // 2
    if not top and not left:
        return images
    return tf.pad(images, [[0, 0], [top, top], [left, left], [0, 0]], constant_values=tf.cast(fill, images.dtype))


def _part(product: int, divisor: int) -> int:
    """The quotient as Keras computes it, in float32."""
    return int(np.float32(product) / np.float32(divisor))


def _write(graph: GraphWriter, method: str) -> None:
    attributes: dict[str, Any] = (
        {"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}
        if method == "nearest"
        else {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    )
    # Sizes for all axes: the attribute `axes` is passed over by tools that infer shapes.
    images, size = graph.inputs
    kept = graph.node("Shape", [images], start=0, end=2)
    shape = graph.node("Concat", [*kept, size], axis=0)
    graph.node("Resize", [images, "", "", *shape], graph.outputs, **attributes)
