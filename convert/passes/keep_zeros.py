"""Keep zeros that are padded before a maximum: ONNX Runtime would fuse such a `Pad` into a `MaxPool`, and lose them.

A `MaxPool` pads with the lowest number there is, so that where every pixel of a window is negative, as behind a
convolution without ReLU, a zero in the padding is the maximum, and nothing of it is left after that fusion (its
`PadFusion`, releases 1.14 to 1.31 at least). It is made for a padding whose bytes are all zero, and negative zero is a
zero that has one bit set.
"""

from typing import Any

import numpy as np

_BLIND = {"Conv", "FusedConv", "ConvTranspose"}  # to the sign of a zero; fusing into these is right, and worth it


def keep_zeros(model: Any) -> bool:
    """Pad with negative zero wherever not only convolutions read the result; returns whether the model changed."""
    from onnx import numpy_helper

    graph = model.graph
    if not any(node.op_type == "MaxPool" for node in graph.node):
        return False
    readers: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    values = {one.name: one for one in graph.initializer}
    zeros: dict[str, Any] = {}
    for node in graph.node:
        if node.op_type != "Pad" or readers.get(node.output[0], set()) <= _BLIND or not _pads_constant(node):
            continue
        given = values.get(node.input[2]) if len(node.input) > 2 else None
        zero = _zero(given, unnamed=len(node.input) < 3 or not node.input[2])
        if zero is None:
            continue
        name = f"negative_zero_{zero.dtype.name}"
        zeros[name] = numpy_helper.from_array(-zero, name)
        operands = [*node.input, ""][:2]
        behind = list(node.input)[3:]
        del node.input[:]
        node.input.extend([*operands, name, *behind])
    graph.initializer.extend(zeros.values())
    return bool(zeros)


def _pads_constant(node: Any) -> bool:
    modes = [attribute.s for attribute in node.attribute if attribute.name == "mode"]
    return modes in ([], [b"constant"])


def _zero(given: Any, *, unnamed: bool) -> Any:
    """The zero that is padded, with its element type; None where it is no constant zero of a float type."""
    from onnx import numpy_helper

    if unnamed:
        return np.zeros((), np.float32)
    array = None if given is None else numpy_helper.to_array(given)
    return array if array is not None and array.dtype.kind == "f" and not array.any() else None
