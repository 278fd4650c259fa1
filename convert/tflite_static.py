"""TFLite files whose activations are whole numbers: which operators that takes, and which stay in float.

An operator that XNNPACK does not run in int8 is left to the interpreter, whose kernels are slow, and the file is cut
in two around it. In float it costs less. Which operators those are was measured (docs/precisions-tflite.md), and for
some of them depends on their scales: so the quantized file is opened, and what is left out is given back too.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from edgepack.convert import litert_quantizer, tflite_biases, tflite_model
from edgepack.convert.litert_quantizer import Rule
from edgepack.convert.setting import Setting
from edgepack.quiet import quiet
from edgepack.runtime.engines import delegation
from edgepack.runtime.errors import ConvertError, one_line

Ranges = Mapping[str, tuple[float, float]]

# XNNPACK has no int8 kernel for these, and has one for float32 (ai-edge-litert 2.3).
FLOAT_OPERATORS = (
    "AVERAGE_POOL_2D", "BATCH_MATMUL", "DIV", "GELU", "HARD_SWISH", "MAXIMUM", "RSQRT", "SOFTMAX", "SQRT",
    "SQUARED_DIFFERENCE",
)  # fmt: skip
_INNER = ("CONV_2D", "FULLY_CONNECTED")  # inside loops: these quantize on the fly, and give float as they take it
_BIASED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_MOST_BIAS = 2**31
_ROUNDS = 4  # of giving operators back: one may leave others that need it too


def quantize(data: bytes, setting: Setting, activation_bits: int, *, interface: bool) -> bytes:
    """A float32 TFLite file with int8 weights, and activations of so many bits with calibrated ranges.

    Args:
        data: The file.
        setting: What the quantizer is told; without `float_operators` what is faster in float stays so.
        activation_bits: 8 or 16.
        interface: Whether the file itself takes and gives whole numbers.

    Raises:
        ConvertError: The quantizer refuses the file.
    """
    assert setting.ranges is not None, "checked before anything is converted"
    model = tflite_model.read(data)
    loose = _without_range(model, setting.ranges.keys() - setting.unbounded)
    chooses = setting.options.float_operators is None and activation_bits == 8 and not interface
    operators = FLOAT_OPERATORS if chooses else setting.options.float_operators or ()
    granularity = litert_quantizer.granularity(setting.options)
    rules = litert_quantizer.rule(
        "static", 8, granularity=granularity, activation_num_bits=activation_bits, symmetric=setting.options.symmetric
    )
    rules += litert_quantizer.kept(operators, loose, interface=not interface)
    for inner in _INNER if loose else ():
        rules += litert_quantizer.rule("dynamic", 8, operator=inner, granularity=granularity, nodes=loose)
    rules += litert_quantizer.kept(nodes=setting.float_nodes, interface=False)
    if chooses:
        own = _left(data)
        return _given_back(data, rules, setting.ranges, lambda written: _left(written) - own)
    return _given_back(data, rules, setting.ranges, _overflowing)


def _given_back(data: bytes, rules: list[Rule], ranges: Ranges, wrong: Callable[[bytes], set[str]]) -> bytes:
    """The quantized file, with those operators in float that turn out to be better so."""
    operators = tflite_model.operators(tflite_model.read(data))
    known = {tflite_model.name(graph, operator) for graph, operator, _ in operators}
    written = _written(data, rules, ranges)
    given: set[str] = set()
    for _ in range(_ROUNDS):
        found = (wrong(written) & known) - given
        if not found:
            break
        given |= found
        rules = [*rules, *litert_quantizer.kept(nodes=found, interface=False)]
        written = _written(data, rules, ranges)
    return written


def _written(data: bytes, rules: list[Rule], ranges: Ranges) -> bytes:
    return tflite_biases.with_room(_mended(litert_quantizer.quantize(data, rules, ranges)), data)


def _overflowing(data: bytes) -> set[str]:
    """Names of operators whose bias has more than 32 bits: kernels of int16 activations give zeros then."""
    large = tflite_biases.too_large(tflite_model.read(data), "int64", _MOST_BIAS)
    return {tflite_model.name(graph, operator) for graph, operator, kind in large if kind in _BIASED}


def _left(data: bytes) -> set[str]:
    """Names of the operators that XNNPACK leaves to the interpreter.

    Raises:
        ConvertError: The interpreter refuses the file.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        with quiet():
            interpreter = Interpreter(model_content=data, num_threads=1)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ConvertError(f"the quantized file is refused: {one_line(error, 300)}") from error
    details = {detail["index"]: detail["name"] for detail in interpreter.get_tensor_details()}
    left = {details.get(index, "") for index in delegation.remaining_outputs(interpreter._get_ops_details())}
    named = (
        (graph.tensors[operator.outputs[0]].name.decode(), tflite_model.name(graph, operator))
        for graph, operator, _ in tflite_model.operators(tflite_model.read(data))
    )
    return {name for first, name in named if first in left}


def _without_range(model: Any, ranges: Collection[str]) -> set[str]:
    """Names of operators of which a tensor has no range: at masks, and inside loops, where no calibration sees them."""
    found: set[str] = set()
    for graph, operator, _ in tflite_model.operators(model):
        tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
        floats = [tensor for tensor in tensors if tflite_model.dtypes()[tensor.type] == "float32"]
        known = all(tflite_model.is_constant(model, one) or one.name.decode() in ranges for one in floats)
        if graph is not model.subgraphs[0] or not known:
            found.add(tflite_model.name(graph, operator))
    return found


def _mended(data: bytes) -> bytes:
    """The file with one type for all outputs of an operator: the quantizer forgets those that nobody reads."""
    model = tflite_model.read(data)
    changed = False
    for graph, operator, _ in tflite_model.operators(model):
        outputs = [graph.tensors[index] for index in operator.outputs]
        typed = [tensor for tensor in outputs if tflite_model.dtypes()[tensor.type] in {"int8", "int16"}]
        for tensor in outputs if typed else ():
            if tflite_model.dtypes()[tensor.type] == "float32":
                tensor.type, tensor.quantization = typed[0].type, typed[0].quantization
                changed = True
    return tflite_model.write(model, len(data)) if changed else data
