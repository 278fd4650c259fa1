"""Transposed convolutions: dilated, with kernels smaller than their steps, and with any padding of the output.

What Keras asks of TensorFlow is a place in the full result, `(size - 1) * stride + kernel` long: it begins `before`
elements in, and where it reaches behind the end there are zeros. For free axes too, how far it reaches is known.
"""

from collections.abc import Sequence
from typing import Any

from edgepack.convert.lowering.base import Call, GraphWriter, Markers
from edgepack.convert.lowering.layout import channels_first, channels_last, per_axis, standard, stretched
from edgepack.convert.lowering.sizes import sizes


def for_tflite(original: Call, markers: Markers) -> Call:
    """`nn.conv_transpose` with the channels last, the kernel dilated beforehand."""

    def conv_transpose(
        inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", output_padding: Any = None,
        data_format: Any = None, dilation_rate: Any = 1,
    ) -> Any:  # fmt: skip
        import tensorflow as tf

        inputs, kernel, data_format = standard(inputs, kernel, data_format)
        rank = inputs.shape.rank - 2
        dilation = per_axis(dilation_rate, rank)
        first = data_format == "channels_first"
        if first:
            markers.tell("computed with the channels last")
            inputs = channels_last(inputs)
        if max(dilation) == 1:
            result = original(inputs, kernel, strides, padding, output_padding, "channels_last", 1)
        else:
            markers.tell("its kernel was dilated beforehand")
            shape = _shape(sizes(inputs), kernel, strides, padding, output_padding, dilation)
            steps = list(per_axis(strides, rank))
            result = tf.nn.conv_transpose(inputs, stretched(kernel, dilation), shape, steps, padding.upper())
        return channels_first(result) if first else result

    return conv_transpose


def for_onnx(original: Call, markers: Markers) -> Call:
    """`nn.conv_transpose` as one ConvTranspose node."""
    del original

    def conv_transpose(
        inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", output_padding: Any = None,
        data_format: Any = None, dilation_rate: Any = 1,
    ) -> Any:  # fmt: skip
        inputs, kernel, data_format = standard(inputs, kernel, data_format)
        rank = inputs.shape.rank - 2
        steps, dilation = per_axis(strides, rank), per_axis(dilation_rate, rank)
        first = data_format == "channels_first"
        markers.tell("one ONNX ConvTranspose node")
        result = _emit(
            markers, inputs if first else channels_first(inputs), kernel, steps, padding, output_padding, dilation
        )
        return result if first else channels_last(result)

    return conv_transpose


def _shape(
    given: Sequence[Any], kernel: Any, strides: Any, padding: str, output_padding: Any, dilation: Sequence[int]
) -> list[Any]:
    """The shape of the result, the channels last."""
    from keras.src.backend.common.backend_utils import compute_conv_transpose_output_shape

    window = tuple(kernel.shape[:-2])
    shape: list[Any] = compute_conv_transpose_output_shape(
        list(given), window, kernel.shape[-2], strides, padding, output_padding, "channels_last", dilation
    )
    return shape


def _emit(
    markers: Markers,
    inputs: Any,
    kernel: Any,
    strides: Sequence[int],
    padding: str,
    output_padding: Any,
    dilation: Sequence[int],
) -> Any:
    """One ConvTranspose node on `(batch, channels, *window)`."""
    import tensorflow as tf

    rank = len(strides)
    window = tuple(kernel.shape[:rank])
    batch, channels, *given = inputs.shape.as_list()
    # How far the result reaches does not depend on the size: any stands for one that is free.
    known = [8 if size is None else size for size in given]
    made = _shape([1, *known, channels], kernel, strides, padding, output_padding, dilation)[1:-1]
    before, behind, beyond = [], [], []
    for size, result, taps, step, apart in zip(known, made, window, strides, dilation, strict=True):
        full = (size - 1) * step + (taps - 1) * apart + 1
        start = max(full - result, 0) // 2 if padding == "same" else 0
        before.append(start)
        behind.append(max(full - start - result, 0))
        beyond.append(max(result - (full - start), 0))
    attributes: dict[str, Any] = {
        "kernel_shape": list(window), "strides": list(strides), "dilations": list(dilation),
        "pads": before + behind, "output_padding": beyond,
    }  # fmt: skip
    shape = (batch, kernel.shape[rank], *(None if old is None else new for old, new in zip(given, made, strict=True)))
    weights = tf.transpose(kernel, [rank + 1, rank, *range(rank)])
    return markers.emit([inputs, weights], [shape], inputs.dtype, _write, attributes=attributes)[0]


def _write(graph: GraphWriter, attributes: dict[str, Any]) -> None:
    graph.node("ConvTranspose", graph.inputs, graph.outputs, **attributes)
