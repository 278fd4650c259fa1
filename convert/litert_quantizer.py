"""The seam to Google's quantizer of TFLite files: what it is told, and how its failures are told."""

import logging
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from edgepack.quiet import quiet
from edgepack.runtime.errors import ConvertError, one_line

Rule = Mapping[str, Any]
"""One entry of the quantizer's recipe: a later one holds over an earlier one."""

_INTERFACE = ("INPUT", "OUTPUT")


def quantize(data: bytes, rules: Iterable[Rule], ranges: Mapping[str, tuple[float, float]] | None = None) -> bytes:
    """Quantize a float32 TFLite file.

    Args:
        data: The file.
        rules: What happens to which operators, as `rule` and `kept` make them.
        ranges: The range of each tensor, where activations are quantized.

    Raises:
        ConvertError: The quantizer refuses the file; the message is its own.
    """
    known = None
    if ranges is not None:
        known = {
            name: {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
            for name, (low, high) in ranges.items()
        }
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("absl").setLevel(logging.ERROR)
        try:
            from litert_quantizer.quantizer import Quantizer

            done = Quantizer(bytearray(data), [dict(one) for one in rules])
            result = done.quantize(known, enable_progress_bar=False, enable_progress_report=False)
        except Exception as error:  # it raises what its transformations raise
            raise ConvertError(f"the TFLite quantizer refuses the model: {one_line(error, 400)}") from error
    return bytes(result.quantized_model)


def rule(kind: str, bits: int, *, operator: str = "*", granularity: str = "CHANNELWISE", **options: Any) -> list[Rule]:
    """The entries that quantize operators of one kind.

    Args:
        kind: `"dynamic"`, `"weight_only"` or `"static"`.
        bits: Of the weights.
        operator: The kind of operator, as TFLite calls it; `"*"` is all that the quantizer knows.
        granularity: `CHANNELWISE`, `TENSORWISE` or `BLOCKWISE_32` and so on.
        options: `activation_num_bits` for `"static"`.
    """
    from litert_quantizer.qtyping import QuantGranularity, TFLOperationName
    from litert_quantizer.recipe_manager import RecipeManager

    manager = RecipeManager()
    sizes = {"weight_num_bits": bits, **options} if kind == "static" else {"num_bits": bits}
    key = "weight_granularity" if kind == "static" else "granularity"
    add = getattr(manager, f"add_{kind}_config")
    add(regex=".*", operation_name=TFLOperationName(operator), **sizes, **{key: QuantGranularity(granularity)})
    found: list[Rule] = manager.get_quantization_recipe()
    return found


def kept(operators: Iterable[str] = (), nodes: Iterable[str] = (), *, interface: bool = True) -> list[Rule]:
    """The entries that keep operators in float.

    Args:
        operators: By their kind.
        nodes: By the names of their output tensors, with `;` between them.
        interface: Whether inputs and outputs of the file stay float too.
    """
    import re

    kinds = [*operators, *(_INTERFACE if interface else ())]
    return [
        *({"regex": ".*", "operation": kind, "algorithm_key": "no_quantize", "op_config": {}} for kind in kinds),
        *(
            {"regex": f"^{re.escape(node)};?$", "operation": "*", "algorithm_key": "no_quantize", "op_config": {}}
            for node in nodes
        ),
    ]
