"""TensorFlow operators that the ONNX exporter does not know, written as ONNX nodes."""

from typing import Any

import numpy as np


def handlers() -> dict[str, tuple[Any, list[Any]]]:
    """What tf2onnx takes as `custom_op_handlers`, by operator of TensorFlow."""
    return {name: (handler, []) for name, handler in _HANDLERS.items()}


def _erfc(context: Any, node: Any, name: str, _arguments: Any) -> None:
    """`erfc(x) = 1 - erf(x)`, which the exact gelu is made of."""
    shape, dtype = context.get_shape(node.output[0]), context.get_dtype(node.output[0])
    outputs, inputs = list(node.output), list(node.input)
    context.remove_node(node.name)
    erf = context.make_node("Erf", inputs, name=f"{name}/erf", skip_conversion=True).output[0]
    one = context.make_const(f"{name}/one", np.array(1, np.float32)).output[0]
    made = context.make_node("Sub", [one, erf], outputs=outputs, name=f"{name}/sub", skip_conversion=True)
    context.set_shape(made.output[0], shape)
    context.set_dtype(made.output[0], dtype)


def _expm1(context: Any, node: Any, name: str, _arguments: Any) -> None:
    """`expm1(x) = exp(x) - 1`, which celu is made of."""
    shape, dtype = context.get_shape(node.output[0]), context.get_dtype(node.output[0])
    outputs, inputs = list(node.output), list(node.input)
    context.remove_node(node.name)
    power = context.make_node("Exp", inputs, name=f"{name}/exp", skip_conversion=True).output[0]
    one = context.make_const(f"{name}/one", np.array(1, np.float32)).output[0]
    made = context.make_node("Sub", [power, one], outputs=outputs, name=f"{name}/sub", skip_conversion=True)
    context.set_shape(made.output[0], shape)
    context.set_dtype(made.output[0], dtype)


# operator of TensorFlow -> what writes it
_HANDLERS = {"Erfc": _erfc, "Expm1": _expm1}
