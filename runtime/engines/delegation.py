"""Which operators of a TFLite file a delegate took, worked out from what the interpreter lists."""

from collections.abc import Mapping, Sequence
from typing import Any


def remaining(operators: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the operators that run in the interpreter itself, outside of every delegate.

    The interpreter lists the file's own operators first, and one `DELEGATE` for each part that a delegate took, with
    the tensors that go into that part and come out of it. An operator belongs to a part when its outputs lie on the
    way from the part's outputs back to its inputs.

    Args:
        operators: What `Interpreter._get_ops_details` gives.
    """
    return [str(operator["op_name"]) for operator in _remaining(operators)]


def remaining_outputs(operators: Sequence[Mapping[str, Any]]) -> list[int]:
    """Of each of these operators the index of its first output; arguments as those of `remaining`."""
    return [int(operator["outputs"][0]) for operator in _remaining(operators) if len(operator["outputs"])]


def _remaining(operators: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    own = [operator for operator in operators if operator["op_name"] != "DELEGATE"]
    maker = {int(tensor): index for index, operator in enumerate(own) for tensor in operator["outputs"]}
    taken: set[int] = set()
    for part in (operator for operator in operators if operator["op_name"] == "DELEGATE"):
        borders = {int(tensor) for tensor in part["inputs"]}
        open_tensors = [int(tensor) for tensor in part["outputs"]]
        while open_tensors:
            tensor = open_tensors.pop()
            index = maker.get(tensor)
            if tensor in borders or index is None or index in taken:
                continue
            taken.add(index)
            open_tensors += [int(other) for other in own[index]["inputs"] if int(other) >= 0]
    return [operator for index, operator in enumerate(own) if index not in taken]
