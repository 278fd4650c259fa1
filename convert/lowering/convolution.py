"""Convolutions in the form each target has: grouped, dilated, and with the channels first.

Keras runs grouped and 3-D channels-first convolutions through a function compiled with XLA, since the CPU kernels of
TensorFlow lack them; no exporter reads that call. The light engines have no such gap.
"""

import inspect
from collections.abc import Sequence
from typing import Any

from edgepack.convert.lowering.base import Call, GraphWriter, Markers
from edgepack.convert.lowering.layout import channels_first, channels_last, per_axis, standard, stretched


def for_tflite(original: Call, markers: Markers) -> Call:
    """`nn.conv` with the channels last; 3-D kernels are dilated, and 3-D groups taken apart, beforehand."""
    import tensorflow as tf

    def conv(
        inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: Any = None,
        dilation_rate: Any = 1,
    ) -> Any:  # fmt: skip
        inputs, kernel, data_format = standard(inputs, kernel, data_format)
        rank = inputs.shape.rank - 2
        if data_format == "channels_first":
            markers.tell("computed with the channels last")
            return channels_first(conv(channels_last(inputs), kernel, strides, padding, "channels_last", dilation_rate))
        dilation = per_axis(dilation_rate, rank)
        groups = inputs.shape[-1] // kernel.shape[-2]
        if rank == 3 and max(dilation) > 1:
            markers.tell("its kernel was dilated beforehand")
            kernel, dilation = stretched(kernel, dilation), (1, 1, 1)
        if groups == 1:
            return original(inputs, kernel, strides, padding, data_format, dilation)
        if rank < 3:
            markers.tell("one grouped convolution")
            return tf.nn.convolution(inputs, kernel, strides, padding.upper(), dilations=dilation)
        markers.tell(f"one convolution for each of its {groups} groups")
        parts = zip(tf.split(inputs, groups, -1), tf.split(kernel, groups, -1), strict=True)
        return tf.concat([original(*part, strides, padding, data_format, dilation) for part in parts], -1)

    return conv


def for_onnx(original: Call, markers: Markers) -> Call:
    """`nn.conv` as the node that ONNX has, where the exporter does not read or write it as one."""

    def conv(
        inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: Any = None,
        dilation_rate: Any = 1,
    ) -> Any:  # fmt: skip
        inputs, kernel, data_format = standard(inputs, kernel, data_format)
        rank = inputs.shape.rank - 2
        dilation, steps = per_axis(dilation_rate, rank), per_axis(strides, rank)
        first = data_format == "channels_first"
        inputs, padding = _padded_beforehand(inputs, kernel, padding, data_format, dilation)
        channels = inputs.shape[1 if first else -1]
        groups = channels // kernel.shape[-2]
        if groups == 1 and not first and not (rank == 3 and max(dilation) > 1):
            return original(inputs, kernel, strides, padding, data_format, dilation_rate)
        markers.tell("one ONNX Conv node")
        result = _emit(markers, inputs if first else channels_first(inputs), kernel, steps, padding, dilation, groups)
        return result if first else channels_last(result)

    return conv


def depthwise_for_onnx(original: Call, markers: Markers) -> Call:
    """`nn.depthwise_conv` and `nn.separable_conv`, free and dilated axes padded beforehand."""
    del markers
    signature = inspect.signature(original)

    def convolve(*arguments: Any, **named: Any) -> Any:
        given = signature.bind(*arguments, **named)
        given.apply_defaults()
        values = given.arguments
        kernel = values["kernel" if "kernel" in values else "depthwise_kernel"]
        inputs, kernel, data_format = standard(values["inputs"], kernel, values["data_format"])
        rank = inputs.shape.rank - 2
        if max(per_axis(values["strides"], rank)) == 1:
            dilation = per_axis(values["dilation_rate"], rank)
            values["inputs"], values["padding"] = _padded_beforehand(
                inputs, kernel, values["padding"], data_format, dilation
            )
        return original(*given.args, **given.kwargs)

    return convolve


def _padded_beforehand(
    inputs: Any, kernel: Any, padding: str, data_format: str, dilation: Sequence[int]
) -> tuple[Any, str]:
    """Inputs and padding, for steps of one; ONNX Runtime pads free axes by itself, but not where they are dilated."""
    import tensorflow as tf

    start = 2 if data_format == "channels_first" else 1
    spatial = inputs.shape.as_list()[start : start + len(dilation)]
    if padding.lower() != "same" or None not in spatial or max(dilation) == 1:
        return inputs, padding
    pads = [[0, 0] for _ in inputs.shape]
    for axis, (taps, apart) in enumerate(zip(kernel.shape, dilation, strict=False), start):
        total = (taps - 1) * apart
        pads[axis] = [total // 2, total - total // 2]
    return tf.pad(inputs, pads), "valid"


def _emit(
    markers: Markers,
    inputs: Any,
    kernel: Any,
    strides: Sequence[int],
    padding: str,
    dilation: Sequence[int],
    groups: int,
) -> Any:
    """One Conv node on `(batch, channels, *window)`."""
    import tensorflow as tf
    from keras.src.ops.operation_utils import compute_conv_output_shape

    rank = len(strides)
    window = tuple(kernel.shape[:rank])
    shape = compute_conv_output_shape(
        tuple(inputs.shape), kernel.shape[-1], window, strides, padding, "channels_first", dilation
    )
    attributes: dict[str, Any] = {
        "kernel_shape": list(window), "strides": list(strides), "dilations": list(dilation), "group": groups,
        **_padding(padding, inputs.shape[2:], shape[2:], window, strides, dilation),
    }  # fmt: skip
    weights = tf.transpose(kernel, [rank + 1, rank, *range(rank)])
    return markers.emit([inputs, weights], [tuple(shape)], inputs.dtype, _write, attributes=attributes)[0]


def _padding(
    padding: str,
    given: Sequence[int | None],
    made: Sequence[int | None],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> dict[str, Any]:
    """The attribute that pads as TensorFlow does: more behind than before, where it is odd."""
    if padding == "valid":
        return {}
    before, behind = [], []
    for size, result, taps, step, apart in zip(given, made, window, strides, dilation, strict=True):
        if size is None or result is None:
            return {"auto_pad": "SAME_UPPER"}
        total = max((result - 1) * step + (taps - 1) * apart + 1 - size, 0)
        before.append(total // 2)
        behind.append(total - total // 2)
    return {"pads": before + behind}


def _write(graph: GraphWriter, attributes: dict[str, Any]) -> None:
    graph.node("Conv", graph.inputs, graph.outputs, **attributes)
