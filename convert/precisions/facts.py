"""What each precision comes to in each format, and which releases of the engines run it: a table, as it was measured.

ONNX files of a convolutional net, one with squeeze-and-excite, a dense net, attention, LSTM, GRU and convolutions over
sound were written at opset 18 and run in onnxruntime 1.15.1, 1.16.3, 1.17.3, 1.20.1, 1.31.1 and openvino 2025.0 and
2026.4; `since` is the oldest of those that gave the right numbers. edgepack itself takes onnxruntime from 1.17 on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

_KEPT = "no weights to store: an array with two axes and 256 numbers is the least"
_UNSIGNED = "activations uint8: kernels take int8"
_SEVEN_BITS = "reduce_range: no kernel of TFLite saturates with eight bits of weights"
_BLOCKS = "granularity per-tensor: each block has its scale"
_FLOAT_ENDS = "io int8: ONNX files take and give float32"
_MOSTLY_RECURRENT = "models most of whose weights are in LSTM, GRU or RNN: no kernel has calibrated ranges for those"


@dataclass(frozen=True, slots=True)
class Support:
    """What a precision comes to in one format."""

    how: str
    """How the format stores and computes it."""
    since: Mapping[str, str]
    """The oldest release of each engine that was seen to run it rightly, by the engine's name."""
    but: Mapping[str, str] = field(default_factory=dict)
    """What an engine does not run of it, by its name."""
    unfit: Mapping[str, str] = field(default_factory=dict)
    """Engines that refuse it or run it wrongly: they are not taken for such files."""
    refused: tuple[str, ...] = ()
    """What is refused in this format, each with its reason: values of options, and kinds of models."""


_EVERYWHERE = {"onnxruntime": "1.15", "openvino": "2025.0"}

FORMATS: Mapping[str, Mapping[str, Support]] = {
    "float32": {
        "onnx": Support("plain operators", _EVERYWHERE),
        "tflite": Support("built-in operators", {"litert": "2.3"}),
    },
    "float16": {
        "onnx": Support("Cast on constants, folded at load", _EVERYWHERE),
        "tflite": Support("DEQUANTIZE at load", {"litert": "2.3"}),
    },
    "weight_int8": {
        "onnx": Support("Cast and Mul on constants, folded at load", _EVERYWHERE, refused=(_KEPT,)),
        "tflite": Support("DEQUANTIZE, or kernels that unfold weights", {"litert": "2.3"}),
    },
    "dynamic_int8": {
        "onnx": Support(
            "MatMulInteger and DynamicQuantizeLSTM where they are faster than float32; other weights as in weight_int8",
            _EVERYWHERE,
            but={"openvino": "2025.0 has no DynamicQuantizeLSTM; 2026.4 has"},
            refused=(
                "models without a matrix product or LSTM: dynamic convolutions take four times as long as float32",
            ),
        ),
        "tflite": Support("hybrid kernels", {"litert": "2.3"}, refused=(_SEVEN_BITS,)),
    },
    "int8": {
        "onnx": Support(
            "QDQ around products and what lies between two of them; other weights as in weight_int8",
            _EVERYWHERE,
            refused=(_FLOAT_ENDS, _MOSTLY_RECURRENT),
        ),
        "tflite": Support("int8 kernels", {"litert": "2.3"}, refused=(_UNSIGNED, _SEVEN_BITS)),
    },
    "int16x8": {
        "onnx": Support(
            "QDQ as int8; the conversions are com.microsoft's below opset 21. No kernel computes in it: "
            "1.4 to 30 times float32's latency",
            {"onnxruntime": "1.17"},
            unfit={"openvino": "OpenVINO 2026.4 gives wrong numbers for int16, NaN among them"},
            refused=(_MOSTLY_RECURRENT, "--min-onnxruntime below 1.17 with an opset below 21"),
        ),
        "tflite": Support("int16 kernels", {"litert": "2.3"}, refused=(_SEVEN_BITS,)),
    },
    "weight_int4": {
        "onnx": Support(
            "blocks of 32: MatMulNBits for products of 512×512 and larger, else two numbers in a byte, unfolded at "
            "load; other weights as in weight_int8",
            {"onnxruntime": "1.17", "openvino": "2025.0"},
            refused=(
                _BLOCKS,
                "models most of whose weights are in convolutions of more than one pixel: those lose too much in int4",
                "--min-onnxruntime below 1.17, where a product is large enough for MatMulNBits",
            ),
        ),
        "tflite": Support(
            "int4 kernels in blocks of 32",
            {"litert": "2.3"},
            unfit={"openvino": "OpenVINO 2026.4 has no matrix product in int4 blocks for TFLite files"},
            refused=(_BLOCKS,),
        ),
    },
}
"""Precision → format → what it comes to there."""
