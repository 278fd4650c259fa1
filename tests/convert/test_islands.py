"""Which operators are quantized: products, and only what lies between two of them."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgepack.convert.islands import quantized_nodes
from edgepack.convert.options import Options
from edgepack.convert.setting import Setting


def _chain(*kinds: str) -> Any:
    """Operators one behind the other, named by their number and kind."""
    nodes, constants, last = [], [], "x"
    for index, kind in enumerate(kinds):
        name = f"{index} {kind}"
        given = [last]
        if kind in {"Conv", "MatMul"}:
            constants.append(numpy_helper.from_array(np.ones((64, 64), np.float32), f"w{index}"))
            given.append(constants[-1].name)
        nodes.append(helper.make_node(kind, given, [f"t{index}"], name))
        last = f"t{index}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", last)]
    return helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], constants))


def test_what_lies_between_two_products_is_quantized() -> None:
    model = _chain("Conv", "Relu", "MaxPool", "Conv")
    assert quantized_nodes(model, Setting()) == ["0 Conv", "1 Relu", "2 MaxPool", "3 Conv"]


def test_what_leads_to_an_operator_in_float_stays_in_float() -> None:
    model = _chain("Conv", "MaxPool", "Softmax", "Sigmoid", "Conv")
    assert quantized_nodes(model, Setting()) == ["0 Conv", "4 Conv"]


def test_what_leads_in_from_the_input_stays_in_float() -> None:
    assert quantized_nodes(_chain("Transpose", "Conv", "Relu"), Setting()) == ["1 Conv", "2 Relu"]


def test_a_layer_that_was_asked_to_stay_in_float_takes_its_neighbours_along() -> None:
    model = _chain("Conv", "MaxPool", "Conv", "MaxPool", "Conv")
    assert quantized_nodes(model, Setting(float_nodes=frozenset({"2 Conv"}))) == ["0 Conv", "4 Conv"]


def test_operators_by_name_take_the_place_of_the_choice() -> None:
    model = _chain("Conv", "Softmax", "Conv")
    assert quantized_nodes(model, Setting(Options(float_operators=()))) == ["0 Conv", "1 Softmax", "2 Conv"]
    assert quantized_nodes(model, Setting(Options(float_operators=("Softmax",)))) == ["0 Conv", "2 Conv"]
