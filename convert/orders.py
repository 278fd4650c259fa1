"""What the process of the converters is asked for: one order a file, beside the frozen graph in `graph.pb`."""

from typing import ClassVar

import msgspec

from edgepack.convert.lowering.base import Marker


class TFLiteOrder(msgspec.Struct, frozen=True, tag="tflite"):
    """A TFLite file; `calibration.npz` lies beside it where ranges are calibrated."""

    inputs: tuple[str, ...]
    """Names of the graph's inputs, in the model's order; arrays in `calibration.npz` are named by their position."""
    outputs: tuple[str, ...]
    precision: str
    io: str = "float32"
    """What goes in and comes out; int8 asks for whole numbers all through."""
    per_channel: bool = True

    converter: ClassVar[str] = "TFLite converter"


class ONNXOrder(msgspec.Struct, frozen=True, tag="onnx"):
    """An ONNX file in float32."""

    name: str
    inputs: dict[str, str]
    """The graph's own names, and those the file gets instead."""
    outputs: dict[str, str]
    opset: int
    markers: dict[str, Marker]
    """How lowered layers are written, by the token of the node that stands for each."""

    converter: ClassVar[str] = "ONNX exporter"


Order = TFLiteOrder | ONNXOrder
