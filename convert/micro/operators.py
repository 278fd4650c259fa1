"""What a resolver of TFLite-Micro calls each operator: the frozen table, and the calls a file needs."""

from collections.abc import Iterable

from edgepack.runtime.errors import ConvertError

# Words that a method writes otherwise than with one capital letter.
_WORDS = {
    "2D": "2D", "ADD_N": "AddN", "CUMSUM": "CumSum", "MATMUL": "MatMul", "PADV2": "PadV2", "LSTM": "LSTM",
}  # fmt: skip

# Builtin operators with an `Add…` in tensorflow/lite/micro/micro_mutable_op_resolver.h of 2025 (the names are the same
# in each version since 2022, which had fewer). The interpreter of the package tflite-micro registers every one of them
# (python/tflite_micro/python_ops_resolver.cc), and has the last word on whether a file runs.
_OPERATORS = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV
DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER
GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND
LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAX_POOL_2D MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD
PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR
RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT
SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV
UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""


def _method(operator: str) -> str:
    words = [_WORDS.get(word) or word.capitalize() for word in operator.split("_")]
    return "Add" + (_WORDS.get(operator) or "".join(words))


RESOLVER = {operator: _method(operator) for operator in _OPERATORS.split()}
"""Builtin operator, as TFLite calls it → the method of `tflite::MicroMutableOpResolver` that registers it."""


def resolver_calls(operators: Iterable[str]) -> tuple[str, ...]:
    """The methods that register these operators, each once, in their order.

    Raises:
        ConvertError: TFLite-Micro has no kernel for some; the message names every one of them.
    """
    found = tuple(dict.fromkeys(operators))
    if missing := [operator for operator in found if operator not in RESOLVER]:
        raise ConvertError(
            f"TFLite-Micro has no kernel for {', '.join(missing)}: replace the layers that became "
            f"{'it' if len(missing) == 1 else 'them'}, or run the model where a whole TFLite interpreter fits"
        )
    return tuple(RESOLVER[operator] for operator in found)
